"""Exercises 1, 2 and 5: the blend, tightness and diversity, and what LoRA adds."""

from collections.abc import Callable
from numbers import Integral, Real

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from ..match_mistakes import furthest, resembling, unreached
from ..result import CheckResult, Unfinished, called, exercise_check

# ------------------------------------------------------------- 1: the blend
ALPHA = 0.3
PROMPTS, TRANSFORMED = torch.randn(2, 4, 7, 5, generator=torch.Generator().manual_seed(3))
# Start, two of context, one to three of the rank's words; then full stop, end and padding.
LIVE = torch.tensor([[0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0, 0],
                     [0, 1, 1, 1, 1, 1, 0]]).bool()  # fmt: skip


def _masked(blended: Tensor, elsewhere: Tensor = PROMPTS) -> Tensor:
    return torch.where(LIVE[..., None], blended, elsewhere)


_MIXED = (1 - ALPHA) * PROMPTS + ALPHA * TRANSFORMED
BLENDED = _masked(_MIXED)
_BLENDS = [
    ("", BLENDED),
    ("alpha and 1 - alpha are swapped: alpha is the share of transformed",
     _masked(ALPHA * PROMPTS + (1 - ALPHA) * TRANSFORMED)),
    ("you add alpha * transformed to whole prompts: a residual sum. In a blend the prompts keep "
     "1 - alpha", _masked(PROMPTS + ALPHA * TRANSFORMED)),
    ("your blend also moves start, end and padding: blend where live is True, and leave prompts "
     "elsewhere", _MIXED),
    ("live is turned round: you blend the dead positions and leave the live ones",
     _masked(PROMPTS, elsewhere=_MIXED)),
    ("dead positions become 0: they must stay as the prompts are",
     _masked(_MIXED, elsewhere=0 * PROMPTS)),
]  # fmt: skip


@exercise_check
def blend(function: Callable) -> str | None:
    """At alpha = 0 the prompts, bit by bit; above it only what is alive moves.

    The function takes ``(M, L, W)`` prompts, as many transformed, ``(M, L)`` bool live and alpha;
    returns ``(M, L, W)``.
    """
    given = {"prompts": PROMPTS.clone(), "transformed": TRANSFORMED.clone()}
    try:
        answer = called(lambda: function(*given.values(), LIVE.clone(), ALPHA))
    except RuntimeError as error:
        if "must match the size" not in str(error):
            raise
        return "shapes do not fit: live is (M, L), prompts (M, L, W). Give it an axis: [..., None]"
    for name, before in (("prompts", PROMPTS), ("transformed", TRANSFORMED)):
        if not torch.equal(given[name], before):
            return f"you change {name} in place: work on a copy, .clone(), or use torch.where"
    if not isinstance(answer, Tensor):
        return f"you return a {type(answer).__name__}: stay in torch, for the gradient's sake"
    if answer.shape == (int(LIVE.sum()), PROMPTS.shape[2]):
        return "you return the live positions alone: put them back among the others, (M, L, W)"
    if answer.shape != PROMPTS.shape:
        return f"for prompts {tuple(PROMPTS.shape)} you return {tuple(answer.shape)}: give as many"
    if answer.dtype != PROMPTS.dtype:
        return f"you return {answer.dtype} for {PROMPTS.dtype}: keep the prompts' type"
    diagnosis = resembling(answer.detach(), _BLENDS)
    if diagnosis is None:
        place = furthest(answer, BLENDED)
        return (
            f"at {place}, live {bool(LIVE[place[:2]])}, alpha {ALPHA}, prompts "
            f"{PROMPTS[place]:.3f} and transformed {TRANSFORMED[place]:.3f} give "
            f"{BLENDED[place]:.3f}; yours is {answer[place]:.3f}"
        )
    return diagnosis or _leaking(function)


def _leaking(function: Callable) -> str | None:
    """Look at nonsense in dead positions, at alpha = 0, and at the gradient."""
    spoilt = TRANSFORMED.masked_fill(~LIVE[..., None], torch.nan)
    if not called(function, PROMPTS, spoilt, LIVE, ALPHA).isfinite().all():
        return (
            "a NaN in transformed leaks from dead positions into the result: 0 * NaN is NaN, so "
            "multiplying by a mask cannot keep it out. torch.where chooses"
        )
    unmoved = called(function, PROMPTS, TRANSFORMED, LIVE, 0.0)
    if not torch.equal(unmoved, PROMPTS):
        return (
            f"right at alpha = {ALPHA}, but at alpha = 0 the result is not bit by bit the prompts: "
            f"it is up to {(unmoved - PROMPTS).abs().max():.1g} off. Leave alpha as it comes"
        )
    return unreached(
        lambda prompts, transformed: function(prompts, transformed, LIVE.clone(), ALPHA),
        prompts=PROMPTS,
        transformed=TRANSFORMED,
    )


