"""Exercise 5: what LoRA adds to a linear layer."""

from collections.abc import Callable
from numbers import Integral, Real

from ..result import Verdict, called, diagnosing

# The last is square, so that a mistake in one of two unequal widths shows beside it.
LAYERS = ((512, 2048, 8), (192, 64, 3), (768, 768, 4))
# More would be no number of matrices that a tower has.
MATRICES = range(2, 200)

_FULL = "that is the full matrix, which stays as it is: LoRA adds rank * in and rank * out"
_BIAS = "you count a bias: LoRA's two matrices have none, and the layer's own is not new"
_ONE_WIDTH = "right only where both widths are equal: one matrix is rank x in, the other out x rank"
_WRONG = [
    (_FULL, lambda i, o, r: i * o),
    (_FULL, lambda i, o, r: i * o + o),
    ("the frozen weights are in: count only what is added and trained",
     lambda i, o, r: i * o + r * (i + o)),
    ("the frozen weights are in, and a bias: count only what is added and trained",
     lambda i, o, r: i * o + o + r * (i + o)),
    ("you forget the second matrix: back up from the rank, out x rank", lambda i, o, r: r * i),
    ("you forget the first matrix: down to the rank, rank x in", lambda i, o, r: r * o),
    ("you multiply the widths: two thin matrices have rank * in and rank * out; add them",
     lambda i, o, r: r * i * o),
    ("you multiply the two matrices' sizes: add them", lambda i, o, r: r * i * r * o),
    (_BIAS, lambda i, o, r: r * (i + o) + o),
    (_BIAS, lambda i, o, r: r * (i + o) + i),
    (_BIAS, lambda i, o, r: r * (i + o) + r),
    (_BIAS, lambda i, o, r: r * (i + o) + r + o),
    (_ONE_WIDTH, lambda i, o, r: 2 * r * i),
    (_ONE_WIDTH, lambda i, o, r: 2 * r * o),
    (_ONE_WIDTH, lambda i, o, r: 2 * r * min(i, o)),
    (_ONE_WIDTH, lambda i, o, r: 2 * r * max(i, o)),
    ("that is half of it: the widths are added up, not averaged", lambda i, o, r: r * (i + o) // 2),
    ("you count a rank x rank matrix in the middle: there is none",
     lambda i, o, r: r * (i + o) + r * r),
    ("where is the rank? Each matrix has it on one side", lambda i, o, r: i + o),
    ("the rank counts once for each matrix, it is not squared", lambda i, o, r: r * r * (i + o)),
    ("that is what is left of the full matrix: count what LoRA adds",
     lambda i, o, r: i * o - r * (i + o)),
]  # fmt: skip


@diagnosing
def lora_parameters(function: Callable) -> str | Verdict:
    """Two thin matrices: rank times the sum of the widths.

    Args:
        function: takes the widths in and out of a linear layer and the rank, returns how many
            parameters LoRA adds.

    Returns:
        A :class:`Verdict`: passed with what share of the full matrix that is.
    """
    answers = [called(function, *layer) for layer in LAYERS]
    for answer, layer in zip(answers, LAYERS, strict=True):
        if isinstance(answer, bool) or not isinstance(answer, Real):
            return f"you return a {type(answer).__name__}: parameters are counted by an int"
        if complaint := _miscounted(answers, answer, layer):
            return complaint
    if not all(isinstance(answer, Integral) for answer in answers):
        return "the number is right, but it is a float: parameters are counted by an int"
    width_in, width_out, rank = LAYERS[0]
    full, added = width_in * width_out, int(answers[0])
    return Verdict(
        "passed",
        f"rank {rank} adds {added:,} parameters to a layer of {width_in} x {width_out}, where the "
        f"full matrix has {full:,}: {added / full:.1%} of it are trained, the rest stays.",
    )


def _miscounted(answers: list, answer: float, layer: tuple[int, int, int]) -> str | None:
    width_in, width_out, rank = layer
    right = rank * (width_in + width_out)
    if answer == right:
        return None
    for diagnosis, wrong in _WRONG:
        if answers == [wrong(*each) for each in LAYERS]:
            return diagnosis
    rights = [r * (i + o) for i, o, r in LAYERS]
    for matrices in MATRICES:
        if answers == [matrices * each for each in rights]:
            return f"that is {matrices} times what one matrix gets: count one matrix"
    return (
        f"a layer of {width_in} x {width_out} gets {right} parameters at rank {rank}; you count "
        f"{answer}"
    )
