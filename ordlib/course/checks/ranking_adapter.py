"""Checks of notebook 04."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from numbers import Real

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...methods.ranking_adapter.network import RankingAdapterNetwork
from ...methods.ranking_adapter.rank_attention import rank_attention
from .match_mistakes import check_gradients, check_tensor, find_mistake, largest_error_index
from .result import CheckResult, call_solution, exercise_check

# ------------------------------------------------------------- 1: pairs from summaries
# The sizes N, H, M, W all differ, so that exchanged axes show.
_GENERATOR = torch.Generator().manual_seed(4)
LOGS = 2 * torch.randn(4, 2, 3, generator=_GENERATOR)
MEANS = torch.randn(4, 2, 3, 5, generator=_GENERATOR)
# float32 has no exponential of more than 88.
OFFSETS = (400.0, -400.0)
GATES = (LOGS[:, None] - LOGS).sigmoid()


def _pool(gates: Tensor) -> Tensor:
    return torch.einsum("ijhm,ihmw->ijhw", gates, MEANS)


def _antisymmetrize(pooled: Tensor) -> Tensor:
    return pooled - pooled.transpose(0, 1)


EXPECTED = _antisymmetrize(_pool(GATES))
_SHORTCUTS = [
    ("", EXPECTED),
    ("the gate is reversed: of i it is sigmoid(g_i - g_j)", _antisymmetrize(_pool(1 - GATES))),
    ("you take the softmax over all images: of the two in a pair it is sigmoid(g_i - g_j)",
     _antisymmetrize(_pool(LOGS.softmax(0)[:, None].expand_as(GATES)))),
    ("i and j are exchanged: entry i, j is the part of i minus the part of j", -EXPECTED),
    ("only image i is in it: subtract the part of j", _pool(GATES)),
    ("you add the part of j: subtract it", _pool(GATES) + _pool(GATES).transpose(0, 1)),
    ("both means have the share of i: that of j is sigmoid(g_j - g_i)",
     _pool(GATES) - torch.einsum("ijhm,jhmw->ijhw", GATES, MEANS)),
    ("you average over the questions q: sum", EXPECTED / 3),
]  # fmt: skip
_SHAPE_HINTS = {
    (4, 4, 2, 3, 5): "(N, N, H, Q, W): sum over the questions q",
    (4, 2, 5): "(N, H, W) has no axis of pairs: give logs an axis, logs[:, None] - logs",
}


@exercise_check
def shortcut(function: Callable) -> str | None:
    """A summary of each image and a gate between two: the attention of all pairs, exactly.

    The function takes ``(N, H, M)`` logs and ``(N, H, M, W)`` means, returns ``(N, N, H, W)``.
    """
    answer = call_solution(function, LOGS, MEANS)
    if message := check_tensor(answer, (4, 4, 2, 5), _SHAPE_HINTS):
        return message
    mistake = find_mistake(answer.detach(), _SHORTCUTS)
    if mistake is None:
        index = largest_error_index(answer, EXPECTED)
        pair = f"at {index}, pair {index[0]}, {index[1]}"
        return f"{pair}, it is {EXPECTED[index]:.3f}; yours is {answer[index]:.3f}"
    if message := mistake or _check_large_logs(function):
        return message
    return check_gradients(lambda *inputs: function(*inputs)[0, 1], logs=LOGS, means=MEANS)


def _check_large_logs(function: Callable) -> str | None:
    """Check that a constant added to all logs changes nothing."""
    for offset in OFFSETS:
        answer = call_solution(function, LOGS + offset, MEANS)
        if not answer.isfinite().all():
            bad = answer[~answer.isfinite()][0].item()
            hint = "exp overflows: replace exp(a) / (exp(a) + exp(b)) by sigmoid(a - b)"
            return f"right for small logs, but {bad} with logs near {offset:.0f}: {hint}"
        # Adjacent float32 numbers near 400 differ by 3e-5.
        if not torch.allclose(answer, EXPECTED, atol=1e-3):
            hint = "compute the gate from g_i - g_j alone, without a clamp or an added epsilon"
            return f"right for small logs, wrong near {offset:.0f}: {hint}"
    return None


# ------------------------------------------------------------- 2: how far from antisymmetric
_GENERATOR = torch.Generator().manual_seed(6)
_MATRIX, _DEEP = (torch.randn(*shape, generator=_GENERATOR) for shape in ((4, 4), (4, 4, 2, 3)))
_ONE_WRONG = _antisymmetrize(_DEEP)
_ONE_WRONG[1, 2, 1, 2] -= 0.5
MATRICES = {
    "an antisymmetric matrix": _antisymmetrize(_MATRIX),
    "a symmetric matrix": _MATRIX + _MATRIX.T,
    "a matrix with a wrong diagonal": _antisymmetrize(_MATRIX).fill_diagonal_(0.25),
    "a tensor antisymmetric but for one number": _ONE_WRONG,
    "a random tensor": _DEEP,
}


def _symmetrize(pairs: Tensor) -> Tensor:
    return pairs + pairs.transpose(0, 1)


_MEASURES: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("you subtract the transposed: antisymmetric means o_ij = -o_ji, so add",
     lambda p: _antisymmetrize(p).abs().max()),
    ("you ignore sums below 0: take absolute values first", lambda p: _symmetrize(p).max()),
    ("you take the absolute value of the mean, where errors cancel",
     lambda p: _symmetrize(p).mean().abs()),
    ("that is the mean, which hardly shows a single wrong pair among many: take the largest",
     lambda p: _symmetrize(p).abs().mean()),
    ("you leave the diagonal out: an image against itself must give 0, so o_ii + o_ii counts, too",
     lambda p: _symmetrize(p)[~torch.eye(len(p), dtype=torch.bool)].abs().max()),
]  # fmt: skip


@exercise_check
def antisymmetry(function: Callable) -> str | CheckResult:
    """Largest ``|o_ij + o_ji|`` of ``(N, N, ...)`` ordered pairs, the diagonal included."""
    answers = []
    for name, pairs in MATRICES.items():
        try:
            answer = call_solution(function, pairs)
        except RuntimeError as error:
            if "must match the size" not in str(error):
                raise
            return f"{name}: .T and .mT exchange other axes than i and j: use .transpose(0, 1)"
        if isinstance(answer, bool) or not isinstance(answer, Real | Tensor | np.ndarray):
            return f"you return a {type(answer).__name__}: return one number, the distance"
        if shape := tuple(np.shape(answer)):
            return f"you return shape {shape}: take the largest of all, one number"
        answers.append(float(answer))
    for (name, pairs), answer in zip(MATRICES.items(), answers, strict=True):
        expected = _symmetrize(pairs).abs().max().item()
        if not abs(answer - expected) <= 1e-5 * max(1.0, expected):
            message = f"{name}: the largest |o_ij + o_ji| is {expected:.3g}; yours is {answer:.3g}"
            known = ((text, [float(f(p)) for p in MATRICES.values()]) for text, f in _MEASURES)
            return find_mistake(answers, known) or message
    return _measure_network(function)


def _measure_network(function: Callable) -> CheckResult:
    """Apply the learner's measure to a network's attention and logits."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        net = RankingAdapterNetwork(width=16, text_width=16).eval()
        tokens = net(torch.randn(6, 9, 16), torch.randn(5, 16))
        head = net.pairwise_head
        queries = head.query_proj(head.relational_tokens).unflatten(-1, (head.num_heads, -1))
        pooled = rank_attention(queries, head.key_proj(tokens).unflatten(-1, (head.num_heads, -1)))
        before, after = float(function(pooled)), float(function(net.pair_logits(tokens)))
    return CheckResult(
        "passed",
        "the largest |o_ij + o_ji|, the diagonal included. In a small untrained network "
        f"what attention finds is off by {before:.1g}; the logits, after biases, norms and ReLUs, "
        f"by {after:.2g}: those layers keep no sign.",
    )