# ------------------------------------------------------------- 2: tightness and diversity
# Not as many pictures as ranks, else what is paired wrongly might fit. No value is a level, so
# that the least distance is not 0.
RANKS = torch.tensor([3, 0, 4, 2, 3, 1])
VALUES, LEVELS = (
    torch.tensor([8.0, 1.5, 17.0, 5.0, 10.0, 2.5]), torch.tensor([1.0, 2.0, 4.0, 9.0, 20.0])
)  # fmt: skip
_DRAW = torch.Generator().manual_seed(6)
FEATURES, TEXTS = (
    size * torch.randn(count, 3, generator=_DRAW) for size, count in ((1.5, 6), (0.7, 5))
)
# Pictures that stand on their words, three of them on an axis.
STANDING = torch.cat([one_hot(torch.arange(3)).float(), TEXTS[3:]])

_F, _T = FEATURES.double(), TEXTS.double()
_UNIT_F, _UNIT_T = normalize(_F), normalize(_T)
_UNNORMALISED = [
    ("nothing is normalised: bring features and texts to length 1 first", _F, _T),
    ("the texts are not normalised: bring them to length 1, too", _UNIT_F, _T),
    ("the features are not normalised: bring them to length 1, too", _F, _UNIT_T),
]
_APART = torch.cdist(_UNIT_F, _UNIT_T)
_FAR = (VALUES[:, None] - LEVELS).abs().double()
_WEIGHTS = (_FAR - _FAR.min()) / _FAR.max()
_SIGNED = VALUES[:, None] - LEVELS
_OWN = (_UNIT_F - _UNIT_T[RANKS]).square().sum(1)
PULLS = [
    ("", _OWN.mean()),
    *((told, (f - t[RANKS]).square().sum(1).mean()) for told, f, t in _UNNORMALISED),
    ("every picture meets all texts: take the text of its own rank, texts[ranks]",
     _APART.square().mean()),
    ("the distance is not squared: in tightness it is", _OWN.sqrt().mean()),
    ("you take the mean over the D coordinates: a squared distance is their sum", _OWN.mean() / 3),
    ("that is the sum over the pictures: take the mean", _OWN.sum()),
    ("the sign is turned round: minus a distance, made small, pushes from the own text",
     -_OWN.mean()),
]  # fmt: skip
PUSHES = [
    ("", -(_WEIGHTS * _APART).mean()),
    *((told, -(_WEIGHTS * torch.cdist(f, t)).mean()) for told, f, t in _UNNORMALISED),
    ("the distance is squared: in diversity it is not", -(_WEIGHTS * _APART**2).mean()),
    ("value - level has a sign: take the absolute value",
     -((_SIGNED - _SIGNED.min()) / _SIGNED.max() * _APART).mean()),
    ("the weights are bare distances of labels: less their least, divided by their greatest",
     -(_FAR * _APART).mean()),
    ("the least is not taken off the weights", -(_FAR / _FAR.max() * _APART).mean()),
    ("the greatest is taken when the least is off already: take both from |value - level|",
     -((_FAR - _FAR.min()) / (_FAR.max() - _FAR.min()) * _APART).mean()),
    ("the weights are rescaled row by row: least and greatest of the whole matrix",
     -((_FAR - _FAR.amin(1, keepdim=True)) / _FAR.amax(1, keepdim=True) * _APART).mean()),
    ("there are no weights: the further a rank, the harder the push", -_APART.mean()),
    ("that is the sum: take the mean over all pictures and ranks", -(_WEIGHTS * _APART).sum()),
    ("the sign is turned round: a distance, made small, pulls to far ranks. Minus it",
     (_WEIGHTS * _APART).mean()),
]  # fmt: skip


@exercise_check
def pull_and_push(my_tightness: Callable, my_diversity: Callable) -> str | None:
    """Pulled to its own words, pushed from the others', the harder the further.

    Tightness takes ``(B, D)`` features, ``(M, D)`` texts and ``(B,)`` ranks; diversity features,
    texts, ``(B,)`` values and ``(M,)`` rank_values, from which its weights follow.
    """
    both_fit = "values[:, None] - rank_values and torch.cdist(features, texts) are both (B, M)"
    own_fit = "texts[ranks] gives a row for each picture"
    told, stubs = [], 0
    for name, function, others, known, fit in (
        ("my_tightness", my_tightness, (RANKS,), PULLS, own_fit),
        ("my_diversity", my_diversity, (VALUES, LEVELS), PUSHES, both_fit),
    ):
        try:
            complaint = _judged(function, others, known)
        except Unfinished:
            stubs += 1
            complaint = "it returns nothing yet"
        except Exception as error:  # the other function deserves its answer, too
            complaint = f"it raised {type(error).__name__}: {error}"
            if "must match the size" in str(error):
                complaint = f"shapes do not fit: {fit}"
        told.append(f"{name}: {complaint}" if complaint else f"{name} is right")
    if stubs == len(told):
        raise Unfinished
    return None if all(line.endswith(" is right") for line in told) else ". ".join(told)


