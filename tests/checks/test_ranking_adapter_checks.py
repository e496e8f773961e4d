import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ordlib.course.checks import ranking_adapter as check


def wrong(verdict, diagnosis):
    assert verdict.state == "not yet", verdict.message
    assert diagnosis in verdict.message


def same_state(verdict, state):
    assert verdict.state == state, verdict.message


CHECKS = [getattr(check, name) for name in check.__all__]


@pytest.mark.parametrize("judge", CHECKS)
def test_stubs_are_not_started(judge):
    same_state(judge(lambda *given: None), "not started")
    same_state(judge(lambda *given: ...), "not started")
    same_state(judge(...), "not started")


@pytest.mark.parametrize("judge", CHECKS)
def test_errors_are_quoted(judge):
    def fails(*given):
        raise KeyError("mine")

    wrong(judge(fails), "raised KeyError: 'mine'")


ODD = {
    "a word": "three",
    "a list": [1, 2],
    "a ragged list": [[1], [2, 3]],
    "a dict": {"a": 1},
    "NaN": float("nan"),
    "true": True,
    "a tensor of NaN": torch.full((4, 4, 2, 5), torch.nan),
    "a NaN": torch.tensor(torch.nan),
    "integers": torch.ones(4, 4, 2, 5, dtype=torch.int64),
    "an integer": torch.tensor(3),
    "bools": torch.ones(3, dtype=torch.bool),
    "a complex number": torch.tensor(1j),
    "another device": torch.ones(4, 4, 2, 5, device="meta"),
    "a number elsewhere": torch.ones((), device="meta"),
    "nothing": torch.ones(0),
    "two of nothing": (torch.ones(0), torch.ones(0)),
    "two elsewhere": (torch.ones(20, device="meta"), torch.ones(20, device="meta")),
    "two words": ("a", "b"),
    "two of NaN": (np.full(20, np.nan), np.full(20, np.nan)),
    "a column": (np.zeros((20, 1), int), np.zeros((20, 1))),
}


@pytest.mark.parametrize("judge", CHECKS)
@pytest.mark.parametrize("odd", ODD)
def test_odd_answers_are_answered_without_a_raise(judge, odd):
    verdict = judge(lambda *given: ODD[odd])
    same_state(verdict, "not yet")
    assert "raised" not in verdict.message


# ---------------------------------------------------------------- shortcut
def gated(logs):
    return (logs[:, None] - logs).sigmoid()


def shortcut(logs, means, gate=gated):
    share = gate(logs)
    found = torch.einsum("ijhm,ihmw->ijhw", share, means)
    return found - found.transpose(0, 1)