# ------------------------------------------------------------- 3: tied pairs
TARGETS = torch.tensor((0.5, -1.0, 0.5, 2.0, 0.5))
LOGITS = 2 * torch.randn(5, 5, generator=torch.Generator().manual_seed(8))
LARGE = 200.0
_DIFFER = TARGETS[:, None] != TARGETS
_ABOVE = (TARGETS[:, None] > TARGETS).float()
_BCE = partial(F.binary_cross_entropy_with_logits, reduction="none")
_LOSSES = _BCE(LOGITS, _ABOVE)
_PAIR_LOSSES = [
    ("", _LOSSES[_DIFFER].mean()),
    ("ties count (as in the released code): leave out every pair with equal targets, the diagonal "
     "included", _LOSSES.mean()),
    ("only the diagonal is left out: two images with equal targets are tied, too",
     _LOSSES[~torch.eye(5, dtype=torch.bool)].mean()),
    ("the order is reversed: logit i, j has the label targets[:, None] > targets",
     _BCE(LOGITS, _ABOVE.T)[_DIFFER].mean()),
    ("that is the sum: divide by the number of pairs that count", _LOSSES[_DIFFER].sum()),
    ("you use each pair in one order only: (i, j) and (j, i) both count",
     _LOSSES[_ABOVE.bool()].mean()),
    ("you divide by B * B: divide by the number of pairs that count", (_LOSSES * _DIFFER).mean()),
    ("you set tied logits to 0, where the loss is not 0 but log 2: leave the pairs themselves out",
     _BCE(LOGITS * _DIFFER, _ABOVE).mean()),
    ("you take the sigmoid twice: binary_cross_entropy_with_logits expects logits",
     _BCE(LOGITS.sigmoid(), _ABOVE)[_DIFFER].mean()),
]  # fmt: skip


