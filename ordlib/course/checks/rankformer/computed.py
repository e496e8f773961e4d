"""Exercises 1, 2 and 5: the residual blend, tightness and diversity, LoRA's parameters."""

from collections.abc import Callable
from numbers import Integral, Real

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from ..match_mistakes import check_gradients, check_tensor, find_mistake, largest_error_index
from ..result import CheckResult, NotImplementedYet, call_solution, describe, exercise_check

# ------------------------------------------------------------- 1: the blend
ALPHA = 0.3
PROMPTS, TRANSFORMED = torch.randn(2, 4, 7, 5, generator=torch.Generator().manual_seed(3))
# Start token, two context tokens and one to three of the rank name are followed by a full stop,
# the end token and padding; the mask has the context and the rank name.
MASK = torch.tensor([[0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0, 0],
                     [0, 1, 1, 1, 1, 1, 0]]).bool()  # fmt: skip


def _masked(blended: Tensor, elsewhere: Tensor = PROMPTS) -> Tensor:
    return torch.where(MASK[..., None], blended, elsewhere)


_UNMASKED = (1 - ALPHA) * PROMPTS + ALPHA * TRANSFORMED
BLENDED = _masked(_UNMASKED)
_BLENDS = [
    ("", BLENDED),
    ("alpha and 1 - alpha are swapped: alpha is the share of transformed",
     _masked(ALPHA * PROMPTS + (1 - ALPHA) * TRANSFORMED)),
    ("you add alpha * transformed to whole prompts, a residual sum: scale the prompts by 1 - alpha",
     _masked(PROMPTS + ALPHA * TRANSFORMED)),
    ("your blend also changes start, end and padding: blend only in the mask", _UNMASKED),
    ("the mask is inverted: blend where it is True", _masked(PROMPTS, elsewhere=_UNMASKED)),
    ("masked positions become 0: keep the prompts where the mask is False",
     _masked(_UNMASKED, elsewhere=0 * PROMPTS)),
]  # fmt: skip


@exercise_check
def blend(function: Callable) -> str | None:
    """At alpha = 0 the prompts, bit by bit; above it only what the mask selects changes.

    The function takes ``(M, L, W)`` prompts and transformed, ``(M, L)`` bool mask, alpha.
    """
    inputs = {"prompts": PROMPTS.clone(), "transformed": TRANSFORMED.clone()}
    try:
        answer = call_solution(lambda: function(*inputs.values(), MASK.clone(), ALPHA))
    except RuntimeError as error:
        if "must match the size" not in str(error):
            raise
        return "shapes differ: the mask is (M, L), prompts (M, L, W). Add an axis: mask[..., None]"
    for name, original in (("prompts", PROMPTS), ("transformed", TRANSFORMED)):
        if not torch.equal(inputs[name], original):
            return f"you change {name} in place: work on a copy, .clone(), or use torch.where"
    hints = {(int(MASK.sum()), 5): "these are the positions of the mask; return all, (M, L, W)"}
    if message := check_tensor(answer, (4, 7, 5), hints):
        return message
    if answer.dtype != PROMPTS.dtype:
        return f"you return {answer.dtype}: keep the type of the prompts"
    mistake = find_mistake(answer.detach(), _BLENDS)
    if mistake is None:
        i = largest_error_index(answer, BLENDED)
        inputs = f"mask {bool(MASK[i[:2]])}, alpha {ALPHA}, prompts {PROMPTS[i]:.3f}"
        inputs = f"{inputs} and transformed {TRANSFORMED[i]:.3f}"
        return f"at {i}, {inputs} give {BLENDED[i]:.3f}; yours is {answer[i]:.3f}"
    return mistake or _check_mask_and_gradients(function)


def _check_mask_and_gradients(function: Callable) -> str | None:
    """Check NaN where the mask is False, alpha = 0, and the gradients."""
    with_nan = TRANSFORMED.masked_fill(~MASK[..., None], torch.nan)
    if not call_solution(function, PROMPTS, with_nan, MASK, ALPHA).isfinite().all():
        return "a NaN outside the mask leaks into the result, as 0 * NaN is NaN: use torch.where"
    at_zero = call_solution(function, PROMPTS, TRANSFORMED, MASK, 0.0)
    if not torch.equal(at_zero, PROMPTS):
        off = f"up to {(at_zero - PROMPTS).abs().max():.1g} off. Do not change alpha"
        return f"at alpha = 0 the result is not bit by bit the prompts: it is {off}"
    inputs = {"prompts": PROMPTS, "transformed": TRANSFORMED}
    return check_gradients(lambda p, t: function(p, t, MASK.clone(), ALPHA), **inputs)


