"""What tightness and diversity are asked about."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot


class Batch(NamedTuple):
    """Pictures and words, as losses take them."""

    features: Tensor
    texts: Tensor
    ranks: Tensor
    values: Tensor
    levels: Tensor


def _drawn(ranks: list[int], values: list[float], levels: list[float]) -> Batch:
    generator = torch.Generator().manual_seed(len(ranks))
    features, texts = (torch.randn(len(n), 3, generator=generator) for n in (ranks, levels))
    numbers = (torch.tensor(ranks), torch.tensor(values), torch.tensor(levels))
    return Batch(1.5 * features, 0.7 * texts, *numbers)


# Never as many pictures as ranks, else what is paired wrongly might fit. No value is a level, so
# that the least distance is not 0.
BATCHES = (
    _drawn([3, 0, 4, 2, 3, 1], [8.0, 1.5, 17.0, 5.0, 10.0, 2.5], [1.0, 2.0, 4.0, 9.0, 20.0]),
    _drawn([1, 0, 3, 2, 3, 1, 0], [3.5, 2.5, 28.0, 12.0, 35.0, 4.0, 1.0], [2.0, 3.0, 11.0, 30.0]),
)
# What does not fit above may fit here, and then be told from its answer.
SQUARE = _drawn([3, 0, 4, 2, 3], [8.0, 1.5, 17.0, 5.0, 10.0], [1.0, 2.0, 4.0, 9.0, 20.0])


def _standing() -> Batch:
    """Return a batch whose pictures stand on their words, some of them on an axis."""
    ranks, values = [0, 1, 2, 3, 4, 5, 0], [1.5, 2.0, 4.0, 9.0, 20.0, 25.0, 1.0]
    batch = _drawn(ranks, values, [1.0, 2.0, 4.0, 9.0, 20.0, 25.0])
    texts = torch.cat([one_hot(torch.arange(3)).float(), batch.texts[3:]])
    return batch._replace(features=2 * texts[batch.ranks], texts=texts)


STANDING = _standing()
