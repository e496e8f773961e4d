import re

import numpy as np
import torch
import torch.nn.functional as F
from check_results import passed, right_answers, wrong, wrong_answers

from ordlib.course.checks import ranking_adapter as check


# ---------------------------------------------------------------- shortcut
def gated(logs):
    return (logs[:, None] - logs).sigmoid()


def shortcut(logs, means, gate=gated):
    share = gate(logs)
    found = torch.einsum("ijhm,ihmw->ijhw", share, means)
    return found - found.transpose(0, 1)


def by_loops(logs, means):
    def found(i, j):
        gates = torch.sigmoid(logs[i] - logs[j])
        return sum(gates[:, m, None] * means[i, :, m] for m in range(gates.shape[1]))

    pairs = [found(i, j) - found(j, i) for i in range(len(logs)) for j in range(len(logs))]
    return torch.stack(pairs).unflatten(0, (len(logs), len(logs)))


def by_softmax_of_two(logs, means):
    n = len(logs)
    both = torch.stack([logs[:, None].expand(-1, n, -1, -1), logs.expand(n, -1, -1, -1)])
    one, other = both.softmax(0)[..., None]
    return (one * means[:, None] - other * means).sum(3)


def by_ratio(logs, means):
    e = logs.exp()
    return shortcut(logs, means, lambda _: e[:, None] / (e[:, None] + e))


SHORTCUTS = {
    "float32 cannot hold exp of that. exp(a) / (exp(a) + exp(b)) is sigmoid": by_ratio,
    "wrong near 400": lambda m, v: shortcut(m.clamp(-50, 50), v),
    "the gate looks the wrong way": lambda m, v: shortcut(-m, v),
    "softmax over all pictures": lambda m, v: shortcut(
        m, v, lambda m: m.softmax(0)[:, None].expand(-1, len(m), -1, -1)),
    "i and j have changed places": lambda m, v: shortcut(m, v).transpose(0, 1),
    "you add what was found in j": lambda m, v: (
        2 * torch.einsum("ijhm,ihmw->ijhw", gated(m), v) - shortcut(m, v)),
    "only picture i is in it": lambda m, v: torch.einsum("ijhm,ihmw->ijhw", gated(m), v),
    "both means count by the share of i": lambda m, v: (
        (gated(m)[..., None] * (v[:, None] - v)).sum(3)),
    "you average over the relational tokens": lambda m, v: shortcut(m, v) / m.shape[2],
    "(N, N, H, M, W): sum over m": lambda m, v: gated(m)[..., None] * v[:, None],
    "no axis of pairs": lambda m, v: (m.sigmoid()[..., None] * v).sum(2),
    "an entry for each ordered pair": lambda m, v: shortcut(m, v)[0, 0, 0],
    "stay in torch": lambda m, v: shortcut(m, v).numpy(),
    "keep the type": lambda m, v: shortcut(m, v).long(),
    "is there a division by 0": lambda m, v: shortcut(m, v) * torch.inf,
    ", it is ": lambda m, v: shortcut(m, v) + 0.1,
    "no gradient reaches the logs": lambda m, v: shortcut(m.detach(), v),
    "no gradient reaches the means": lambda m, v: shortcut(m, v.detach()),
}  # fmt: skip


# ---------------------------------------------------------------- antisymmetry
def itself(pairs):
    return torch.eye(len(pairs), dtype=torch.bool)


def far(pairs):
    return (pairs + pairs.transpose(0, 1)).abs().max()


def far_by_loops(pairs):
    places = [(i, j) for i in range(len(pairs)) for j in range(len(pairs))]
    return max(np.abs(pairs[i, j].numpy() + pairs[j, i].numpy()).max() for i, j in places)


