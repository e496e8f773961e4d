import re
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from check_results import table_tests

from ordlib.course.checks import ranking_adapter as check


# ---------------------------------------------------------------- shortcut
def sigmoid_gate(logs):
    return (logs[:, None] - logs).sigmoid()


def pool(logs, means, gate=sigmoid_gate):
    return torch.einsum("ijhm,ihmw->ijhw", gate(logs), means)


def shortcut(logs, means, gate=sigmoid_gate):
    pooled = pool(logs, means, gate)
    return pooled - pooled.transpose(0, 1)


def by_loops(logs, means):
    def pooled(i, j):
        gates = torch.sigmoid(logs[i] - logs[j])
        return sum(gates[:, m, None] * means[i, :, m] for m in range(gates.shape[1]))

    pairs = [pooled(i, j) - pooled(j, i) for i in range(len(logs)) for j in range(len(logs))]
    return torch.stack(pairs).unflatten(0, (len(logs), len(logs)))


def by_softmax_of_two(logs, means):
    n = len(logs)
    pairs = torch.stack([logs[:, None].expand(-1, n, -1, -1), logs.expand(n, -1, -1, -1)])
    a, b = pairs.softmax(0)[..., None]
    return (a * means[:, None] - b * means).sum(3)


SHORTCUTS = {
    "nan with logs near 400: exp overflows": lambda m, v: shortcut(
        m, v, lambda m: m.exp()[:, None] / (m.exp()[:, None] + m.exp())),
    "wrong near 400": lambda m, v: shortcut(m.clamp(-50, 50), v),
    "the gate is reversed": lambda m, v: shortcut(-m, v),
    "softmax over all images": lambda m, v: shortcut(
        m, v, lambda m: m.softmax(0)[:, None].expand(-1, len(m), -1, -1)),
    "i and j are exchanged": lambda m, v: shortcut(m, v).transpose(0, 1),
    "you add the part of j": lambda m, v: 2 * pool(m, v) - shortcut(m, v),
    "only image i is in it": pool,
    "both means have": lambda m, v: (sigmoid_gate(m)[..., None] * (v[:, None] - v)).sum(3),
    "you average over the questions q": lambda m, v: shortcut(m, v) / m.shape[2],
    "sum over the questions q": lambda m, v: sigmoid_gate(m)[..., None] * v[:, None],
    "no axis of pairs": lambda m, v: (m.sigmoid()[..., None] * v).sum(2),
    "shape (5,): return shape (4, 4, 2, 5)": lambda m, v: shortcut(m, v)[0, 0, 0],
    "stay in torch": lambda m, v: shortcut(m, v).numpy(),
    "keep the type": lambda m, v: shortcut(m, v).long(),
    "avoid a division by 0": lambda m, v: shortcut(m, v) * torch.inf,
    ", it is ": lambda m, v: shortcut(m, v) + 0.1,
    "no gradient reaches the logs": lambda m, v: shortcut(m.detach(), v),
    "no gradient reaches the means": lambda m, v: shortcut(m, v.detach()),
}  # fmt: skip


# ---------------------------------------------------------------- antisymmetry
def diagonal(pairs):
    return torch.eye(len(pairs), dtype=torch.bool)


def sums(pairs):
    return pairs + pairs.transpose(0, 1)


def largest(pairs):
    return sums(pairs).abs().max()


def largest_by_loops(pairs):
    n = range(len(pairs))
    return max(np.abs(pairs[i, j].numpy() + pairs[j, i].numpy()).max() for i in n for j in n)


MEASURES = {
    "so add": lambda p: (p - p.transpose(0, 1)).abs().max(),
    "you ignore sums below 0": lambda p: sums(p).max(),
    "where errors cancel": lambda p: sums(p).mean().abs(),
    "that is the mean": lambda p: sums(p).abs().mean(),
    "you leave the diagonal out": lambda p: sums(p)[~diagonal(p)].abs().max(),
    ".T and .mT exchange other": lambda p: (p + p.mT).abs().max(),
    "you return a bool": lambda p: bool(largest(p) < 1e-5),
    "take the largest of all": lambda p: sums(p).abs(),
    "antisymmetric matrix: the largest |o_ij + o_ji| is 0; yours": lambda p: largest(p) + 0.1,
}


