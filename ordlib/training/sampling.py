"""Batch sampling: deterministic shuffling, batches of the ranking adapter."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..data import ImageData
from ..methods.ranking_adapter.model import RankingAdapter
from ..tasks.templates import fillable_templates, placeholder_names


def epoch_batches(
    count: int, batch_size: int, seed: int, epoch: int, ranks: np.ndarray | None = None
) -> np.ndarray:
    """Return ``(steps, batch_size)`` shuffled row indices of one epoch.

    The order depends on seed and epoch only. ``batch_size`` is capped at ``count``, and an
    incomplete last batch is dropped. With ``(count,)`` ranks, rows are drawn with replacement, and
    all ranks that occur are equally likely.

    Example:
        >>> epoch_batches(5, 2, seed=0, epoch=1).shape
        (2, 2)
    """
    batch_size = min(batch_size, count)
    rng = np.random.default_rng([seed, epoch])
    if ranks is None:
        order = rng.permutation(count)
    else:
        present, rank_index, counts = np.unique(ranks, return_inverse=True, return_counts=True)
        order = rng.choice(count, count, p=1 / (len(present) * counts[rank_index]))
    return order[: count // batch_size * batch_size].reshape(-1, batch_size)


class RankingBatch(NamedTuple):
    """Batch of one prompt: ``(B,)`` rows of a task's data and ``(B,)`` targets of the loss."""

    task: str
    prompt: str
    rows: np.ndarray
    targets: np.ndarray


def sample_ranking_batches(
    adapter: RankingAdapter,
    train: Mapping[str, ImageData],
    steps: int,
    batch_size: int,
    seed: int,
    epoch: int,
) -> list[RankingBatch]:
    """Sample the batches of one epoch.

    Each batch comes from one task; tasks are drawn in proportion to their numbers of images.
    ``train`` maps task names to training data; seed and epoch determine all random choices.
    If the prompt template has placeholders, e.g. for an object, a share ``1 - negative_ratio`` of
    the batch shows that object, and the rest, the negatives, does not contain it and has the
    raw label 0, which suits counts. More negatives replace missing positives.
    Templates without placeholders have no negatives. Notebook 04 builds such a batch step by step.

    References:
        Yu et al. (2025), arXiv:2412.06760, and the released code, whose negatives may contain the
        object.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> data = load_data("dating", "val", num_images=40)
        >>> adapter = RankingAdapter(load_clip("pico-clip", "cpu"), data.task)
        >>> batches = sample_ranking_batches(adapter, {"dating": data}, 2, 10, seed=0, epoch=0)
        >>> len(batches), np.unique(data.values[batches[0].rows], return_counts=True)[1].tolist()
        (2, [2, 2, 2, 2, 2])
    """
    rng = np.random.default_rng([seed, epoch])
    cumulative_sizes = np.cumsum([len(data) for data in train.values()])
    # Systematic sampling: each task gets its share of the steps, also in an epoch of few steps.
    offsets = (np.arange(steps) + rng.random()) / steps * cumulative_sizes[-1]
    task_names = np.array(list(train))[np.searchsorted(cumulative_sizes, offsets, "right")]
    return [_sample_batch(adapter, train[t], batch_size, rng) for t in rng.permutation(task_names)]


def sample_evenly_over_ranks(ranks: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return sorted indices of ``min(count, N)`` images, sampled without replacement.

    The sample is balanced over the ``(N,)`` ranks of the images.

    Example:
        >>> ranks = np.array([0, 0, 0, 0, 1, 2])
        >>> ranks[sample_evenly_over_ranks(ranks, 3, np.random.default_rng(0))]
        array([0, 1, 2])
    """
    order = rng.permutation(len(ranks))
    # Round r has the r-th image of every rank; ties within the last round are broken at random.
    rounds = pd.Series(ranks[order]).groupby(ranks[order]).cumcount().to_numpy()
    return np.sort(order[np.lexsort((rng.random(len(ranks)), rounds))[:count]])


def _sample_batch(
    adapter: RankingAdapter, data: ImageData, batch_size: int, rng: np.random.Generator
) -> RankingBatch:
    name, metadata, ratio = data.task.name, data.metadata, adapter.options.negative_ratio
    templates = fillable_templates(adapter.prompt_templates[name], metadata.columns)
    template = str(rng.choice(templates))
    fields, placeholder_values = sorted(placeholder_names(template)), {}
    if fields:
        placeholder_values = metadata[fields].iloc[rng.integers(len(data))].to_dict()
        rows, values = _sample_with_negatives(data, placeholder_values, batch_size, ratio, rng)
    else:
        rows = sample_evenly_over_ranks(data.ranks, batch_size, rng)
        values = data.values[rows]
    targets = adapter.label_scalers[name].standardize(values).astype(np.float32)
    return RankingBatch(name, template.format(**placeholder_values), rows, targets)


def _sample_with_negatives(
    data: ImageData,
    placeholder_values: Mapping[str, str],
    batch_size: int,
    negative_ratio: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and labels.

    Positives match all placeholder values; negatives (raw label 0) contain none of them.
    """
    metadata = data.metadata
    wanted = pd.Series(placeholder_values)
    matches = (metadata[wanted.index] == wanted).all(axis=1).to_numpy()
    positives = np.flatnonzero(matches)
    num_positives = int((1 - negative_ratio) * batch_size)
    positives = positives[sample_evenly_over_ranks(data.ranks[positives], num_positives, rng)]
    # Search all columns: an image in which the object is only a distractor is no negative.
    mentions = metadata.select_dtypes(exclude="number").isin([*wanted]).any(axis=1).to_numpy()
    # An image with several objects has a row for each: none of them is a negative.
    candidates = np.flatnonzero(~np.isin(data.image_ids, data.image_ids[mentions]))
    count = min(batch_size - len(positives), len(candidates)) if negative_ratio else 0
    negatives = rng.choice(candidates, count, replace=False)
    rows = np.concatenate([positives, negatives])
    return rows, np.concatenate([data.values[positives], np.zeros(count)])