# ------------------------------------------------------------- 2: tightness and diversity
# The numbers of images and ranks differ, so that wrong pairs do not fit. No label is a rank value,
# so that the least distance is not 0.
RANKS = torch.tensor([3, 0, 4, 2, 3, 1])
VALUES = torch.tensor([8.0, 1.5, 17.0, 5.0, 10.0, 2.5])
RANK_VALUES = torch.tensor([1.0, 2.0, 4.0, 9.0, 20.0])
_GENERATOR = torch.Generator().manual_seed(6)
FEATURES, TEXTS = (
    size * torch.randn(count, 3, generator=_GENERATOR) for size, count in ((1.5, 6), (0.7, 5))
)
# Texts, three of them on an axis, for images whose features equal their text features.
AXIS_TEXTS = torch.cat([one_hot(torch.arange(3)).float(), TEXTS[3:]])

_F, _T = FEATURES.double(), TEXTS.double()
_UNIT_F, _UNIT_T = normalize(_F), normalize(_T)
_UNNORMALIZED = [
    ("nothing is normalized: bring features and texts to length 1 first", _F, _T),
    ("the texts are not normalized: bring them to length 1, too", _UNIT_F, _T),
    ("the features are not normalized: bring them to length 1, too", _F, _UNIT_T),
]
_DISTANCES = torch.cdist(_UNIT_F, _UNIT_T)
_SIGNED = VALUES[:, None] - RANK_VALUES
_GAPS = _SIGNED.abs().double()
_WEIGHTS = (_GAPS - _GAPS.min()) / _GAPS.max()
_SQUARED = (_UNIT_F - _UNIT_T[RANKS]).square().sum(1)


def _diversity(weights: Tensor, distances: Tensor = _DISTANCES) -> Tensor:
    return -(weights * distances).mean()


TIGHTNESS = [
    ("", _SQUARED.mean()),
    *((text, (f - t[RANKS]).square().sum(1).mean()) for text, f, t in _UNNORMALIZED),
    ("you pair every image with all texts: take texts[ranks]", _DISTANCES.square().mean()),
    ("the distance is not squared: in tightness it is", _SQUARED.sqrt().mean()),
    ("you take the mean over the D coordinates: take their sum", _SQUARED.mean() / 3),
    ("that is the sum over the images: take the mean", _SQUARED.sum()),
    ("the sign is wrong: it pushes images from their own prompt", -_SQUARED.mean()),
]  # fmt: skip
DIVERSITY = [
    ("", _diversity(_WEIGHTS)),
    *((text, _diversity(_WEIGHTS, torch.cdist(f, t))) for text, f, t in _UNNORMALIZED),
    ("the distance is squared: in diversity it is not", _diversity(_WEIGHTS, _DISTANCES**2)),
    ("value - rank value has a sign: take the absolute value",
     _diversity((_SIGNED - _SIGNED.min()) / _SIGNED.max())),
    ("the weights are bare label distances: subtract their minimum, divide by their maximum",
     _diversity(_GAPS)),
    ("the minimum is not subtracted from the weights", _diversity(_GAPS / _GAPS.max())),
    ("you take the maximum after you subtract the minimum: take it before",
     _diversity((_GAPS - _GAPS.min()) / (_GAPS.max() - _GAPS.min()))),
    ("the weights are rescaled row by row: take minimum and maximum of the whole matrix",
     _diversity((_GAPS - _GAPS.amin(1, keepdim=True)) / _GAPS.amax(1, keepdim=True))),
    ("there are no weights: the further a rank, the larger its weight", -_DISTANCES.mean()),
    ("that is the sum: take the mean over all images and ranks", -(_WEIGHTS * _DISTANCES).sum()),
    ("you take the sum over the ranks: divide by their number, too", 5 * _diversity(_WEIGHTS)),
    ("the sign is wrong: it pulls to far ranks. Take minus the mean", -_diversity(_WEIGHTS)),
]  # fmt: skip