FARS = {
    "so add": lambda p: (p - p.transpose(0, 1)).abs().max(),
    "sums below 0 escape you": lambda p: (p + p.transpose(0, 1)).max(),
    "where errors cancel": lambda p: (p + p.transpose(0, 1)).mean().abs(),
    "that is the mean": lambda p: (p + p.transpose(0, 1)).abs().mean(),
    "you leave the diagonal out": lambda p: (p + p.transpose(0, 1))[~itself(p)].abs().max(),
    ".T and .mT exchange others": lambda p: (p + p.mT).abs().max(),
    "you return a bool": lambda p: bool(far(p) < 1e-5),
    "take the largest of all": lambda p: (p + p.transpose(0, 1)).abs(),
    "antisymmetric: the largest |p_ij + p_ji| is 0; yours is 0.1": lambda p: far(p) + 0.1,
}  # fmt: skip


# ---------------------------------------------------------------- ties
def bce(logits, told):
    return F.binary_cross_entropy_with_logits(logits, told, reduction="none")


def above(targets):
    return (targets[:, None] > targets).float()


def differ(targets):
    return targets[:, None] != targets


def average(each, counted):
    return (each * counted).sum() / counted.sum().clamp(min=1)


def tied(logits, targets):
    return average(bce(logits, above(targets)), differ(targets))


def tied_by_loops(logits, targets):
    signs = (targets[:, None] - targets).sign().flatten()
    pairs = zip(signs, logits.flatten(), strict=True)
    losses = [-F.logsigmoid(sign * logit) for sign, logit in pairs if sign]
    return sum(losses) / len(losses) if losses else torch.tensor(0.0)


def tied_by_choice(logits, targets):
    if not differ(targets).any():
        return 0 * logits.sum()
    return bce(logits, above(targets))[differ(targets)].mean()


def tied_hidden(logits, targets):
    mean = (bce(logits, above(targets)) * differ(targets)).sum() / differ(targets).sum()
    return torch.where(differ(targets).any(), mean, torch.zeros(()))


TIES = {
    "ties count, as if neither": lambda s, t: bce(s, above(t)).mean(),
    "only the diagonal is left out": lambda s, t: bce(s, above(t))[~itself(t)].mean(),
    "you divide by B * B": lambda s, t: (bce(s, above(t)) * differ(t)).mean(),
    "that is the sum": lambda s, t: (bce(s, above(t)) * differ(t)).sum(),
    "the order is reversed": lambda s, t: tied(s, -t),
    "sigmoid twice": lambda s, t: tied(s.sigmoid(), t),
    "not 0 but log 2": lambda s, t: bce(s * differ(t), above(t)).mean(),
    "0 / 0: no pairs": lambda s, t: bce(s, above(t))[differ(t)].mean(),
    "(3 of them) the gradient is NaN": tied_hidden,
    "your answer is 0.693: no pairs": lambda s, t: (
        tied(s, t) if differ(t).any() else torch.tensor(0.6931)),
    "the log of a sigmoid": lambda s, t: average(
        -torch.where(above(t) > 0, s.sigmoid(), 1 - s.sigmoid()).log(), differ(t)),
    "take the mean over the pairs that count, a scalar": lambda s, t: bce(s, above(t))[differ(t)],
    "stay in torch": lambda s, t: tied(s, t).item(),
    "no gradient reaches the logits": lambda s, t: tied(s.detach(), t),
    "for targets [0.5, -1.0, 0.5, 2.0, 0.5] the loss is": lambda s, t: tied(s, t) + 0.1,
    "is there a division by 0": lambda s, t: tied(s, t) * torch.nan,
}  # fmt: skip


# ---------------------------------------------------------------- rank_batch
def in_piles(names, values, name, count, rng):
    """Go round the values until there are enough."""
    own = [np.flatnonzero((names == name) & (values == v)) for v in np.unique(values)]
    piles = [rng.permutation(pile) for pile in own]
    return np.array([pile[k] for k in range(9) for pile in piles if k < len(pile)][:count])


def by_turn(names, values, name, count, rng):
    """Sort by the place that a picture has within its own value."""
    own = rng.permutation(np.flatnonzero(names == name))
    turn = [np.sum(values[own[:i]] == values[own[i]]) for i in range(len(own))]
    return own[np.argsort(turn, kind="stable")][:count]