def _judged(function: Callable, others: tuple[Tensor, ...], known: list) -> str | None:
    answer = called(function, FEATURES, TEXTS, *others)
    if not isinstance(answer, Tensor):
        return (
            f"you return a {type(answer).__name__}, which no gradient can pass: return a tensor, "
            "without item or numpy"
        )
    if answer.shape != ():
        over = {(6,): "a number for each picture", (6, 5): "a number for each pair"}
        shape = over.get(tuple(answer.shape), f"shape {tuple(answer.shape)}")
        return f"you return {shape}: take the mean, a scalar"
    if not answer.isfinite():
        return f"your answer is {answer.item()}: is there a division by 0, or a root of less?"
    diagnosis = resembling(answer.item(), known)
    if diagnosis is None:
        right = known[0][1]
        return f"for 6 pictures and 5 ranks the answer is {right:.4f}; yours is {answer:.4f}"
    return diagnosis or _ungraded(function, others)


def _ungraded(function: Callable, others: tuple[Tensor, ...]) -> str | None:
    """Look at gradients, also of pictures on their words, where a root has an infinite slope."""

    def result(features: Tensor, texts: Tensor) -> Tensor:
        return function(features, texts, *(each.clone() for each in others))

    if complaint := unreached(result, features=FEATURES, texts=TEXTS):
        return complaint
    leaves = [each.clone().requires_grad_() for each in (2 * STANDING[RANKS], STANDING)]
    standing = result(*leaves)
    gradients = torch.autograd.grad(standing, leaves)
    if standing.isfinite() and all(gradient.isfinite().all() for gradient in gradients):
        return None
    what = "gradient" if standing.isfinite() else "answer"
    return (
        f"right but where a picture stands on its word: there the {what} is not finite, for a root "
        "has an infinite slope at 0, and rounding may bring it less than 0. torch.cdist minds that"
    )


# ------------------------------------------------------------- 5: what LoRA adds
# The last is square, so that a mistake in one of two unequal widths shows beside it.
LAYERS = ((512, 2048, 8), (192, 64, 3), (768, 768, 4))
_WRONG_COUNTS = [
    ("that is the full matrix, which stays as it is: LoRA adds rank * in and rank * out",
     lambda i, o, r: i * o),
    ("the frozen weights are in: count only what is added and trained",
     lambda i, o, r: i * o + r * (i + o)),
    ("you forget the second matrix: back up from the rank, out x rank", lambda i, o, r: r * i),
    ("you forget the first matrix: down to the rank, rank x in", lambda i, o, r: r * o),
    ("you count a bias: LoRA's two matrices have none, and the layer's own is not new",
     lambda i, o, r: r * (i + o) + o),
    ("right only where both widths are equal: one matrix is rank x in, the other out x rank",
     lambda i, o, r: 2 * r * i),
]  # fmt: skip


@exercise_check
def lora_parameters(function: Callable) -> str | CheckResult:
    """Two thin matrices: rank times the sum of the widths."""
    answers = [called(function, *layer) for layer in LAYERS]
    for answer in answers:
        if isinstance(answer, bool) or not isinstance(answer, Real):
            return f"you return a {type(answer).__name__}: parameters are counted by an int"
    wrong = ((told, [count(*each) for each in LAYERS]) for told, count in _WRONG_COUNTS)
    if diagnosis := resembling(answers, wrong):
        return diagnosis
    for answer, (width_in, width_out, rank) in zip(answers, LAYERS, strict=True):
        right = rank * (width_in + width_out)
        if answer != right:
            return (
                f"a layer of {width_in} x {width_out} gets {right} parameters at rank {rank}; you "
                f"count {answer}"
            )
    if not all(isinstance(answer, Integral) for answer in answers):
        return "the number is right, but it is a float: parameters are counted by an int"
    width_in, width_out, rank = LAYERS[0]
    full, added = width_in * width_out, int(answers[0])
    return CheckResult(
        "passed",
        f"rank {rank} adds {added:,} parameters to a layer of {width_in} x {width_out}, where the "
        f"full matrix has {full:,}: {added / full:.1%} of it are trained, the rest stays.",
    )
