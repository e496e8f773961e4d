"""Model card ``README.md`` of a component, with the metadata header of the Hugging Face hub."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from ..clip.checkpoints import is_hub_id
from ..utils.validation import is_number

README = "README.md"
PIPELINE = "image-classification"  # the hub has no tag for ordinal regression
# Metrics that the methods report, as names for readers; all others keep theirs.
METRICS = {
    "mae": "MAE", "macro_mae": "macro MAE", "max_mae": "largest MAE of a rank",
    "off_by_one": "accuracy within one rank", "kappa": "weighted kappa",
    "pairwise": "pairwise accuracy",
}  # fmt: skip
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~&$@:!^]|(?<=www)\.", re.IGNORECASE)
_MARK = "\n<!-- Written by ordlib, sha256 {}. An edited file is kept when you save again. -->\n"
_MARKED = re.compile(_MARK.replace(".", r"\.").format("([0-9a-f]{64})"))
TO_FILL_IN = """\
## For the author to fill in

What only you know; ordlib could not write it. Until then, assume nothing.

* **Intended use:** what the model is for, and for whom; what it must not be used for.
* **Data:** the images and labels it was trained on, their origin, and the consent they need.
* **Licence:** {licence}
* **Limits:** images, people or conditions for which it was not tested or is known to fail.
"""


def model_card(name: str, config: Mapping, card: Mapping) -> str:
    """Return the model card of a component: YAML header, then text in markdown.

    Args:
        name: of the component: its folder's, or "owner/name" on the hub.
        config: the component's.
        card: "description", "license" (an identifier of the hub, such as "mit"), "metrics" (numbers
            and texts by name; of the test split if "data" has one), "intervals" (low and high by
            metric), "num_images" (by split), "training_data" and "command" are shown, if they are
            there and of those types.

    Example:
        >>> text = model_card("toast", {"method": "CoOp"}, {"license": "mit"})
        >>> text.splitlines()[:3]
        ['---', 'library_name: ordlib', 'license: mit']
    """
    texts = {key: _line(card[key]) for key in ("description", "license", "training_data")
             if isinstance(card.get(key), str)}  # fmt: skip
    metrics = card.get("metrics")
    metrics = metrics if isinstance(metrics, Mapping) else {}
    metrics = {
        _line(str(key)): float(value) if is_number(value) else _line(value)
        for key, value in metrics.items()
        if is_number(value) or isinstance(value, str)
    }
    split = "test" if isinstance(card.get("data"), Mapping) and "test" in card["data"] else None
    tasks = config.get("tasks") or [config["task"]] if "task" in config or "tasks" in config else []
    method, backbone = str(config.get("method")), config.get("backbone") or {}
    header = _header(name, method, backbone, tasks, texts, metrics, split)
    licence = "none is given, so nobody may use the model; put one into the header and here."
    if texts.get("license"):
        licence = f"{escape(texts['license'])}."
    parts = [
        f"---\n{header.to_yaml()}\n---",
        f"# {escape(name)}",
        f"**{escape(method)}** of ordlib, ordinal regression{' with CLIP' if backbone else ''}. "
        + escape(texts.get("description", "")),
        *map(_task_text, tasks),
        f"Training data: {escape(texts['training_data'])}" if "training_data" in texts else "",
        _backbone_text(backbone),
        _usage(name, config),
        _metrics_table(metrics, tasks, split, card),
        _command(card),
        TO_FILL_IN.format(licence=licence),
    ]
    text = "\n\n".join(part.strip() for part in parts if part) + "\n"
    return text + _MARK.format(_sha256(text))


def is_generated(path: Path) -> bool:
    """Whether a model card may be replaced: missing, or as :func:`model_card` returned it."""
    if not os.path.lexists(path):
        return True
    if path.is_symlink() or not path.is_file():
        return False
    text = path.read_bytes().decode("utf-8", "replace")
    marks = list(_MARKED.finditer(text))
    return bool(marks) and marks[-1].end() == len(text) and (
        marks[-1][1] == _sha256(text[: marks[-1].start()]))  # fmt: skip


def escape(text: str) -> str:
    """One line of markdown that shows a text as it is; no markup, links, HTML or mentions.

    Example:
        >>> escape("<b>ripe_or_not</b>")
        '\\\\<b\\\\>ripe\\\\_or\\\\_not\\\\</b\\\\>'
    """
    return _SPECIAL.sub(lambda match: "\\" + match[0], _line(text))


def _header(
    name: str, method: str, backbone: Mapping, tasks: list, texts: Mapping, metrics: Mapping,
    split: str | None,
) -> ModelCardData:  # fmt: skip
    base = backbone.get("name", "")
    metrics = {key: value for key, value in metrics.items() if isinstance(value, float)}
    results = [
        EvalResult(
            task_type=PIPELINE, task_name="ordinal regression", dataset_type="custom",
            dataset_name=_line(tasks[0]["name"]), dataset_split=split,
            metric_type=key, metric_value=value,
        )
        for key, value in metrics.items()
        if len(tasks) == 1
    ]  # fmt: skip
    return ModelCardData(
        # "unknown" is an identifier of the hub, too.
        license=texts.get("license") or "unknown",
        library_name="ordlib",
        pipeline_tag=PIPELINE,
        tags=["ordlib", "ordinal-regression", *["clip"] * bool(backbone), _line(method).lower()],
        base_model=base if is_hub_id(base) and not Path(base).is_dir() else None,
        metrics=[*metrics] or None,
        model_name=_line(name) if results else None,
        eval_results=results or None,
    )


def _task_text(task: Mapping) -> str:
    ranks = task.get("rank_names") or task.get("values") or ["?"]
    return (
        f"Task {escape(str(task.get('name')))}: {len(ranks)} ranks from {escape(str(ranks[0]))} to "
        f"{escape(str(ranks[-1]))}, in {escape(str(task.get('unit')))}."
    )


def _backbone_text(backbone: Mapping) -> str:
    if not backbone:
        return ""
    name = str(backbone.get("name"))
    # Of a path, which nobody else has, the last part.
    name = name if is_hub_id(name) else re.split(r"[/\\]", name)[-1]
    return (
        "The files hold the trained parameters alone, as safetensors. They need the backbone "
        f"{escape(name)} with weights of SHA-256 `{backbone.get('sha256')}`: "
        "ordlib loads it if it is on the machine, else pass `clip=load_clip(name)`."
    )


def _usage(name: str, config: Mapping) -> str:
    imports, call = "load_component", 'model.predict("folder/of/images")'
    prompts = config.get("prompt_templates")
    prompts = next(iter(prompts.values()))[:1] if isinstance(prompts, Mapping) and prompts else []
    if prompts:  # the ranking adapter, which takes any other prompt, too
        imports, call = f"{imports}, rank", f'rank("folder/of/images", {prompts[0]!r}, model=model)'
    return (
        f"## Use\n\n```python\nfrom ordlib import {imports}\n\n"
        f"model = load_component({_line(name)!r})\nprint({call})\n```"
    )


def _metrics_table(metrics: Mapping, tasks: list, split: str | None, card: Mapping) -> str:
    if not metrics:
        return ""
    unit = f" ({escape(str(tasks[0].get('unit')))})" if len(tasks) == 1 else ""
    intervals, number = card.get("intervals"), card.get("num_images")
    intervals = intervals if isinstance(intervals, Mapping) else {}
    number = number.get(split) if isinstance(number, Mapping) else None
    rows = "\n".join(
        f"| {escape(METRICS.get(key, key))}{unit if key == 'mae' else ''} | "
        f"{escape(value) if isinstance(value, str) else format(value, 'g')} | "
        f"{_interval(intervals.get(key))} |"
        for key, value in metrics.items()
    )
    title = f"Results on {split}" if split else "Results"
    images = f", {number:,} images" if isinstance(number, int) else ""
    return f"## {title}{images}\n\n| metric | value | 95 % interval |\n|---|---|---|\n{rows}"


def _interval(ends: object) -> str:
    is_interval = isinstance(ends, (list, tuple)) and len(ends) == 2 and all(map(is_number, ends))
    return f"{ends[0]:g} to {ends[1]:g}" if is_interval else ""


def _command(card: Mapping) -> str:
    command = card.get("command")
    # Indented, since no text ends such a block.
    return f"## Train again\n\n    {_line(command)}" if isinstance(command, str) else ""


def _line(text: str) -> str:
    """A text on one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