def test_antisymmetry_measures_attention_and_logits():
    before, after = re.findall(r"by (\d\S*?)[;:]", check.antisymmetry(largest).message)
    assert float(before) < 1e-5
    assert float(after) > 0.01


# ---------------------------------------------------------------- ties
def bce(logits, targets):
    above = (targets[:, None] > targets).float()
    return F.binary_cross_entropy_with_logits(logits, above, reduction="none")


def differ(targets):
    return targets[:, None] != targets


def average(losses, mask):
    return (losses * mask).sum() / mask.sum().clamp(min=1)


def ties(logits, targets):
    return average(bce(logits, targets), differ(targets))


def ties_by_loops(logits, targets):
    signs = (targets[:, None] - targets).sign().flatten()
    pairs = zip(signs, logits.flatten(), strict=True)
    losses = [-F.logsigmoid(sign * logit) for sign, logit in pairs if sign]
    return sum(losses) / len(losses) if losses else torch.tensor(0.0)


def ties_by_index(logits, targets):
    if not differ(targets).any():
        return 0 * logits.sum()
    return bce(logits, targets)[differ(targets)].mean()


def ties_by_where(logits, targets):
    mean = (bce(logits, targets) * differ(targets)).sum() / differ(targets).sum()
    return torch.where(differ(targets).any(), mean, torch.zeros(()))


TIES = {
    "ties count (as in": lambda s, t: bce(s, t).mean(),
    "only the diagonal is left out": lambda s, t: bce(s, t)[~diagonal(t)].mean(),
    "you divide by B * B": lambda s, t: (bce(s, t) * differ(t)).mean(),
    "that is the sum": lambda s, t: (bce(s, t) * differ(t)).sum(),
    "the order is reversed": lambda s, t: ties(s, -t),
    "sigmoid twice": lambda s, t: ties(s.sigmoid(), t),
    "not 0 but log 2": lambda s, t: bce(s * differ(t), t).mean(),
    "0 / 0: no pairs": lambda s, t: bce(s, t)[differ(t)].mean(),
    "you return a float: return a tensor": lambda s, t: ties(s, t) if differ(t).any() else 0.0,
    "each pair in one order only": lambda s, t: bce(s, t)[t[:, None] > t].mean(),
    "(3 of them) the gradient is NaN": ties_by_where,
    "your result is 0.693:": lambda s, t: ties(s, t) if differ(t).any() else torch.tensor(0.6931),
    "the log of a sigmoid": lambda s, t: average(
        -torch.where(t[:, None] > t, s.sigmoid(), 1 - s.sigmoid()).log(), differ(t)),
    "take the mean over the pairs that count, a scalar": lambda s, t: bce(s, t)[differ(t)],
    "stay in torch": lambda s, t: ties(s, t).item(),
    "no gradient reaches the logits": lambda s, t: ties(s.detach(), t),
    "for targets [0.5, -1.0, 0.5, 2.0, 0.5] the loss is": lambda s, t: ties(s, t) + 0.1,
    "avoid a division by 0": lambda s, t: ties(s, t) * torch.nan,
}  # fmt: skip


# ---------------------------------------------------------------- rank_batch
def round_robin(names, values, name, count, rng):
    rows = [np.flatnonzero((names == name) & (values == v)) for v in np.unique(values)]
    piles = [rng.permutation(pile) for pile in rows]
    return np.array([pile[k] for k in range(9) for pile in piles if k < len(pile)][:count])


def sort_by_turn(names, values, name, count, rng):
    rows = rng.permutation(np.flatnonzero(names == name))
    turns = [np.sum(values[rows[:i]] == values[rows[i]]) for i in range(len(rows))]
    return rows[np.argsort(turns, kind="stable")][:count]


