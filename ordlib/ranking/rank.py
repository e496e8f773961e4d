"""The one call: paths and a sentence in, an order out; and what the sentence asks for."""

import os
import re
import string
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from ..clip import ClipBackbone, load_clip
from ..components.registry import load_component
from ..methods.ranking_adapter.model import RankingAdapter
from ..utils.validation import listed
from .image_files import find_images
from .result import Ranking
from .scoring import score_files

COMPONENT = "ranking-adapter"
FROM_TO = re.compile(r"\bfrom\s+(?:the\s+)?(\w+)\b.*?\bto\s+(?:the\s+)?(\w+)", re.I | re.S)
# First words of "from A to B" that name the high end of a number line.
HIGH = frozenset(
    {"best", "greatest", "high", "highest", "largest", "last", "latest", "many", "most", "newest"}
)
# What is old is the low end among photographs, and the high end among people.
DESCENDING_PAIRS = frozenset(
    {("oldest", "youngest"), ("old", "young"), ("new", "old"), ("good", "bad")}
)


def rank(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    prompt: str,
    *,
    model: str | os.PathLike | RankingAdapter = COMPONENT,
    clip: ClipBackbone | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 64,
    reverse: bool = False,
) -> Ranking:
    """Pictures in the order that a sentence asks for.

    Any number of pictures takes bounded memory. Their features are kept in the cache, so that a
    second sentence is much faster. What cannot be read is skipped, and said.

    Args:
        paths: a folder, with all its subfolders, or a sequence of files.
        prompt: the sentence. The highest score comes first, as "the number of stars" has it; a
            sentence "from A to B" asks for the lowest, unless A names the high end ("from best
            to worst").
        model: a trained :class:`~ordlib.RankingAdapter`, or the name
            or folder of one.
        clip: the backbone it was trained on; None loads it by the name in the component.
        device: as for :func:`ordlib.load_clip`, if that is to load the backbone.
        batch_size: pictures in memory at once; fewer, where they are large.
        reverse: turns the order around.

    Returns:
        The order, with scores, what was skipped and why, and how far it can be trusted.

    Raises:
        FileNotFoundError: no such folder or component.
        ValueError: no picture that can be read; a sentence that is empty, too long or has a
            sign the backbone does not know; another method's component, or another backbone's.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from ordlib import RankingAdapter, load_task
        >>> folder = tempfile.mkdtemp()
        >>> for grey in (0, 90, 180):
        ...     Image.new("L", (96, 96), grey).save(f"{folder}/{grey}.png")
        >>> adapter = RankingAdapter(load_clip("pico-clip", "cpu"), load_task("counting"))
        >>> ranking = rank(folder, "the number of stars", model=adapter)
        >>> len(ranking), ranking.task, ranking.first
        (3, 'counting', 'highest score')
    """
    if not prompt.strip():
        raise ValueError("prompt is empty: say what to order by, such as 'the number of stars'")
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size!r}: must be 1 or more")
    found = find_images(paths)
    adapter = model
    if not isinstance(model, RankingAdapter):
        adapter = _load(model, clip, device)
    # A sentence that cannot be read is told before any picture is.
    adapter.encode_prompt(prompt)
    task = match_task(prompt, adapter.prompt_templates)
    scored, faults = score_files(adapter, prompt, task, found.files, batch_size)
    skipped = found.skipped | faults
    if scored.empty:
        told = listed([f"{path!r} {reason}" for path, reason in skipped.items()])
        raise ValueError(f"none of {len(skipped)} pictures can be read:{told}")
    down = is_descending(prompt) != reverse
    known = scored["ood_score"].notna().all()
    return Ranking(
        prompt=prompt,
        table=_table(adapter, scored, task, down),
        is_descending=down,
        total=len(scored),
        num_ood=int((scored["ood_score"] > 1).sum()) if known else None,
        skipped=skipped,
        ignored=found.ignored,
        task=task,
        unit=adapter.tasks[task].unit if task else None,
        model="this adapter" if adapter is model else os.fspath(model),
        training_data=_trained_on(adapter),
    )


def _load(
    model: str | os.PathLike, clip: ClipBackbone | None, device: str | torch.device | None
) -> RankingAdapter:
    adapter = load_component(model, clip)
    if not isinstance(adapter, RankingAdapter):
        raise ValueError(
            f"component {os.fspath(model)!r} is a {type(adapter).__name__}, which reads no "
            "sentences: give a RankingAdapter"
        )
    if clip is None and device is not None:
        adapter = load_component(model, load_clip(adapter.clip.name, device))
    return adapter


def _table(
    adapter: RankingAdapter, scored: pd.DataFrame, task: str | None, down: bool
) -> pd.DataFrame:
    table = scored.sort_values("score", ascending=not down, kind="stable", ignore_index=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    ood_score = table.pop("ood_score")
    if task:
        own = adapter.tasks[task]
        table["value"] = adapter.predict_from_scores(own, table["score"].to_numpy()).value
        if isinstance(own.values[0], str):
            table["label"] = [own.rank_label(i) for i in own.rank_index(table["value"])]
    if adapter.ood_detectors:
        table["ood_score"] = ood_score
    return table


def _trained_on(adapter: RankingAdapter) -> str:
    """What an adapter learned from: its card's words, and a sentence of each task."""
    what = getattr(adapter, "card", {}).get("training_data", "pictures that nobody described")
    said = ", ".join(repr(known[0]) for known in adapter.prompt_templates.values())
    return f"{what}, by sentences such as {said}."


def is_descending(prompt: str) -> bool:
    """Whether a sentence wants the highest score first.

    Scores grow with the number line of the task: more things, newer photographs, older people,
    better quality. So the highest comes first, unless the sentence says "from A to B" and A is
    not a word for the high end.

    Example:
        >>> is_descending("the number of stars"), is_descending("Rank from oldest to newest.")
        (True, False)
    """
    found = FROM_TO.search(prompt)
    if not found:
        return True
    first, last = (word.lower() for word in found.groups())
    return first in HIGH or (first, last) in DESCENDING_PAIRS


def match_task(prompt: str, prompt_templates: Mapping[str, Sequence[str]]) -> str | None:
    """The one task among whose trained ``prompt_templates`` a sentence is, else None.

    Capitals, spaces and the full stop do not matter; a placeholder stands for any words.

    Example:
        >>> prompt_templates = {"counting": ["the number of {plural}"], "dating": ["the year"]}
        >>> match_task("The number of red umbrellas.", prompt_templates), match_task("rust", prompt_templates)
        ('counting', None)
    """
    plain = _plain(prompt)
    found = [
        task
        for task, sentences in prompt_templates.items()
        if any(re.fullmatch(_pattern(sentence), plain, re.I) for sentence in sentences)
    ]
    return found[0] if len(found) == 1 else None


def _plain(sentence: str) -> str:
    return " ".join(sentence.split()).rstrip(".?! ")


def _pattern(sentence: str) -> str:
    parts = string.Formatter().parse(_plain(sentence))
    return "".join(re.escape(text) + (".+" if name is not None else "") for text, name, *_ in parts)
