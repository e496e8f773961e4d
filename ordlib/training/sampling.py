"""Batches of every step, in an order that the seed and the epoch alone decide."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from ..data import ImageData
from ..methods.image_encoder import BatchLoader
from ..methods.ranking_adapter.model import RankingAdapter
from ..tasks.templates import placeholder_names


def epoch_batches(count: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """Shuffle pictures into full batches; those left over wait for another epoch.

    Args:
        count: pictures.
        batch_size: of a step; capped at ``count``.
        seed, epoch: decide the order.

    Returns:
        ``(steps, batch_size)`` int64 rows.

    Example:
        >>> epoch_batches(5, 2, seed=0, epoch=1).shape
        (2, 2)
    """
    batch_size = min(batch_size, count)
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return order[: count // batch_size * batch_size].reshape(-1, batch_size)


def prefetch(inputs: BatchLoader, batches: np.ndarray) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Yield rows and inputs, the next batch being read while the present one is in use."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(inputs, batches[0])
        for now, after in zip(batches, [*batches[1:], None], strict=True):
            ready = coming.result()
            if after is not None:
                coming = reader.submit(inputs, after)
            yield now, ready


class RankBatch(NamedTuple):
    """What one step of a ranking adapter sees.

    Attributes:
        task: name of the task.
        prompt: the sentence.
        rows: ``(B,)`` positions in that task's data.
        targets: ``(B,)`` standardised labels; of a picture without what is counted, that of 0.
    """

    task: str
    prompt: str
    rows: np.ndarray
    targets: np.ndarray


def rank_batches(
    adapter: RankingAdapter,
    train: Mapping[str, ImageData],
    steps: int,
    batch_size: int,
    seed: int,
    epoch: int,
) -> list[RankBatch]:
    """Draw the batches of an epoch, of each task as many as its share of the pictures.

    Where a sentence names a thing, a batch is about one thing: ``1 - negatives`` of it shows that
    thing, the rest does not, and holds none of it. Only counts have such a zero, so only sentences
    with a placeholder have negatives.

    Args:
        adapter: says sentences, scales and the share of negatives.
        train: pictures by name of the task.
        steps: batches to draw.
        batch_size: pictures in each.
        seed, epoch: decide everything.

    Returns:
        The batches, in the order of the steps.

    Source:
        Yu et al. (2025), Ranking-aware adapter, arXiv 2412.06760, and the released code, whose
        negatives may contain what is counted; here they never do.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> data = load_data("dating", "val", num_images=40)
        >>> adapter = RankingAdapter(load_clip("pico-clip", "cpu"), data.task)
        >>> drawn = rank_batches(adapter, {"dating": data}, 2, 10, seed=0, epoch=0)
        >>> len(drawn), np.unique(data.values[drawn[0].rows], return_counts=True)[1].tolist()
        (2, [2, 2, 2, 2, 2])
    """
    rng = np.random.default_rng([seed, epoch])
    sizes = np.cumsum([len(data) for data in train.values()])
    # One place in every batch's worth of pictures, so that also few steps are shared out fairly.
    places = (np.arange(steps) + rng.random()) / steps * sizes[-1]
    names = rng.permutation(np.array(list(train))[np.searchsorted(sizes, places, "right")])
    return [_draw(adapter, train[name], batch_size, rng) for name in names]


def sample_evenly_over_ranks(ranks: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw pictures evenly over their ranks, none of them twice.

    Args:
        ranks: ``(N,)``.
        count: pictures to draw; all where there are no more.
        rng: of the draw.

    Returns:
        ``(min(count, N),)`` positions.

    Example:
        >>> ranks = np.array([0, 0, 0, 0, 1, 2])
        >>> ranks[sample_evenly_over_ranks(ranks, 3, np.random.default_rng(0))]
        array([0, 1, 2])
    """
    order = rng.permutation(len(ranks))
    turn = pd.Series(ranks[order]).groupby(ranks[order]).cumcount().to_numpy()
    # First one of every rank, then a second one: within a turn chance decides, and not how many
    # pictures a rank has.
    return np.sort(order[np.lexsort((rng.random(len(ranks)), turn))[:count]])


def _draw(
    adapter: RankingAdapter, data: ImageData, batch_size: int, rng: np.random.Generator
) -> RankBatch:
    name = data.task.name
    known = [
        s
        for s in adapter.prompt_templates[name]
        if placeholder_names(s) <= set(data.metadata.columns)
    ]
    sentence = str(rng.choice(known))
    fields = sorted(placeholder_names(sentence))
    scale = adapter.label_scalers[name]
    if not fields:
        rows = sample_evenly_over_ranks(data.ranks, batch_size, rng)
        return RankBatch(
            name, sentence, rows, scale.transform(data.values[rows]).astype(np.float32)
        )
    asked = data.metadata[fields].iloc[rng.integers(len(data))].to_dict()
    shown = (data.metadata[fields] == pd.Series(asked)).all(axis=1).to_numpy()
    share = adapter.options.negative_ratio
    others = _negative_rows(data.metadata, asked)
    positives = np.flatnonzero(shown)
    wanted = int((1 - share) * batch_size)
    positives = positives[sample_evenly_over_ranks(data.ranks[positives], wanted, rng)]
    count = min(batch_size - len(positives), len(others)) if share else 0
    negatives = rng.choice(others, count, replace=False)
    values = np.concatenate([data.values[positives], np.zeros(count)])
    rows = np.concatenate([positives, negatives])
    return RankBatch(
        name, sentence.format(**asked), rows, scale.transform(values).astype(np.float32)
    )


def _negative_rows(records: pd.DataFrame, asked: Mapping[str, str]) -> np.ndarray:
    """Return the rows in which no column names what is asked for, a distractor's neither."""
    named = records.select_dtypes(exclude="number").isin(list(asked.values()))
    return np.flatnonzero(~named.any(axis=1))