def by_loops(logs, means):
    pictures, heads, tokens = logs.shape
    rows = []
    for i in range(pictures):
        for j in range(pictures):
            total = 0
            for m in range(tokens):
                one = torch.sigmoid(logs[i, :, m] - logs[j, :, m])[:, None]
                other = torch.sigmoid(logs[j, :, m] - logs[i, :, m])[:, None]
                total = total + one * means[i, :, m] - other * means[j, :, m]
            rows.append(total)
    return torch.stack(rows).reshape(pictures, pictures, heads, -1)


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
    "where the differences are the same": lambda m, v: shortcut(
        m, v, lambda m: m[:, None].clamp(max=80).exp() / sum(
            a.clamp(max=80).exp() for a in (m[:, None], m)).clamp(min=1e-9)
    ),
    "the gate looks the wrong way": lambda m, v: shortcut(-m, v),
    "logs' sum, not their difference": lambda m, v: shortcut(
        m, v, lambda m: (m[:, None] + m).sigmoid()
    ),
    "one picture's log alone": lambda m, v: shortcut(
        m, v, lambda m: m[:, None].sigmoid().expand(-1, len(m), -1, -1)
    ),
    "other picture's log alone": lambda m, v: shortcut(
        m, v, lambda m: m.sigmoid().expand(len(m), -1, -1, -1)
    ),
    "softmax over all pictures": lambda m, v: shortcut(
        m, v, lambda m: m.softmax(0)[:, None].expand(-1, len(m), -1, -1)
    ),
    "the gate is always 1/2": lambda m, v: (v.sum(2)[:, None] - v.sum(2)) / 2,
    "there is no gate": lambda m, v: v.sum(2)[:, None] - v.sum(2),
    "where is the sigmoid": lambda m, v: shortcut(m, v, lambda m: m[:, None] - m),
    "exponential of the difference": lambda m, v: shortcut(
        m, v, lambda m: (m[:, None] - m).exp()
    ),
    "all or nothing": lambda m, v: shortcut(m, v, lambda m: (m[:, None] > m).float()),
    "tanh of the difference": lambda m, v: shortcut(m, v, lambda m: (m[:, None] - m).tanh()),
    "i and j have changed places": lambda m, v: shortcut(m, v).transpose(0, 1),
    "one and other": lambda m, v: -shortcut(m, v),
    "you add what was found in j": lambda m, v: (
        torch.einsum("ijhm,ihmw->ijhw", gated(m), v) + torch.einsum("jihm,jhmw->ijhw", gated(m), v)
    ),
    "only picture i is in it": lambda m, v: torch.einsum("ijhm,ihmw->ijhw", gated(m), v),
    "both means count by the share of i": lambda m, v: (
        (gated(m)[..., None] * (v[:, None] - v)).sum(3)
    ),
    "sum shares and means apart": lambda m, v: (
        gated(m).sum(3)[..., None] * v.sum(2)[:, None]
        - gated(-m).sum(3)[..., None] * v.sum(2)
    ),
    "you average over the relational tokens": lambda m, v: shortcut(m, v) / m.shape[2],
    "you average over the two pictures": lambda m, v: shortcut(m, v) / 2,
    "average over the pictures of the batch": lambda m, v: shortcut(m, v) / len(m),
    "; and you average": lambda m, v: shortcut(-m, v) / m.shape[2],
    "(N, N, H, M, W): sum over m": lambda m, v: gated(m)[..., None] * v[:, None],
    "shape of the gates": lambda m, v: gated(m),
    "sum over the heads: sum over m": lambda m, v: (gated(m)[..., None] * v[:, None]).sum(2),
    "no axis of pairs": lambda m, v: (m.sigmoid()[..., None] * v).sum(2),
    "axes of pictures first": lambda m, v: shortcut(m, v).permute(2, 0, 1, 3),
    "an entry for each ordered pair": lambda m, v: shortcut(m, v)[0, 0, 0],
    "you return (4, 4, 10)": lambda m, v: shortcut(m, v).flatten(2),
    "stay in torch": lambda m, v: shortcut(m, v).numpy(),
    "keep the type": lambda m, v: shortcut(m, v).long(),
    "is there a division by 0": lambda m, v: shortcut(m, v) * torch.inf,
    "at (1, 2, 1, 3), pair 1, 2, it is": lambda m, v: (
        shortcut(m, v) + F.one_hot(torch.tensor(3), 5) * torch.eye(4)[1][:, None, None, None]
        * torch.eye(4)[2][None, :, None, None] * torch.eye(2)[1][None, None, :, None]
    ),
    "no gradient reaches the logs": lambda m, v: shortcut(m.detach(), v),
    "no gradient reaches the means": lambda m, v: shortcut(m, v.detach()),
}  # fmt: skip


@pytest.mark.parametrize("answer", [shortcut, by_loops, by_softmax_of_two])
def test_right_shortcuts_pass(answer):
    same_state(check.shortcut(answer), "passed")


@pytest.mark.parametrize("diagnosis", SHORTCUTS)
def test_shortcuts_are_diagnosed(diagnosis):
    wrong(check.shortcut(SHORTCUTS[diagnosis]), diagnosis)