def drawn(names, values, name, size, share, seed, *, count=None, positives=in_piles, others=None):
    rng = np.random.default_rng(seed)
    count = int((1 - share) * size) if count is None else count
    rows = positives(names, values, name, count, rng)
    others = np.flatnonzero(names != name) if others is None else others
    rest = rng.choice(others, size - len(rows), replace=False)
    return np.concatenate([rows, rest]), np.concatenate([values[rows], 0 * rest])


def choosing(positives):
    return lambda *given: drawn(*given, positives=positives)


def edited(change):
    """A right batch with something done to its rows and targets."""
    return lambda names, values, *given: change(*drawn(names, values, *given), names, values)


def as_tensors(rows, targets, names, values):
    order = np.random.default_rng(targets.sum().astype(int)).permutation(len(rows))
    return torch.tensor(rows[order]), torch.tensor(targets[order])


BATCHES = {
    "a negative shows what is counted: row": lambda *g: drawn(*g, others=np.arange(len(g[0]))),
    "negatives keep their own count": edited(lambda r, t, n, v: (r, v[r])),
    "draw without replacement": edited(lambda r, t, n, v: (r[[0, 0, *range(2, len(r))]],
                                                           t[[0, 0, *range(2, len(r))]])),
    "values are uneven": choosing(
        lambda n, v, name, count, rng: rng.choice(np.flatnonzero(n == name), count, replace=False)),
    "it is 17 positives and 8 negatives; yours are 18 and 7: int(": lambda *g: drawn(
        *g, count=round((1 - g[4]) * g[3])),
    "where a value has too few pictures": edited(lambda r, t, n, v: (r[1:], t[1:])),
    "Compare names with ==": choosing(lambda n, v, name, count, rng: rng.choice(
        np.flatnonzero(np.char.find(n, name) >= 0), count, replace=False)),
    "all targets are 0": edited(lambda r, t, n, v: (r, 0 * t)),
    "targets are in another order than rows": edited(lambda r, t, n, v: (r[::-1], t)),
    "its target is": edited(lambda r, t, n, v: (r, t + 1.5 * (t > 0))),
    "every seed draws the same positives": choosing(
        lambda n, v, name, count, rng: in_piles(n, v, name, count, np.random.default_rng(0))),
    "every seed draws the same negatives": lambda *g: drawn(
        *g, others=np.flatnonzero(g[0] != g[2])[: g[3] - int((1 - g[4]) * g[3])]),
    "the same seed gives another batch": lambda *g: drawn(*g[:5], None),
    "return two things": lambda *g: drawn(*g)[0],
    "19 targets: one target for each row": edited(lambda r, t, n, v: (r, t[1:])),
    "must be integers": edited(lambda r, t, n, v: (r.astype(float), t)),
    "has shape (20, 1)": edited(lambda r, t, n, v: (r[:, None], t)),
    "a row is outside": edited(lambda r, t, n, v: (r + 10_000, t)),
}  # fmt: skip


# ---------------------------------------------------------------- all
RIGHT = {
    check.shortcut: [shortcut, by_loops, by_softmax_of_two],
    check.antisymmetry: [far, far_by_loops, lambda pairs: far(pairs).item()],
    check.ties: [tied, tied_by_loops, tied_by_choice],
    check.rank_batch: [drawn, choosing(by_turn), edited(as_tensors)],
}
WRONG = {check.shortcut: SHORTCUTS, check.antisymmetry: FARS, check.ties: TIES,
         check.rank_batch: BATCHES}  # fmt: skip


def test_a_right_distance_tells_a_network_from_its_attention():
    before, after = re.findall(r"by (\d\S*?)[;:]", check.antisymmetry(far).message)
    assert float(before) < 1e-5
    assert float(after) > 0.01


@right_answers(RIGHT)
def test_right_answers_pass(judge, answer):
    passed(judge(answer))


@wrong_answers(WRONG)
def test_wrong_answers_are_diagnosed(judge, diagnosis, answer):
    wrong(judge(answer), diagnosis)
