"""Interactive figures of notebooks 01 and 04: images sorted by cosine or by adapter score."""

from collections.abc import Sequence

import numpy as np
from ipywidgets import Button, Dropdown, HBox, IntSlider, IntText, Layout, Text, VBox, dlink
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch.nn.functional import normalize

from ...clip import ClipBackbone
from ...clip.feature_cache import cached_image_features
from ...data import ImageData
from ...methods.ranking_adapter.model import RankingAdapter
from ...tasks import OrdinalTask
from ...tasks.templates import placeholder_names
from ..plots import contact_sheet
from ..plots.images import center_crop, format_spearman
from ..plots.style import value_label
from .controls import NAME_WIDTH, check_sets, interactive_figure

WIDE = Layout(width="40em")


def closest_first(cosines: ArrayLike) -> np.ndarray:
    """Indices that sort ``(N,)`` cosines in descending order, with ties shuffled.

    Stable sorting would keep the order of ties in the data, which are often sorted by label.

    Example:
        >>> closest_first([0.1, 0.3, 0.2])
        array([1, 2, 0])
    """
    cosines = np.asarray(cosines, dtype=np.float64)
    return np.lexsort((np.random.default_rng(0).permutation(len(cosines)), -cosines))


def draw_ordered(clip: ClipBackbone, data: ImageData, prompt: str, max_images: int = 12) -> Axes:
    """Contact sheet of the images closest to a prompt and farthest from it, with their labels.

    The title has the Spearman correlation of cosines and labels over all images. Of more than
    ``max_images`` (>= 2), the first half of the sheet has the closest, the second half the
    farthest, both in descending order. Image features are cached on disk.
    """
    prompt = _normalize_whitespace(prompt)
    if max_images < 2:
        raise ValueError(f"max_images = {max_images}: must be >= 2")
    # Text first: a prompt that is too long fails before images are encoded.
    text = normalize(clip.encode_text([prompt])[0], dim=-1)  # (D,)
    cosines = (normalize(cached_image_features(clip, data), dim=-1) @ text).double().numpy()
    cosines = cosines.round(6)  # cosines that differ by rounding errors are ties
    order = closest_first(cosines)
    head, tail = max_images - max_images // 2, max_images // 2
    rows = order if len(order) <= max_images else np.concatenate([order[:head], order[-tail:]])
    labels = [value_label(data.task, value) for value in data.values[rows]]
    ax = contact_sheet([data[i] for i in rows], labels, columns=head)
    subset = f"all {len(order)} images, the closest first"
    if len(rows) < len(order):
        subset = f"above the {head} closest of {len(order)} images, below the {tail} farthest"
    rho = f"Spearman of cosine and {data.task.name} label: {format_spearman(data.values, cosines)}"
    ax.set_title(f"{_quote(prompt)}\n{subset}\n{rho}", fontsize=11, parse_math=False)
    return ax


def explore_prompt(clip: ClipBackbone, datasets: dict[str, ImageData]) -> VBox:
    """:func:`draw_ordered` with a dataset menu, a text box and three suggested prompts."""
    check_sets("datasets", datasets, ImageData)
    menu = Dropdown(options=list(datasets), description="images", style=NAME_WIDTH)
    box = _text_box("prompt", _suggested_prompts(datasets[menu.value].task)[0])
    buttons = HBox()

    def use_suggestion(button: Button) -> None:
        box.value = button.description

    def update_suggestions(name: str) -> None:
        prompts = _suggested_prompts(datasets[name].task)
        buttons.children = [Button(description=p, layout=Layout(width="auto")) for p in prompts]
        for button in buttons.children:
            button.on_click(use_suggestion)

    def on_dataset(change: dict) -> None:
        # A prompt typed by the user is kept.
        if box.value in _suggested_prompts(datasets[change["old"]].task):
            box.value = _suggested_prompts(datasets[change["new"]].task)[0]
        update_suggestions(change["new"])

    update_suggestions(menu.value)
    menu.observe(on_dataset, "value")

    def draw(name: str, prompt: str) -> None:
        draw_ordered(clip, datasets[name], prompt)

    controls, figure = interactive_figure(draw, {"name": menu, "prompt": box}).children
    return VBox([controls, buttons, figure])


