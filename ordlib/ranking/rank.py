"""The one call: paths and a sentence in, an order out."""

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ..clip import ClipBackbone, load_clip
from ..components.registry import load_component
from ..methods.ranking_adapter.model import RankingAdapter
from .image_files import Path, find_pictures
from .prompt_parsing import asked_task, highest_first
from .result import Ranking
from .scoring import Scored, score_files

COMPONENT = "ranking-adapter"
FAULTS_TOLD = 10


def rank(
    paths: Path | Sequence[Path],
    prompt: str,
    *,
    component: str | os.PathLike | RankingAdapter = COMPONENT,
    clip: ClipBackbone | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 64,
    reverse: bool = False,
) -> Ranking:
    """Order pictures by a sentence.

    Any number of pictures takes bounded memory. Their features are kept in the cache, so that a
    second sentence is much faster. What cannot be read is skipped, and said.

    Args:
        paths: a folder, with all its subfolders, or a sequence of files.
        prompt: the sentence. The highest score comes first, as "the number of stars" has it; a
            sentence "from A to B" asks for the lowest, unless A names the high end ("from best
            to worst").
        component: a trained :class:`~ordlib.RankingAdapter`, or the name
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
        >>> ranking = rank(folder, "the number of stars", component=adapter)
        >>> len(ranking), ranking.task, ranking.first
        (3, 'counting', 'highest score')
    """
    if not prompt.strip():
        raise ValueError("prompt is empty: say what to order by, such as 'the number of stars'")
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size!r}: must be 1 or more")
    found = find_pictures(paths)
    adapter = component
    if not isinstance(component, RankingAdapter):
        adapter = _load(component, clip, device)
    # A sentence that cannot be read is told before any picture is.
    adapter.words(prompt)
    scored = score_files(adapter, prompt, found.files, batch_size)
    skipped = found.skipped | scored.faults
    if not scored.files:
        raise ValueError(_all_at_fault(skipped))
    task = asked_task(prompt, adapter.wordings)
    down = highest_first(prompt) != reverse
    known = not np.isnan(scored.strangeness).any()
    return Ranking(
        prompt=prompt,
        table=_table(adapter, scored, task, down),
        highest_first=down,
        total=len(scored.files),
        strange=int((scored.strangeness > 1).sum()) if known else None,
        skipped=skipped,
        ignored=found.ignored,
        task=task,
        unit=adapter.tasks[task].unit if task else None,
        component="this adapter" if adapter is component else os.fspath(component),
        trained_on=_trained_on(adapter),
    )


def _load(
    component: str | os.PathLike, clip: ClipBackbone | None, device: str | torch.device | None
) -> RankingAdapter:
    adapter = load_component(component, clip)
    if not isinstance(adapter, RankingAdapter):
        raise ValueError(
            f"component {os.fspath(component)!r} is a {type(adapter).__name__}, which reads no "
            "sentences: give a RankingAdapter"
        )
    if clip is None and device is not None:
        adapter = load_component(component, load_clip(adapter.clip.name, device))
    return adapter


def _table(adapter: RankingAdapter, scored: Scored, task: str | None, down: bool) -> pd.DataFrame:
    order = np.argsort(-scored.scores if down else scored.scores, kind="stable")
    scores = scored.scores[order]
    table = pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "path": [scored.files[i] for i in order],
            "score": scores,
        }
    )
    if task:
        own = adapter.tasks[task]
        table["value"] = adapter.read(own, scores).value
        if isinstance(own.values[0], str):
            table["label"] = [own.label_of(i) for i in own.nearest_rank(table["value"])]
    if adapter.likeness:
        table["strangeness"] = scored.strangeness[order]
    return table


def _trained_on(adapter: RankingAdapter) -> str:
    """Say what an adapter learned from: its card's words, and a sentence of each task."""
    what = getattr(adapter, "card", {}).get("trained_on", "pictures that nobody described")
    said = ", ".join(repr(known[0]) for known in adapter.wordings.values())
    return f"{what}, by sentences such as {said}."


def _all_at_fault(skipped: dict[str, str]) -> str:
    told = [f"\n  {path!r} {reason}" for path, reason in skipped.items()]
    more = len(told) - FAULTS_TOLD
    rest = f"\n  and {more} more" if more > 0 else ""
    return f"none of {len(told)} pictures can be read:{''.join(told[:FAULTS_TOLD])}{rest}"
