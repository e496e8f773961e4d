"""What tightness and diversity share: lengths, and distances between rows."""

from torch import Tensor
from torch.nn.functional import normalize

LENGTHS = {
    "": lambda f, t: (normalize(f, dim=1), normalize(t, dim=1)),
    "nothing is normalised: bring features and texts to length 1 first": lambda f, t: (f, t),
    "the texts are not normalised: bring them to length 1, too": lambda f, t: (
        normalize(f, dim=1), t),
    "the features are not normalised: bring them to length 1, too": lambda f, t: (
        f, normalize(t, dim=1)),
    "you normalise over the wrong axis: each row to length 1, dim=1": lambda f, t: (
        normalize(f, dim=0), normalize(t, dim=0)),
}  # fmt: skip


def distances(one: Tensor, other: Tensor) -> Tensor:
    """Return ``(B, M)`` distances between rows."""
    return (one[:, None] - other).square().sum(2).sqrt()