def ranking_figure(
    adapter: RankingAdapter, data: ImageData, prompt: str, rows: Sequence[int]
) -> Figure:
    """Contact sheet of images sorted by ranking adapter score, the lowest first.

    ``rows`` are indices of the images; titles are the scores with the true labels in brackets.
    Placeholders of the prompt such as ``{plural}`` are filled from the image's metadata.
    """
    prompt = _normalize_whitespace(prompt)
    try:
        placeholder_names(prompt)
    except ValueError as error:
        raise ValueError(f"braces stand for a column of the metadata: {error}") from error
    subset = data.subset(np.asarray(rows))
    scores = adapter.predict_scores(subset, adapter.prompts(subset, prompt))
    order = np.argsort(scores, kind="stable")
    titles = [f"{scores[i]:+.2f} ({value_label(subset.task, subset.values[i])})" for i in order]
    images = [center_crop(subset[int(i)]) for i in order]
    size = min(image.width for image in images)
    ax = contact_sheet([image.resize((size, size)) for image in images], titles, columns=6)
    legend = f"the lowest score first; in brackets the {subset.task.name} label"
    ax.set_title(f"{_quote(prompt)}\n{legend}", fontsize=11, loc="left", parse_math=False)
    return ax.figure


def explore_ranking(adapter: RankingAdapter, data: ImageData) -> VBox:
    """:func:`ranking_figure` with a menu of the adapter's prompt templates and a text box.

    It begins with the first images of the data. A slider sets the number of images, a button draws
    others.
    """
    templates = _matching_templates(adapter, data)
    menu = Dropdown(options=templates, description="learned", style=NAME_WIDTH, layout=WIDE)
    box = _text_box("or type", templates[0])
    count = IntSlider(
        min(12, len(data)), min=min(2, len(data)), max=min(24, len(data)),
        description="images", style=NAME_WIDTH, continuous_update=False,
        layout=Layout(width="24em"),
    )  # fmt: skip
    resample = Button(description="other images")
    seed = IntText(0, layout=Layout(display="none"))  # hidden; a change redraws the figure

    def next_seed(_: Button) -> None:
        seed.value += 1

    def draw(prompt: str, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(data))[:count] if seed else range(count)
        ranking_figure(adapter, data, prompt, rows)

    dlink((menu, "value"), (box, "value"))
    resample.on_click(next_seed)
    controls = {"prompt": box, "count": count, "seed": seed}
    figure = interactive_figure(draw, controls).children[1]
    return VBox([menu, box, HBox([count, resample, seed]), figure])


def _normalize_whitespace(prompt: str) -> str:
    if not prompt.split():
        raise ValueError("the prompt is empty: type a few words")
    return " ".join(prompt.split())


def _quote(prompt: str) -> str:
    return f'"{prompt}"' if len(prompt) <= 70 else f'"{prompt[:66]} ..."'


def _text_box(name: str, value: str) -> Text:
    return Text(value, description=name, style=NAME_WIDTH, continuous_update=False, layout=WIDE)


def _suggested_prompts(task: OrdinalTask) -> list[str]:
    """Return three prompts: of the highest rank, the lowest rank and the highest bin."""
    ranks, bins = task.prompts(), task.bin_prompts()
    return list(dict.fromkeys([ranks[-1], ranks[0], *reversed(bins)]))[:3]


def _matching_templates(adapter: RankingAdapter, data: ImageData) -> list[str]:
    """Return templates whose placeholders are metadata columns, those of the data's task first."""
    task = data.task.name
    names = sorted(adapter.prompt_templates, key=lambda name: name != task)
    columns = set(data.metadata.columns)
    templates = [template for name in names for template in adapter.prompt_templates[name]]
    matching = [t for t in templates if columns.issuperset(placeholder_names(t))]
    return list(dict.fromkeys(matching)) or [f"Rank by {task}."]