@exercise_check
def ties(function: Callable) -> str | None:
    """What is tied teaches nothing about order: only pairs that differ count.

    The function takes ``(B, B)`` logits that i ranks above j and ``(B,)`` targets; returns the
    mean binary cross-entropy over ordered pairs with different targets, 0 where there are none.
    """
    answer = call_solution(function, LOGITS, TARGETS)
    count = int(_DIFFER.sum())
    hints = dict.fromkeys([(5, 5), (count,)], "take the mean over the pairs that count, a scalar")
    if message := check_tensor(answer, (), hints):
        return message
    mistake = find_mistake(answer.item(), _PAIR_LOSSES)
    if mistake is None:
        expected = _PAIR_LOSSES[0][1]
        return f"for targets {TARGETS.tolist()} the loss is {expected:.4f}; yours is {answer:.4f}"
    lost = check_gradients(lambda logits: function(logits, TARGETS.clone()), logits=LOGITS)
    if message := mistake or lost:
        return message
    large = call_solution(function, LARGE * LOGITS, TARGETS)
    expected = _BCE(LARGE * LOGITS, _ABOVE)[_DIFFER].mean()
    if not torch.isclose(large.to(expected), expected, rtol=1e-3):
        losses = f"for large logits the loss is {expected:.4g}; yours is {large:.4g}"
        return f"{losses}: replace the log of a sigmoid by binary_cross_entropy_with_logits"
    return _check_all_tied(function)


def _check_all_tied(function: Callable) -> str | None:
    """Check a batch of equal targets, which has no pairs."""
    logits = LOGITS[:3, :3].clone().requires_grad_()
    answer = call_solution(partial(function, logits), torch.ones(3))
    where = "right, but where all targets are tied (3 of them) "
    if not isinstance(answer, Tensor):
        return f"{where}you return a {type(answer).__name__}: return a tensor"
    if answer.isnan():
        return f"{where}your result is NaN, 0 / 0: no pairs have the loss 0. clamp(min=1)"
    if answer.item() != 0:
        return f"{where}your result is {answer.item():.3g}: no pairs have the loss 0"
    if answer.requires_grad:
        (gradient,) = torch.autograd.grad(answer, logits, allow_unused=True)
        if gradient is not None and not gradient.isfinite().all():
            hint = "torch.where and nan_to_num hide 0 / 0 from the loss only. Use clamp(min=1)"
            return f"{where}the gradient is NaN: {hint}"
    return None


# ------------------------------------------------------------- 4: a batch for one prompt
# "starfish" contains "star", but is another name.
_SAMPLES = [(name, value) for name in ("star", "starfish", "bell", "key") for value in range(1, 7)]
# Only one star has the highest value: a balanced batch takes it and fills up with other values.
_ROWS = [sample for sample in _SAMPLES for _ in range(1 if sample == ("star", 6) else 9)]
_ORDER = np.random.default_rng(2).permutation(len(_ROWS))
NAMES = np.array([name for name, _ in _ROWS])[_ORDER]
VALUES = np.array([float(value) for _, value in _ROWS])[_ORDER]
NUM_SEEDS = 6
DRAWS = (("star", 20, 0.2), ("bell", 25, 0.3), ("starfish", 12, 0.0))  # name, size, share