# ---------------------------------------------------------------- antisymmetry
def turned(pairs):
    return pairs.transpose(0, 1)


def far(pairs):
    return (pairs + turned(pairs)).abs().max()


def far_by_loops(pairs):
    most = 0.0
    for i in range(len(pairs)):
        for j in range(len(pairs)):
            most = max(most, np.abs(pairs[i, j].numpy() + pairs[j, i].numpy()).max())
    return most


def outside(pairs):
    whole = pairs + turned(pairs)
    return whole[~torch.eye(len(pairs), dtype=torch.bool)]


FARS = {
    "so add": lambda p: (p - turned(p)).abs().max(),
    "sums below 0 escape you": lambda p: (p + turned(p)).max(),
    "you look for the least sum": lambda p: (p + turned(p)).min(),
    "where errors cancel": lambda p: (p + turned(p)).mean().abs(),
    "that is the mean": lambda p: (p + turned(p)).abs().mean(),
    "that is the sum of all": lambda p: (p + turned(p)).abs().sum(),
    "that is half of it": lambda p: far(p) / 2,
    "a squared distance": lambda p: far(p) ** 2,
    "root mean square": lambda p: (p + turned(p)).square().mean().sqrt(),
    "length of all": lambda p: (p + turned(p)).norm(),
    "you leave the diagonal out": lambda p: outside(p).abs().max(),
    "the diagonal is all that": lambda p: 2 * torch.stack([p[i, i] for i in range(len(p))]).abs(
        ).max(),
    "where is the transposed": lambda p: p.abs().max(),
    "come before the sum": lambda p: (p.abs() + turned(p).abs()).max(),
    "come before the difference": lambda p: (p.abs() - turned(p).abs()).abs().max(),
    "you divide by the largest": lambda p: far(p) / p.abs().max(),
    "how far is 0 or more": lambda p: -far(p),
    ".T and .mT exchange others": lambda p: (p + p.mT).abs().max(),
    "the first two axes, .transpose(0, 1)": lambda p: (
        p + p.permute(*reversed(range(p.ndim)))).abs().max(),
    "cut off the fraction": lambda p: int(far(p)),
    "you return a bool": lambda p: bool(far(p) < 1e-5),
    "take the largest of all": lambda p: (p + turned(p)).abs(),
    "antisymmetric but for one number of many: the largest |p_ij + p_ji| is 0.5": lambda p: (
        far(p[:, :, 0, 0]) if p.ndim == 4 else far(p)
    ),
    "antisymmetric: the largest |p_ij + p_ji| is 0 but for rounding; yours is 0.1": lambda p: (
        far(p) + 0.1
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "answer", [far, far_by_loops, lambda p: far(p).item(), lambda p: far(p).numpy()]
)
def test_right_distances_pass_and_tell_a_network_from_its_attention(answer):
    verdict = check.antisymmetry(answer)
    same_state(verdict, "passed")
    found = verdict.message.split("off by ")[1].split(";")[0]
    logits = verdict.message.split("by ")[-1].split(":")[0]
    assert float(found) < 1e-5
    assert float(logits) > 0.01


@pytest.mark.parametrize("diagnosis", FARS)
def test_distances_are_diagnosed(diagnosis):
    wrong(check.antisymmetry(FARS[diagnosis]), diagnosis)


# ---------------------------------------------------------------- ties
def bce(logits, told):
    return F.binary_cross_entropy_with_logits(logits, told, reduction="none")


def above(targets):
    return (targets[:, None] > targets).float()


def differ(targets):
    return targets[:, None] != targets


def itself(targets):
    return torch.eye(len(targets), dtype=torch.bool)


def average(each, counted):
    return (each * counted).sum() / counted.sum().clamp(min=1)


def tied(logits, targets):
    return average(bce(logits, above(targets)), differ(targets))


def tied_by_loops(logits, targets):
    losses = []
    for i in range(len(targets)):
        for j in range(len(targets)):
            if targets[i] > targets[j]:
                losses.append(-F.logsigmoid(logits[i, j]))
            if targets[i] < targets[j]:
                losses.append(-F.logsigmoid(-logits[i, j]))
    return sum(losses) / len(losses) if losses else torch.tensor(0.0)


def tied_by_choice(logits, targets):
    if not differ(targets).any():
        return 0 * logits.sum()
    return bce(logits, above(targets))[differ(targets)].mean()


def tied_nan(logits, targets):
    return bce(logits, above(targets))[differ(targets)].mean()


def tied_hidden(logits, targets):
    mean = (bce(logits, above(targets)) * differ(targets)).sum() / differ(targets).sum()
    return torch.where(differ(targets).any(), mean, torch.zeros(()))


TIES = {
    "ties count, as if neither": lambda s, t: bce(s, above(t)).mean(),
    "only the diagonal is left out": lambda s, t: bce(s, above(t))[~itself(t)].mean(),
    "the diagonal counts": lambda s, t: average(bce(s, above(t)), differ(t) | itself(t)),
    "turn your mask round": lambda s, t: average(bce(s, above(t)), ~differ(t)),
    "only pairs whose first has more": lambda s, t: average(bce(s, above(t)), above(t)),
    "in one order only": lambda s, t: average(bce(s, above(t)), differ(t).triu()),
    "you divide by B * B": lambda s, t: (bce(s, above(t)) * differ(t)).mean(),
    "you divide by B * (B - 1)": lambda s, t: (
        (bce(s, above(t)) * differ(t)).sum() / (len(t) * (len(t) - 1))
    ),
    "you divide by B: there": lambda s, t: (bce(s, above(t)) * differ(t)).sum() / len(t),
    "that is the sum": lambda s, t: (bce(s, above(t)) * differ(t)).sum(),
    "the order is reversed": lambda s, t: tied(s, -t),
    "the order is reversed: logit i, j says that i ranks above j, so it is told targets[:, None] > "
    "targets; and that is the sum": lambda s, t: (bce(s, above(-t)) * differ(t)).sum(),
    "all pairs are told 1": lambda s, t: average(bce(s, torch.ones_like(s)), differ(t)),
    "sigmoid twice": lambda s, t: tied(s.sigmoid(), t),
    "only pairs told 1 have a loss": lambda s, t: average(-F.logsigmoid(s) * above(t), differ(t)),
    "squared error of logits": lambda s, t: average((s - above(t)) ** 2, differ(t)),
    "squared error of probabilities": lambda s, t: average(
        (s.sigmoid() - above(t)) ** 2, differ(t)
    ),
    "minus the logarithm": lambda s, t: -tied(s, t),
    "not 0 but log 2": lambda s, t: bce(s * differ(t), above(t)).mean(),
    "told 1/2": lambda s, t: bce(s, (above(t) + (t[:, None] >= t)) / 2).mean(),
    "0 / 0: no pairs": tied_nan,
    "(3 of them) the gradient is NaN": tied_hidden,
    "your answer is 0.693: no pairs": lambda s, t: (
        tied(s, t) if differ(t).any() else torch.tensor(0.6931)
    ),
    "the log of a sigmoid": lambda s, t: average(
        -torch.where(above(t) > 0, s.sigmoid(), 1 - s.sigmoid()).log(), differ(t)
    ),
    "take the mean over the pairs that count, a scalar": lambda s, t: bce(s, above(t))[differ(t)],
    "stay in torch": lambda s, t: tied(s, t).item(),
    "no gradient reaches the logits": lambda s, t: tied(s.detach(), t),
    "for targets [0.5, -1.0, 0.5, 2.0, 0.5] the loss is": lambda s, t: tied(s, t) + 0.1,
    "is there a division by 0": lambda s, t: tied(s, t) * torch.nan,
}


@pytest.mark.parametrize("answer", [tied, tied_by_loops, tied_by_choice])
def test_right_losses_pass(answer):
    same_state(check.ties(answer), "passed")


@pytest.mark.parametrize("diagnosis", TIES)
def test_losses_are_diagnosed(diagnosis):
    wrong(check.ties(TIES[diagnosis]), diagnosis)


# ---------------------------------------------------------------- rank_batch
def in_turn(names, values, name, count, rng):
    """Go round the values until there are enough."""
    piles = [
        rng.permutation(np.flatnonzero((names == name) & (values == v))).tolist()
        for v in rng.permutation(np.unique(values[names == name]))
    ]
    chosen = []
    while len(chosen) < count:
        for pile in piles:
            if pile and len(chosen) < count:
                chosen.append(pile.pop())
    return np.array(chosen, dtype=int)


def drawn(names, values, name, size, share, seed, *, count=None, positives=in_turn, others=None):
    rng = np.random.default_rng(seed)
    count = int((1 - share) * size) if count is None else count
    rows = positives(names, values, name, count, rng)
    others = np.flatnonzero(names != name) if others is None else others
    rest = rng.choice(others, size - len(rows), replace=False)
    rows, targets = np.concatenate([rows, rest]), np.concatenate([values[rows], 0 * rest])
    return rows, targets


def shuffled(*given):
    rows, targets = drawn(*given)
    order = np.random.default_rng(given[-1]).permutation(len(rows))
    return torch.tensor(rows[order]), torch.tensor(targets[order])


def batch_by_ranks(names, values, name, size, share, seed):
    """Even by the rank that a picture has within its own value."""
    rng = np.random.default_rng(seed)
    own = rng.permutation(np.flatnonzero(names == name))
    turn = [np.sum(values[own[:i]] == values[own[i]]) for i in range(len(own))]
    rows = own[np.argsort(turn, kind="stable")][: int((1 - share) * size)]
    rest = rng.permutation(np.flatnonzero(names != name))[: size - len(rows)]
    return rows.tolist() + rest.tolist(), values[rows].tolist() + [0.0] * len(rest)


def edited(change):
    """A right batch with something done to it."""

    def function(names, values, name, size, share, seed):
        rows, targets = drawn(names, values, name, size, share, seed)
        return change(rows, targets, names, values, name)

    return function


def choosing(positives):
    return lambda *given: drawn(*given, positives=positives)


def among_all(names, values, name, size, share, seed):
    own = in_turn(names, values, name, int((1 - share) * size), np.random.default_rng(seed))
    return drawn(
        names, values, name, size, share, seed, others=np.setdiff1d(np.arange(len(names)), own)
    )


def containing(names, values, name, size, share, seed):
    holding = np.array([name in each for each in names])
    rng = np.random.default_rng(seed)
    rows = rng.choice(np.flatnonzero(holding), int((1 - share) * size), replace=False)
    rest = rng.choice(np.flatnonzero(~holding), size - len(rows), replace=False)
    return np.r_[rows, rest], np.r_[values[rows], 0.0 * rest]


def falling_short(names, values, name, count, rng):
    kinds = np.unique(values)
    each = [count // len(kinds) + (k < count % len(kinds)) for k in range(len(kinds))]
    return np.concatenate([
        rng.permutation(np.flatnonzero((names == name) & (values == v)))[:n]
        for v, n in zip(kinds, each, strict=True)
    ])  # fmt: skip


def repeated(names, values, name, count, rng):
    kinds = np.unique(values)
    return np.array([
        rng.choice(np.flatnonzero((names == name) & (values == kinds[k % len(kinds)])))
        for k in range(count)
    ])  # fmt: skip


def unseeded(names, values, name, size, share, seed):
    return drawn(names, values, name, size, share, None)


def rolled(rows, targets, names, values, name):
    """Only the targets of the positives are moved on."""
    own = names[rows] == name
    moved = targets.copy()
    moved[own] = np.roll(targets[own], 1)
    return rows, moved


BATCHES = {
    "a negative shows what is counted: row": among_all,
    "the release does that, too": among_all,
    "negatives keep their own count": edited(lambda r, t, n, v, name: (r, v[r])),
    "draw without replacement": choosing(repeated),
    "negative ": edited(
        lambda r, t, n, v, name: (np.where(n[r] == name, r, r[n[r] != name][:1].sum()), t)
    ),
    "values are uneven": choosing(
        lambda n, v, name, count, rng: rng.choice(np.flatnonzero(n == name), count, replace=False)
    ),
    "Go round the values": choosing(
        lambda n, v, name, count, rng: np.flatnonzero(n == name)[
            np.argsort(-v[n == name])][:count]
    ),
    "share is that of the negatives": lambda *g: drawn(*g, count=int(g[4] * g[3])),
    "it is 17 positives and 8 negatives; yours are 18 and 7: int(": lambda *g: drawn(
        *g, count=round((1 - g[4]) * g[3])
    ),
    "no negative is in the batch": lambda *g: drawn(*g, count=g[3]),
    "where a value has too few pictures": lambda n, v, name, size, share, seed: (
        lambda own, rest: (np.r_[own, rest], np.r_[v[own], 0.0 * rest])
    )(
        falling_short(n, v, name, int((1 - share) * size), np.random.default_rng(seed)),
        np.random.default_rng(seed).permutation(np.flatnonzero(n != name))[
            : size - int((1 - share) * size)],
    ),
    "Compare names with ==": containing,
    "no picture of 'star' is in": edited(lambda r, t, n, v, name: (
        np.flatnonzero(n != name)[:len(r)], 0 * t)),
    "all targets are 0": edited(lambda r, t, n, v, name: (r, 0 * t)),
    "targets are in another order": edited(lambda r, t, n, v, name: (r[::-1], t)),
    "targets are in another order than rows": edited(rolled),
    "targets say only whether": edited(lambda r, t, n, v, name: (r, (t > 0).astype(float))),
    "its target is": edited(lambda r, t, n, v, name: (r, t + 1.5 * (t > 0))),
    "every seed draws the same positives": choosing(
        lambda n, v, name, count, rng: in_turn(n, v, name, count, np.random.default_rng(0))
    ),
    "every seed draws the same negatives": lambda *g: drawn(
        *g, others=np.flatnonzero(g[0] != g[2])[: g[3] - int((1 - g[4]) * g[3])]
    ),
    "the same seed gives another batch": unseeded,
    "return two things": lambda *g: drawn(*g)[0],
    "is a mask": edited(lambda r, t, n, v, name: (np.isin(np.arange(len(n)), r), t)),
    "19 targets: one target for each row": edited(lambda r, t, n, v, name: (r, t[1:])),
    "must be integers": edited(lambda r, t, n, v, name: (r.astype(float), t)),
    "holds <U": edited(lambda r, t, n, v, name: (n[r], t)),
    "has shape (20, 1)": edited(lambda r, t, n, v, name: (r[:, None], t)),
    "a row is outside": edited(lambda r, t, n, v, name: (r + 10_000, t)),
    "a target is not finite": edited(lambda r, t, n, v, name: (r, t / (t > 0))),
}  # fmt: skip


@pytest.mark.parametrize("answer", [drawn, shuffled, batch_by_ranks])
def test_right_batches_pass(answer):
    same_state(check.rank_batch(answer), "passed")


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("diagnosis", BATCHES)
def test_batches_are_diagnosed(diagnosis):
    wrong(check.rank_batch(BATCHES[diagnosis]), diagnosis)


def test_a_sigmoid_rounded_to_one_has_lost_its_logarithm():
    def rounded(logits, targets):
        above = (targets[:, None] > targets).to(logits.dtype)
        each = F.binary_cross_entropy(logits.sigmoid(), above, reduction="none")
        differ = targets[:, None] != targets
        return (each * differ).sum() / differ.sum().clamp(min=1)

    assert "rounded to 0 or 1" in str(check.ties(rounded))
