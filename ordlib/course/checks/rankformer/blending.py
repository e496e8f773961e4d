"""Exercise 1: the blend."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..match_mistakes import mistaken, unreached
from ..result import called, diagnosing

ALPHA = 0.3
PROMPTS, TRANSFORMED = torch.randn(2, 4, 7, 5, generator=torch.Generator().manual_seed(3))
# Start, two of context, one to three of the rank's words; then full stop, end and padding.
LIVE = torch.tensor([[0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0, 0],
                     [0, 1, 1, 1, 1, 1, 0]]).bool()  # fmt: skip

_MIXES = {
    "": lambda p, t, a: (1 - a) * p + a * t,
    "alpha and 1 - alpha are swapped: alpha is the share of transformed": lambda p, t, a: (
        a * p + (1 - a) * t
    ),
    "you add alpha * transformed to whole prompts: a residual sum. In a blend the prompts keep "
    "1 - alpha": lambda p, t, a: p + a * t,
    "you take transformed whole: where is alpha?": lambda p, t, a: t,
    "nothing moves: where alive, mix alpha * transformed in": lambda p, t, a: p,
    "you add both whole: where is alpha?": lambda p, t, a: p + t,
}
_MASKS = {
    "": lambda b, p: torch.where(LIVE[..., None], b, p),
    "your blend also moves start, end and padding: blend where live is True, and leave prompts "
    "elsewhere": lambda b, p: b,
    "live is turned round: you blend the dead positions and leave the live ones": lambda b, p: (
        torch.where(LIVE[..., None], p, b)
    ),
    "you use one row of live for all ranks: ranks differ in how many words they have": (
        lambda b, p: torch.where(LIVE[0, :, None], b, p)
    ),
    "dead positions become 0: they must stay as the prompts are": lambda b, p: torch.where(
        LIVE[..., None], b, 0 * p
    ),
    "dead positions shrink to 1 - alpha of the prompts: they must stay as they are": lambda b, p: (
        torch.where(LIVE[..., None], b, (1 - ALPHA) * p)
    ),
}


@diagnosing
def blend(function: Callable) -> str | None:
    """At alpha = 0 the prompts, bit by bit; above it only what is alive moves.

    Args:
        function: takes ``(M, L, W)`` prompts, as many transformed, ``(M, L)`` bool live and alpha;
            returns ``(M, L, W)``: (1 - alpha) prompts + alpha transformed where alive, prompts
            elsewhere.

    Returns:
        A :class:`Verdict`.
    """
    given = {"prompts": PROMPTS.clone(), "transformed": TRANSFORMED.clone(), "live": LIVE.clone()}
    try:
        answer = called(lambda: function(*given.values(), ALPHA))
    except RuntimeError as error:
        if "must match the size" not in str(error):
            raise
        return "shapes do not fit: live is (M, L), prompts (M, L, W). Give it an axis: [..., None]"
    for name, before in (("prompts", PROMPTS), ("transformed", TRANSFORMED), ("live", LIVE)):
        if not torch.equal(given[name], before):
            return f"you change {name} in place: work on a copy, .clone(), or use torch.where"
    return _misshapen(answer) or _mixed_up(answer) or _leaking(function) or _fading(function)


def _misshapen(answer: object) -> str | None:
    if not isinstance(answer, Tensor):
        return f"you return a {type(answer).__name__}: stay in torch, for the gradient's sake"
    if answer.shape == (int(LIVE.sum()), PROMPTS.shape[2]):
        return "you return the live positions alone: put them back among the others, (M, L, W)"
    if answer.shape != PROMPTS.shape:
        return f"for prompts {tuple(PROMPTS.shape)} you return {tuple(answer.shape)}: give as many"
    if answer.dtype != PROMPTS.dtype:
        return f"you return {answer.dtype} for {PROMPTS.dtype}: keep the prompts' type"
    return None


def _mixed_up(answer: Tensor) -> str | None:
    diagnosis = mistaken(
        answer, (_MIXES, _MASKS), lambda mix, mask: mask(mix(PROMPTS, TRANSFORMED, ALPHA), PROMPTS)
    )
    if diagnosis is not None:
        return diagnosis
    right = torch.where(LIVE[..., None], PROMPTS.lerp(TRANSFORMED, ALPHA), PROMPTS)
    furthest = (answer - right).abs().nan_to_num(torch.inf).argmax()
    place = tuple(int(i) for i in torch.unravel_index(furthest, right.shape))
    return (
        f"at {place}, live {bool(LIVE[place[:2]])}, alpha {ALPHA}, prompts "
        f"{PROMPTS[place]:.3f} and transformed {TRANSFORMED[place]:.3f} give {right[place]:.3f}; "
        f"yours is {answer[place]:.3f}"
    )


def _leaking(function: Callable) -> str | None:
    """What F makes of dead positions has no meaning, and may not be finite."""
    spoilt = TRANSFORMED.masked_fill(~LIVE[..., None], torch.nan)
    answer = function(PROMPTS.clone(), spoilt, LIVE.clone(), ALPHA)
    if answer.isfinite().all():
        return None
    return (
        "a NaN in transformed leaks from dead positions into the result: 0 * NaN is NaN, so "
        "multiplying by a mask cannot keep it out. torch.where chooses"
    )


def _fading(function: Callable) -> str | None:
    """Look at both ends of alpha, and at the gradient."""
    unmoved = function(PROMPTS.clone(), TRANSFORMED.clone(), LIVE.clone(), 0.0)
    if not torch.equal(unmoved, PROMPTS):
        return (
            f"right at alpha = {ALPHA}, but at alpha = 0 the result is not bit by bit the prompts: "
            f"it is up to {(unmoved - PROMPTS).abs().max():.1g} off. Leave alpha as it comes"
        )
    full = function(PROMPTS.clone(), TRANSFORMED.clone(), LIVE.clone(), 1.0)
    if not torch.allclose(full, torch.where(LIVE[..., None], TRANSFORMED, PROMPTS), atol=1e-5):
        return f"right at alpha = {ALPHA}, but at alpha = 1 the live part is not transformed itself"
    leaves = {"prompts": PROMPTS.clone(), "transformed": TRANSFORMED.clone()}
    tracked = {name: leaf.requires_grad_() for name, leaf in leaves.items()}
    return unreached(function(*tracked.values(), LIVE.clone(), ALPHA), tracked)