@exercise_check
def pull_and_push(my_tightness: Callable, my_diversity: Callable) -> str | None:
    """Images are pulled to their own prompts and pushed from all, harder from distant ranks.

    Tightness takes ``(B, D)`` features, ``(M, D)`` texts and ``(B,)`` ranks; diversity features,
    texts, ``(B,)`` values and ``(M,)`` rank_values, from which its weights follow.
    """
    pairs = "values[:, None] - rank_values and torch.cdist(features, texts) are both (B, M)"
    messages, stub = [], "it returns nothing yet"
    for function, labels, known, hint in (
        (my_tightness, (RANKS,), TIGHTNESS, "texts[ranks] has a row per image"),
        (my_diversity, (VALUES, RANK_VALUES), DIVERSITY, pairs),
    ):
        try:
            message = _check_loss(function, labels, known)
        except NotImplementedYet:
            message = stub
        except Exception as error:  # so that the other function is still checked
            raised = describe(error)
            shapes_differ = "must match the size" in raised
            message = f"shapes differ: {hint}" if shapes_differ else f"it raised {raised}"
        messages.append(message)
    if messages == [stub, stub]:
        raise NotImplementedYet
    parts = [f": {message}" if message else " is right" for message in messages]
    return "my_tightness{}. my_diversity{}".format(*parts) if any(messages) else None


def _check_loss(function: Callable, labels: tuple[Tensor, ...], known: list) -> str | None:
    answer = call_solution(function, FEATURES, TEXTS, *labels)
    hints = {(6,): "a number per image: take the mean", (6, 5): "a number per pair: take the mean"}
    if message := check_tensor(answer, (), hints):
        return message
    mistake = find_mistake(answer.item(), known)
    if mistake is None:
        return f"for 6 images and 5 ranks the result is {known[0][1]:.4f}; yours is {answer:.4f}"
    return mistake or _check_loss_gradients(function, labels)


def _check_loss_gradients(function: Callable, labels: tuple[Tensor, ...]) -> str | None:
    """Check gradients, also at distance 0, where the slope of a square root is infinite."""

    def loss(features: Tensor, texts: Tensor) -> Tensor:
        return function(features, texts, *(label.clone() for label in labels))

    if message := check_gradients(loss, features=FEATURES, texts=TEXTS):
        return message
    leaves = [tensor.clone().requires_grad_() for tensor in (2 * AXIS_TEXTS[RANKS], AXIS_TEXTS)]
    result = loss(*leaves)
    gradients = torch.autograd.grad(result, leaves)
    if result.isfinite() and all(gradient.isfinite().all() for gradient in gradients):
        return None
    what = "gradient" if result.isfinite() else "result"
    hint = f"the {what} is not finite (a root of 0, or of less by rounding?). Use torch.cdist"
    return f"right except where image and text features are equal: {hint}"


# ------------------------------------------------------------- 5: parameters of LoRA
# The last is square, so that a count that is right only for equal widths is recognized.
LAYERS = ((512, 2048, 8), (192, 64, 3), (768, 768, 4))
_WRONG_COUNTS = [
    ("that is the full, frozen matrix: count rank * in + rank * out", lambda i, o, r: i * o),
    ("you count the frozen weights: count what is trained", lambda i, o, r: i * o + r * (i + o)),
    ("you omit the second matrix, up from the rank: out x rank", lambda i, o, r: r * i),
    ("you omit the first matrix, down to the rank: rank x in", lambda i, o, r: r * o),
    ("you count a bias: LoRA's two matrices have none", lambda i, o, r: r * (i + o) + o),
    ("right only where both widths are equal: rank x in, out x rank", lambda i, o, r: 2 * r * i),
]  # fmt: skip


@exercise_check
def lora_parameters(function: Callable) -> str | CheckResult:
    """Number of parameters that LoRA adds to a linear layer: rank * (width_in + width_out)."""
    answers = [call_solution(function, *layer) for layer in LAYERS]
    for answer in answers:
        if isinstance(answer, bool) or not isinstance(answer, Real):
            return f"you return a {type(answer).__name__}: return the number of parameters, an int"
    wrong = ((text, [count(*layer) for layer in LAYERS]) for text, count in _WRONG_COUNTS)
    if mistake := find_mistake(answers, wrong):
        return mistake
    for answer, (width_in, width_out, rank) in zip(answers, LAYERS, strict=True):
        if float(answer) != (expected := rank * (width_in + width_out)):
            layer = f"a layer of {width_in} x {width_out}"
            return f"{layer} gets {expected} parameters at rank {rank}; you count {answer}"
    if not all(isinstance(answer, Integral) for answer in answers):
        return "the number is right, but it is a float: return an int"
    width_in, width_out, rank = LAYERS[0]
    full, added = width_in * width_out, int(answers[0])
    return CheckResult(
        "passed",
        f"rank {rank} adds {added:,} parameters to a layer of {width_in} x {width_out}, where the "
        f"full matrix has {full:,}: {added / full:.1%} of it are trained, the rest stays.",
    )