def quota_and_random_fill(names, values, name, count, rng):
    """Each value gets its share, or all it has; the rest are drawn from what is left."""
    rows = rng.permutation(np.flatnonzero(names == name))
    share = count // len(set(values[rows]))
    chosen = [r for v in set(values[rows]) for r in rows[values[rows] == v][:share]]
    left = [row for row in rows if row not in chosen]
    return np.array(chosen + left[: count - len(chosen)])


def draw(names, values, name, size, share, seed, *, count=None, positives=round_robin, others=None):
    rng = np.random.default_rng(seed)
    count = int((1 - share) * size) if count is None else count
    rows = positives(names, values, name, count, rng)
    others = np.flatnonzero(names != name) if others is None else others
    rest = rng.choice(others, size - len(rows), replace=False)
    return np.concatenate([rows, rest]), np.concatenate([values[rows], 0 * rest])


def choosing(positives):
    return partial(draw, positives=positives)


def edited(change):
    """A right batch, changed by a function of its rows and targets and of all values."""
    return lambda names, values, *args: change(*draw(names, values, *args), values)


def as_tensors(rows, targets, values):
    order = np.random.default_rng(targets.sum().astype(int)).permutation(len(rows))
    return torch.tensor(rows[order]), torch.tensor(targets[order])


BATCHES = {
    "a negative has the counted name": lambda *g: draw(*g, others=np.arange(len(g[0]))),
    "negatives keep their own count": edited(lambda r, t, v: (r, v[r])),
    "draw without replacement": edited(
        lambda r, t, v: (np.append(r[:-1], r[-2]), np.append(t[:-1], t[-2]))),
    "values are not balanced": choosing(
        lambda n, v, name, count, rng: rng.permutation(np.flatnonzero(n == name))[:count]),
    "17 must be positives; yours are 18 and 7": lambda *g: draw(*g, count=round((1 - g[4]) * g[3])),
    "where a value has too few images": edited(lambda r, t, v: (r[1:], t[1:])),
    "Compare names with ==": choosing(lambda n, v, name, count, rng: rng.permutation(
        np.flatnonzero(np.char.find(n, name) >= 0))[:count]),
    "all targets are 0": edited(lambda r, t, v: (r, 0 * t)),
    "targets are in another order than rows": edited(lambda r, t, v: (r[::-1], t)),
    "its target is": edited(lambda r, t, v: (r, t + 1.5 * (t > 0))),
    "every seed draws the same positives": choosing(
        lambda *args: round_robin(*args[:4], np.random.default_rng(0))),
    "every seed draws the same negatives": lambda *g: draw(
        *g, others=np.flatnonzero(g[0] != g[2])[: g[3] - int((1 - g[4]) * g[3])]),
    "one seed gives different batches": lambda *g: draw(*g[:5], None),
    "return two things": lambda *g: draw(*g)[0],
    "19 targets: return one target for each row": edited(lambda r, t, v: (r, t[1:])),
    "must be integers": edited(lambda r, t, v: (r.astype(float), t)),
    "has shape (20, 1)": edited(lambda r, t, v: (r[:, None], t)),
    "a row is outside": edited(lambda r, t, v: (r + 10_000, t)),
}  # fmt: skip


RIGHT = {
    check.shortcut: [shortcut, by_loops, by_softmax_of_two],
    check.antisymmetry: [largest, largest_by_loops, lambda pairs: largest(pairs).item()],
    check.ties: [ties, ties_by_loops, ties_by_index],
    check.rank_batch: [
        draw,
        choosing(sort_by_turn),
        choosing(quota_and_random_fill),
        edited(as_tensors),
    ],
}
WRONG = {check.shortcut: SHORTCUTS, check.antisymmetry: MEASURES, check.ties: TIES,
         check.rank_batch: BATCHES}  # fmt: skip

test_right_answers, test_wrong_answers = table_tests(RIGHT, WRONG)
