"""rank(): score and sort images by a prompt; find the task that it matches."""

import os
import re
import string
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from ..clip import ClipBackbone
from ..components.registry import load_component
from ..data import ImageData
from ..data.image_io import check_bit_depth
from ..methods.ranking_adapter.model import RankingAdapter
from ..utils.validation import check_batch_size, check_choice, listed
from .direction import is_descending
from .files import find_images
from .result import Ranking
from .scoring import FileProcessor

DEFAULT_MODEL = "ranking-adapter"


def rank(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    prompt: str,
    *,
    model: str | os.PathLike | RankingAdapter = DEFAULT_MODEL,
    clip: ClipBackbone | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 64,
    reverse: bool = False,
    bit_depth: int | None = None,
) -> Ranking:
    """Rank images by a text prompt with a ranking-aware adapter.

    Memory is bounded for any number of images. Image features are cached on disk, so a second
    prompt is much faster. Files that cannot be read are skipped and listed in the result.

    Args:
        paths: a folder, including its subfolders, or a sequence of files and folders.
        prompt: the highest score comes first ("the number of stars"), except for "from A to B"
            where A names the low end ("from worst to best"), "fewest first", "ascending", and the
            superlative of a low rank; see ``ordlib.inference.direction``.
        model: a trained :class:`~ordlib.RankingAdapter`, or the name or folder of one.
        clip: the CLIP backbone of the adapter; None loads the one named in its config.
        device: of the loaded backbone, see :func:`ordlib.load_clip`.
        batch_size: images per batch.
        reverse: reverse the order.
        bit_depth: of images with more than 8 bits, as in :func:`ordlib.load_folder`.

    Raises:
        FileNotFoundError: the folder or the model does not exist.
        ValueError: no image can be read; the prompt is empty, too long or has an unknown
            character; the model is not a ranking adapter, or belongs to another backbone.
        FloatingPointError: a score is NaN or infinite; the message names the image.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from ordlib import RankingAdapter, load_clip, load_task
        >>> folder = tempfile.mkdtemp()
        >>> for grey in (0, 90, 180):
        ...     Image.new("L", (96, 96), grey).save(f"{folder}/{grey}.png")
        >>> adapter = RankingAdapter(load_clip("pico-clip", "cpu"), load_task("counting"))
        >>> ranking = rank(folder, "the number of stars", model=adapter)
        >>> len(ranking), ranking.task, ranking.first
        (3, 'counting', 'highest score')
    """
    if not isinstance(prompt, str):
        raise TypeError(f"prompt = {prompt!r:.80}: must be a text such as 'the number of stars'")
    if not prompt.strip():
        raise ValueError("prompt is empty: pass a text such as 'the number of stars'")
    check_choice("reverse", reverse, (False, True))
    check_batch_size(batch_size)
    check_bit_depth(bit_depth)
    scan = find_images(paths)
    adapter = model if isinstance(model, RankingAdapter) else _load_adapter(model, clip, device)
    # Validates the prompt before any image is opened.
    adapter.encode_prompt(prompt)
    task = match_task(prompt, adapter.prompt_templates)

    def score(data: ImageData) -> pd.DataFrame:
        tokens = adapter.open_tokens(data, batch_size)
        table = {"score": adapter.predict_scores(data, prompt, batch_size, tokens)}
        # The OOD score depends on the task of the prompt: photographs are in-distribution for
        # quality, but not for counting.
        if adapter.ood_detectors:
            table["ood_score"] = adapter.ood_score(data, task, batch_size, tokens)
        return pd.DataFrame(table)

    scorer = FileProcessor(next(iter(adapter.tasks.values())), score, "scoring images", bit_depth)
    scores = scorer.run(scan.files)
    skipped = scan.skipped | scorer.errors
    if scores.empty:
        lines = listed([f"{path!r} {reason}" for path, reason in skipped.items()])
        raise ValueError(f"paths: none of {len(skipped)} images can be read:{lines}")
    asked = [adapter.tasks[task]] if task else adapter.tasks.values()
    descending = is_descending(prompt, asked) != reverse
    return Ranking(
        prompt=prompt,
        table=_table(adapter, scores, task, descending),
        is_descending=descending,
        total=len(scores),
        num_ood=int((scores["ood_score"] > 1).sum()) if adapter.ood_detectors else None,
        skipped=skipped,
        ignored=scan.ignored,
        task=task,
        unit=adapter.tasks[task].unit if task else None,
        model="this adapter" if adapter is model else os.fspath(model),
        training_data=_training_data(adapter),
        bit_depth=scorer.bit_depth,
    )


def _load_adapter(
    model: str | os.PathLike, clip: ClipBackbone | None, device: str | torch.device | None
) -> RankingAdapter:
    is_name = isinstance(model, str | os.PathLike)
    adapter = load_component(model, clip, device) if is_name else model
    if not isinstance(adapter, RankingAdapter):
        raise ValueError(
            f"model = {os.fspath(model) if is_name else model!r:.80}: is a "
            f"{type(adapter).__name__}, which takes no prompt; pass a RankingAdapter, or its name"
        )
    return adapter


def _table(
    adapter: RankingAdapter, scores: pd.DataFrame, task_name: str | None, descending: bool
) -> pd.DataFrame:
    table = scores.sort_values("score", ascending=not descending, kind="stable", ignore_index=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    if task_name:
        task = adapter.tasks[task_name]
        table["value"] = adapter.predict_from_scores(task, table["score"].to_numpy()).value
        if isinstance(task.values[0], str):
            table["label"] = [task.rank_label(i) for i in task.rank_index(table["value"])]
    if adapter.ood_detectors:
        table["ood_score"] = table.pop("ood_score")  # As the last column.
    return table


def _training_data(adapter: RankingAdapter) -> str:
    """Training data of the adapter's card, and one training prompt of each task."""
    description = getattr(adapter, "card", {}).get("training_data", "not described")
    prompts = ", ".join(repr(templates[0]) for templates in adapter.prompt_templates.values())
    return f"{description}, with prompts such as {prompts}"


def match_task(prompt: str, prompt_templates: Mapping[str, Sequence[str]]) -> str | None:
    """Return the only task with a training template that matches a prompt, or None.

    Case, whitespace and final punctuation are ignored; a placeholder matches any text.

    Example:
        >>> templates = {"counting": ["the number of {plural}"], "dating": ["the year"]}
        >>> match_task("The number of red umbrellas.", templates), match_task("rust", templates)
        ('counting', None)
    """
    text = _normalize(prompt)
    matches = [
        task
        for task, templates in prompt_templates.items()
        if any(re.fullmatch(_pattern(template), text, re.I) for template in templates)
    ]
    return matches[0] if len(matches) == 1 else None


def _normalize(text: str) -> str:
    return " ".join(text.split()).rstrip(".?! ")


def _pattern(template: str) -> str:
    texts, fields = [""], list(string.Formatter().parse(_normalize(template)))
    for text, name, *_ in fields:
        texts[-1] += re.escape(text)
        texts += [""] * (name is not None)
    first, *middle = texts
    last = f".+{middle.pop()}" if middle else ""
    # Atomic: the first place where a text follows is as good as any other, and none is tried twice.
    return first + "".join(f"(?>.+?{text})" for text in middle) + last