@exercise_check
def rank_batch(function: Callable) -> str | None:
    """As many of every count as there may be, and images that truly hold none.

    The function takes ``(N,)`` names, ``(N,)`` values, a name, a size, the share of negatives and
    a seed; returns ``(size,)`` rows and ``(size,)`` targets: int((1 - share) * size) images of
    the name, without repeats, of every value its share rounded down, or all there are; then other
    names, with target 0.
    """
    row_sets = []
    for name, size, share in DRAWS:
        for seed in range(NUM_SEEDS):
            answer = call_solution(function, NAMES, VALUES, name, size, share, seed)
            batch = _to_arrays(answer, size)
            if isinstance(batch, str):
                return batch
            rows = batch[0]
            message = _check_targets(*batch, name) or _check_counts(rows, name, size, share)
            if message := message or _check_balance(rows, name, int((1 - share) * size)):
                return message
            row_sets.append(set(rows.tolist()))
    repeated = call_solution(function, NAMES, VALUES, *DRAWS[0], 0)
    if set(np.asarray(repeated[0]).tolist()) != row_sets[0]:
        return "one seed gives different batches: draw everything from np.random.default_rng(seed)"
    stars = set(np.flatnonzero(DRAWS[0][0] == NAMES).tolist())
    for kind, select in (("positives", set.intersection), ("negatives", set.difference)):
        if all(select(rows, stars) == select(row_sets[0], stars) for rows in row_sets[:NUM_SEEDS]):
            return f"every seed draws the same {kind}: draw them at random, from the seed"
    return None


def _to_arrays(answer: object, size: int) -> tuple[np.ndarray, np.ndarray] | str:
    """Return an answer as arrays, or a diagnosis."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return f"you return a {type(answer).__name__}: return two things, rows and targets"
    rows, targets = (np.asarray(part) for part in answer)
    for name, array in (("rows", rows), ("targets", targets)):
        if array.ndim != 1:
            return f"{name} has shape {array.shape}: one number for each of {size} images"
    if len(rows) != len(targets):
        return f"{len(rows)} rows and {len(targets)} targets: return one target for each row"
    if rows.dtype.kind not in "iu":
        return f"rows are {rows.dtype}: they must be integers, indices of names"
    if len(rows) and not ((rows >= 0) & (rows < len(NAMES))).all():
        return f"a row is outside 0 to {len(NAMES) - 1}: rows are indices of names"
    return rows, targets.astype(float)


def _check_targets(rows: np.ndarray, targets: np.ndarray, name: str) -> str | None:
    positive = NAMES[rows] == name
    expected = np.where(positive, VALUES[rows], 0)
    if np.array_equal(targets, expected):
        return None
    if np.array_equal(np.sort(targets), np.sort(expected)):
        return "targets are in another order than rows: values[rows] are those of the positives"
    zero = np.flatnonzero(positive & (targets == 0))
    if zero.size and len(zero) == positive.sum():
        return f"all targets are 0: the target of an image of {name!r} is its value"
    if zero.size:
        row = f"row {rows[zero[0]]} is a {name!r} with target 0 (as in the released code)"
        return f"a negative has the counted name: {row}. Draw negatives from the other names"
    wrong = np.flatnonzero(targets != expected)
    i = wrong[positive[wrong].argmin()]  # a negative, if there is one
    if positive[i]:
        return f"row {rows[i]} has value {expected[i]:g}; its target is {targets[i]:g}"
    other = f"row {rows[i]} is a {str(NAMES[rows[i]])!r} and has target {targets[i]:g}"
    if np.array_equal(targets, VALUES[rows]):
        return f"negatives keep their own count: {other}, but has 0 of {name!r}"
    return f"a positive is not a {name!r}: {other}. Compare names with =="


def _check_counts(rows: np.ndarray, name: str, size: int, share: float) -> str | None:
    positives, num_positives = int(np.sum(NAMES[rows] == name)), int((1 - share) * size)
    negatives, num_negatives = len(rows) - positives, size - num_positives
    if (positives, negatives) == (num_positives, num_negatives):
        return None
    hint = "int((1 - share) * size) positives, the rest negatives"
    if positives < num_positives and negatives == num_negatives:
        hint = "where a value has too few images, the others fill up"
    given = f"of {size} images for {name!r} with {share:.0%} negatives, {num_positives} must be"
    return f"{given} positives; yours are {positives} and {negatives} negatives: {hint}"


def _check_balance(rows: np.ndarray, name: str, num_positives: int) -> str | None:
    """Check that no row is repeated and that every value has its quota of the positives."""
    row, times = Counter(rows.tolist()).most_common(1)[0]
    if times > 1:
        return f"row {row} is there {times} times: draw without replacement"
    available = Counter(VALUES[name == NAMES].tolist())
    drawn = Counter(VALUES[rows[NAMES[rows] == name]].tolist())
    quota = num_positives // len(available)
    for value in sorted(available):
        if drawn[value] < min(available[value], quota):
            counts = f"{drawn[value]} {name!r} have value {value:g}"
            share = f"{quota} ({num_positives} images for {len(available)} values)"
            hint = f"draw at least {share} for each, or all of its {available[value]} images"
            return f"values are not balanced: {counts}; {hint}"
    return None
