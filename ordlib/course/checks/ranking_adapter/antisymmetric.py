"""Exercise 2: how far from antisymmetric?"""

from collections.abc import Callable

import torch
from torch import Tensor

from ....methods.ranking_adapter.network import RankingNet
from ....methods.ranking_adapter.rank_attention import rank_attention
from ..result import Verdict, called, diagnosing
from .answers import number_of

ROUNDING = 1e-5


def _cases() -> dict[str, Tensor]:
    """Return ``(N, N, ...)`` pairs: antisymmetric ones, and some that are so but for a part."""
    draw = torch.Generator().manual_seed(6)
    plain, deep = (torch.randn(*shape, generator=draw) for shape in ((4, 4), (4, 4, 2, 3)))
    odd, odd_deep = (each - each.transpose(0, 1) for each in (plain, deep))
    diagonal, single, late = odd.clone(), odd.clone(), odd_deep.clone()
    diagonal.fill_diagonal_(0.25)
    single[3, 1] -= 0.75
    late[1, 2, 1, 2] += 0.5
    return {
        "antisymmetric": odd,
        "antisymmetric with more axes": odd_deep,
        "symmetric": plain + plain.T,
        "antisymmetric but for the diagonal": diagonal,
        "antisymmetric but for one pair": single,
        "antisymmetric but for one number of many": late,
        "antisymmetric less a constant": odd_deep - 0.375,
        "anything": deep,
    }


CASES = _cases()
_RIGHT = "the largest |p_ij + p_ji|"


def _sum(pairs: Tensor) -> Tensor:
    return pairs + pairs.transpose(0, 1)


def _outside(far: Tensor) -> Tensor:
    return far[~torch.eye(len(far), dtype=torch.bool)]


_WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda p: _sum(p).abs().max(),
    "you subtract the transposed, which says how far pairs are from symmetric: antisymmetric means "
    "p_ij = -p_ji, so add": lambda p: (p - p.transpose(0, 1)).abs().max(),
    "sums below 0 escape you: take absolute values first": lambda p: _sum(p).max(),
    "you look for the least sum: take absolute values, and the largest": lambda p: _sum(p).min(),
    "you take the absolute value of the mean, where errors cancel": lambda p: _sum(p).mean().abs(),
    "that is the mean: a single wrong pair among many hardly shows. Take the largest": (
        lambda p: _sum(p).abs().mean()
    ),
    "that is the sum of all: take the largest": lambda p: _sum(p).abs().sum(),
    "that is half of it: p_ij + p_ji is not averaged": lambda p: _sum(p).abs().max() / 2,
    "that is a squared distance: take absolute values": lambda p: _sum(p).square().max(),
    "that is a root mean square: take the largest": lambda p: _sum(p).square().mean().sqrt(),
    "that is the length of all: take the largest": lambda p: _sum(p).norm(),
    "you leave the diagonal out: a picture against itself must give 0, and p_ii + p_ii says so": (
        lambda p: _outside(_sum(p)).abs().max()
    ),
    "the diagonal is all that you look at": lambda p: 2 * p.diagonal().abs().max(),
    "that is the largest number itself: where is the transposed?": lambda p: p.abs().max(),
    "absolute values come before the sum: add first, then take them": lambda p: (
        _sum(p.abs()).max()
    ),
    "absolute values come before the difference: they hide the signs": lambda p: (
        p.abs() - p.abs().transpose(0, 1)
    ).abs().max(),
    "you divide by the largest number: give the sum as it is": lambda p: (
        _sum(p).abs().max() / p.abs().max()
    ),
    "your sign is turned round: how far is 0 or more": lambda p: -_sum(p).abs().max(),
}  # fmt: skip
_AXES = (
    "shapes do not fit: i and j are the first two axes, .transpose(0, 1); .T and .mT exchange "
    "others"
)


@diagnosing
def antisymmetry(function: Callable) -> str | Verdict:
    """How far from antisymmetric: the largest of all that ought to be 0.

    Args:
        function: takes ``(N, N, ...)`` numbers of ordered pairs, returns the largest
            |p_ij + p_ji| of all of them, the diagonal included.

    Returns:
        A :class:`Verdict`: passed with what the function finds in a small network,
        before its last layers and after.
    """
    answers = {}
    for name, pairs in CASES.items():
        try:
            answer = number_of(called(lambda pairs=pairs: function(pairs.clone())))
        except RuntimeError as error:
            if "must match the size" not in str(error):
                raise
            return f"{name}: {_AXES}"
        if isinstance(answer, str):
            return answer
        answers[name] = answer
    return _misjudged(answers) or _praise(function)


def _misjudged(answers: dict[str, float]) -> str | None:
    for name, answer in answers.items():
        if answer != answer:
            return f"{name}: your answer is NaN; is there a division by 0?"

    def explained(way: Callable[[Tensor], Tensor]) -> bool:
        return all(_near(answers[name], way(pairs).item()) for name, pairs in CASES.items())

    if explained(_WAYS[""]):
        return None
    for diagnosis, way in _WAYS.items():
        if diagnosis and explained(way):
            return diagnosis
    whole = {name: float(int(_WAYS[""](pairs))) for name, pairs in CASES.items()}
    if all(_near(answers[name], whole[name]) for name in CASES):
        return "you cut off the fraction: return a float"
    name = next(n for n, p in CASES.items() if not _near(answers[n], _WAYS[""](p).item()))
    right = _WAYS[""](CASES[name]).item()
    if right < ROUNDING:
        return f"{name}: {_RIGHT} is 0 but for rounding; yours is {answers[name]:.3g}"
    return f"{name}: {_RIGHT} is {right:.3f}; yours is {answers[name]:.3f}"


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= ROUNDING * max(1.0, abs(other))


def _praise(function: Callable) -> Verdict:
    """Let the function look at a network: at what attention finds, and at the logits."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        net = RankingNet(width=16, text_width=16).eval()
        tokens = net(torch.randn(6, 9, 16), torch.randn(5, 16))
        pairs = net.pairs
        queries = pairs.queries(pairs.relational).unflatten(-1, (pairs.heads, -1))
        found = rank_attention(queries, pairs.tokens(tokens).unflatten(-1, (pairs.heads, -1)))
        before, after = float(function(found)), float(function(net.pair_logits(tokens)))
    return Verdict(
        "passed",
        "the largest of all that ought to be 0, the diagonal among them. In a small fresh network "
        f"what attention finds is off by {before:.1g}; the logits, after biases, norms and ReLUs, "
        f"by {after:.2g}: those layers keep no sign.",
    )
