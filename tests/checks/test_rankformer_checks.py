from itertools import cycle

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ordlib import losses
from ordlib.course.checks import rankformer as check


def wrong(verdict, diagnosis):
    assert verdict.state == "not yet"
    assert diagnosis in verdict.message


def same_state(verdict, state):
    assert verdict.state == state, verdict.message


@pytest.mark.parametrize(
    "verdict",
    [
        lambda stub: check.blend(stub),
        lambda stub: check.pull_and_push(stub, stub),
        lambda stub: check.sign(stub),
        lambda stub: check.shuffled(stub),
        lambda stub: check.lora_parameters(stub),
        lambda stub: check.blend(...),
    ],
)
def test_stubs_are_not_started(verdict):
    assert verdict(lambda *given: ...).state == "not started"


@pytest.mark.parametrize("name", check.__all__)
def test_errors_are_quoted(name):
    def fails(*given):
        raise KeyError("mine")

    answers = [fails] * (2 if name == "pull_and_push" else 1)
    wrong(getattr(check, name)(*answers), "raised KeyError: 'mine'")


# ---------------------------------------------------------------- blend
def mix(p, t, a):
    return (1 - a) * p + a * t


def blend(p, t, live, a):
    return torch.where(live[..., None], mix(p, t, a), p)


def by_copy(p, t, live, a):
    result = p.clone()
    result[live] = mix(p[live], t[live], a)
    return result


def by_loops(p, t, live, a):
    rows = [
        torch.stack(
            [mix(p[m, s], t[m, s], a) if live[m, s] else p[m, s] for s in range(p.shape[1])]
        )
        for m in range(len(p))
    ]
    return torch.stack(rows)


def by_mask(p, t, live, a):
    mask = live[..., None].float()
    return mask * mix(p, t, a) + (1 - mask) * p


def in_place(p, t, live, a):
    p[live] = mix(p[live], t[live], a)
    return p


def cleans_in_place(p, t, live, a):
    t[~live] = 0
    return blend(p, t, live, a)


def one_wrong_cell(p, t, live, a):
    result = blend(p, t, live, a)
    result[1, 2, 3] += 1
    return result


def chosen(live, one, other):
    return torch.where(live[..., None], one, other)


BLENDS = {
    "not bit by bit the prompts": lambda p, t, m, a: blend(p, t, m, max(a, 1e-7)),
    "up to 5e-07 off": lambda p, t, m, a: blend(p, t, m, a) + 5e-7 * (a == 0),
    "at alpha = 1 the live part": lambda p, t, m, a: blend(p, t, m, min(a, 0.9)),
    "also moves start, end and padding": lambda p, t, m, a: mix(p, t, a),
    "are swapped": lambda p, t, m, a: blend(p, t, m, 1 - a),
    "are swapped: alpha is the share of transformed; and your blend also moves": (
        lambda p, t, m, a: mix(t, p, a)
    ),
    "a residual sum": lambda p, t, m, a: chosen(m, p + a * t, p),
    "a residual sum. In a blend the prompts keep 1 - alpha; and your blend also": (
        lambda p, t, m, a: p + a * t
    ),
    "transformed whole: where is alpha": lambda p, t, m, a: chosen(m, t, p),
    "both whole": lambda p, t, m, a: chosen(m, p + t, p),
    "nothing moves": lambda p, t, m, a: p.clone(),
    "live is turned round": lambda p, t, m, a: blend(p, t, ~m, a),
    "one row of live": lambda p, t, m, a: blend(p, t, m[:1], a),
    "dead positions become 0": lambda p, t, m, a: mix(p, t, a) * m[..., None],
    "dead positions shrink": lambda p, t, m, a: (1 - a) * p + a * chosen(m, t, 0 * t),
    "NaN in transformed leaks": by_mask,
    "torch.where chooses": lambda p, t, m, a: p + a * m[..., None] * (t - p),
    "you change prompts in place": in_place,
    "you change transformed in place": cleans_in_place,
    "live positions alone": lambda p, t, m, a: mix(p, t, a)[m],
    "you return (7, 5): give as many": lambda p, t, m, a: blend(p, t, m, a)[0],
    "stay in torch": lambda p, t, m, a: blend(p, t, m, a).numpy(),
    "keep the prompts' type": lambda p, t, m, a: blend(p, t, m, a).double(),
    "Give it an axis": lambda p, t, m, a: torch.where(m, mix(p, t, a), p),
    "at (1, 2, 3), live True": one_wrong_cell,
    "gradient reaches the prompts or the transformed": lambda p, t, m, a: blend(
        p, t, m, a
    ).detach(),
    "gradient reaches the transformed": lambda p, t, m, a: blend(p, t.detach(), m, a),
}


@pytest.mark.parametrize(
    "answer", [blend, by_copy, by_loops, lambda p, t, m, a: chosen(m, p.lerp(t, a), p)]
)
def test_right_blends_pass(answer):
    same_state(check.blend(answer), "passed")


@pytest.mark.parametrize("diagnosis", BLENDS)
def test_blends_are_diagnosed(diagnosis):
    wrong(check.blend(BLENDS[diagnosis]), diagnosis)


# ---------------------------------------------------------------- pull_and_push
def unit(rows):
    return F.normalize(rows, dim=-1)


def tightness(features, texts, ranks):
    return (unit(features) - unit(texts)[ranks]).square().sum(1).mean()


def tight_loops(features, texts, ranks):
    total = 0
    for picture, rank in zip(features, ranks.tolist(), strict=True):
        total = total + ((picture / picture.norm() - texts[rank] / texts[rank].norm()) ** 2).sum()
    return total / len(features)


def gaps(values, levels):
    return (values[:, None] - levels).abs()


def rescaled(far):
    return (far - far.min()) / far.max()


def apart(features, texts):
    return torch.cdist(unit(features), unit(texts))


def diversity(features, texts, values, levels):
    return -(rescaled(gaps(values, levels)) * apart(features, texts)).mean()


def diverse_loops(features, texts, values, levels):
    far = [[abs(v - x) for x in levels.tolist()] for v in values.tolist()]
    least, greatest = min(map(min, far)), max(map(max, far))
    total = 0
    for row, picture in zip(far, features, strict=True):
        for gap, text in zip(row, texts, strict=True):
            d = (picture / picture.norm() - text / text.norm()).norm()
            total = total + (gap - least) / greatest * d
    return -total / len(features) / len(texts)


def weighing(weights):
    """Diversity with other weights of the distances of labels."""
    return lambda f, t, v, x: -(weights(gaps(v, x)) * apart(f, t)).mean()


PULLS = {
    "nothing is normalised": lambda f, t, r: (f - t[r]).square().sum(1).mean(),
    "texts are not normalised": lambda f, t, r: (unit(f) - t[r]).square().sum(1).mean(),
    "features are not normalised": lambda f, t, r: (f - unit(t)[r]).square().sum(1).mean(),
    "over the wrong axis": lambda f, t, r: (
        (F.normalize(f, dim=0) - F.normalize(t, dim=0)[r]).square().sum(1).mean()
    ),
    "distance is not squared": lambda f, t, r: (unit(f) - unit(t)[r]).norm(dim=1).mean(),
    "that is the sum over the pictures": lambda f, t, r: tightness(f, t, r) * len(f),
    "picture i meets text i": lambda f, t, r: tightness(f, t, torch.arange(len(f)) % len(t)),
    "picture i meets text i: take the text of its": lambda f, t, r: (
        (unit(f) - unit(t)).square().sum(1).mean()
    ),
    "shapes do not fit: texts[ranks] gives a row": lambda f, t, r: (
        (unit(f) - 3 * unit(t)).square().sum(1).mean()
    ),
    "square of the mean distance: take the mean of the squares": lambda f, t, r: (
        (unit(f) - unit(t)[r]).norm(dim=1).mean() ** 2
    ),
    "stands on its word: there the gradient is not finite": lambda f, t, r: (
        (unit(f) - unit(t)[r]).square().sum(1).sqrt() ** 2
    ).mean(),
    "meets all texts": lambda f, t, r: apart(f, t).square().mean(),
    "one rank too low": lambda f, t, r: tightness(f, t, (r - 1) % len(t)),
    "one rank too high": lambda f, t, r: tightness(f, t, (r + 1) % len(t)),
    "half the squared distance": lambda f, t, r: tightness(f, t, r) / 2,
    "that is a cosine": lambda f, t, r: F.cosine_similarity(f, t[r]).mean(),
    "minus the cosine": lambda f, t, r: -F.cosine_similarity(f, t[r]).mean(),
    "over the D coordinates": lambda f, t, r: F.mse_loss(unit(f), unit(t)[r]),
    "pushes from the own text": lambda f, t, r: -tightness(f, t, r),
    "nothing is normalised: bring features and texts to length 1 first; and the distance is not": (
        lambda f, t, r: (f - t[r]).norm(dim=1).mean()
    ),
    "a number for each picture": lambda f, t, r: (unit(f) - unit(t)[r]).square().sum(1),
    "return a tensor, without item or numpy": lambda f, t, r: tightness(f, t, r).item(),
    "reaches the features or the texts": lambda f, t, r: tightness(f, t, r).detach(),
    "reaches the features:": lambda f, t, r: tightness(f.detach(), t, r),
    "reaches the texts:": lambda f, t, r: tightness(f, t.detach(), r),
    "your answer is nan": lambda f, t, r: tightness(f, t, r) * float("nan"),
    "for 6 pictures and 5 ranks the answer is": lambda f, t, r: tightness(f, t, r) + 0.1,
    "for 7 pictures and 4 ranks the answer is": lambda f, t, r: (
        tightness(f, t, r) + 0.1 * (len(f) == 7)
    ),
}
PUSHES = {
    "nothing is normalised": lambda f, t, v, x: -(rescaled(gaps(v, x)) * torch.cdist(f, t)).mean(),
    "the distance is squared": lambda f, t, v, x: -(rescaled(gaps(v, x)) * apart(f, t) ** 2).mean(),
    "that is 1 - cosine": lambda f, t, v, x: (
        -(rescaled(gaps(v, x)) * (1 - unit(f) @ unit(t).T)).mean()
    ),
    "that is a cosine": lambda f, t, v, x: -(rescaled(gaps(v, x)) * (unit(f) @ unit(t).T)).mean(),
    "the sum: take the mean over all": lambda f, t, v, x: diversity(f, t, v, x) * len(f) * len(t),
    "you sum over the ranks": lambda f, t, v, x: diversity(f, t, v, x) * len(t),
    "you divide by the sum of the weights": lambda f, t, v, x: (
        diversity(f, t, v, x) / rescaled(gaps(v, x)).mean()
    ),
    "pulls to far ranks": lambda f, t, v, x: -diversity(f, t, v, x),
    "bare distances of labels": weighing(lambda far: far),
    "least is not taken off": weighing(lambda far: far / far.max()),
    "not divided by the greatest": weighing(lambda far: far - far.min()),
    "the greatest is taken when the least is off already": weighing(
        lambda far: (far - far.min()) / (far.max() - far.min())
    ),
    "rescaled row by row: least": weighing(
        lambda far: (far - far.amin(1, keepdim=True)) / far.amax(1, keepdim=True)
    ),
    "rescaled row by row, least to greatest": weighing(
        lambda far: (
            (far - far.amin(1, keepdim=True))
            / (far.amax(1, keepdim=True) - far.amin(1, keepdim=True))
        )
    ),
    "the least is taken row by row": weighing(
        lambda far: (far - far.amin(1, keepdim=True)) / far.max()
    ),
    "the greatest is taken row by row": weighing(
        lambda far: (far - far.min()) / far.amax(1, keepdim=True)
    ),
    "the weights are transposed: they are (B, M), a row for each picture": (
        lambda f, t, v, x: -(rescaled(gaps(x, v)) * apart(f, t)).mean()
    ),
    "picture i meets rank i: values[:, None] - levels gives (B, M)": (
        lambda f, t, v, x: -(rescaled((v - x).abs()) * apart(f, t)).mean()
    ),
    "all pairs; and value - level has a sign": (
        lambda f, t, v, x: -(rescaled(v - x) * apart(f, t)).mean()
    ),
    "shapes do not fit: values[:, None] - levels and torch.cdist": (
        lambda f, t, v, x: -(rescaled((v - 3 * x).abs()) * apart(f, t)).mean()
    ),
    "between ranks' numbers: between values and levels": lambda f, t, v, x: diversity(
        f, t, gaps(v, x).argmin(1), torch.arange(len(x))
    ),
    "from the level of a picture's rank": lambda f, t, v, x: diversity(
        f, t, x[gaps(v, x).argmin(1)], x
    ),
    "stands on its word: there the": lambda f, t, v, x: (
        -(rescaled(gaps(v, x)) * (2 - 2 * unit(f) @ unit(t).T).sqrt()).mean()
    ),
    "there the gradient is not finite": lambda f, t, v, x: (
        -(rescaled(gaps(v, x)) * (2 - 2 * unit(f) @ unit(t).T).clamp(min=0).sqrt()).mean()
    ),
    "torch.cdist minds that": lambda f, t, v, x: (
        -(rescaled(gaps(v, x)) * (unit(f)[:, None] - unit(t)).square().sum(2).sqrt()).mean()
    ),
    "column by column": weighing(lambda far: (far - far.amin(0)) / far.amax(0)),
    "the weights are squared": weighing(lambda far: rescaled(far) ** 2),
    "the distances of labels are squared": weighing(lambda far: rescaled(far**2)),
    "the weights are turned round": weighing(lambda far: 1 - rescaled(far)),
    "there are no weights": weighing(torch.ones_like),
    "value - level has a sign": lambda f, t, v, x: -(rescaled(v[:, None] - x) * apart(f, t)).mean(),
    "ranks' numbers": lambda f, t, v, x: diversity(f, t, v, torch.arange(len(x))),
    "the sign is turned round: a distance, made small, pulls to far ranks. Minus it": (
        lambda f, t, v, x: (gaps(v, x) * apart(f, t)).mean()
    ),
    "a number for each pair": lambda f, t, v, x: -rescaled(gaps(v, x)) * apart(f, t),
    "reaches the features:": lambda f, t, v, x: diversity(f.detach(), t, v, x),
}


@pytest.mark.parametrize(
    ("pull", "push"),
    [
        (tightness, diversity),
        (tight_loops, diverse_loops),
        (losses.tightness, losses.diversity),
    ],
)
def test_right_pairs_pass(pull, push):
    same_state(check.pull_and_push(pull, push), "passed")


@pytest.mark.parametrize("diagnosis", PULLS)
def test_pulls_are_diagnosed(diagnosis):
    verdict = check.pull_and_push(PULLS[diagnosis], diversity)
    wrong(verdict, diagnosis)
    assert verdict.message.startswith("my_tightness: ")
    assert verdict.message.endswith("my_diversity is right")


@pytest.mark.parametrize("diagnosis", PUSHES)
def test_pushes_are_diagnosed(diagnosis):
    verdict = check.pull_and_push(tightness, PUSHES[diagnosis])
    wrong(verdict, diagnosis)
    assert verdict.message.startswith("my_tightness is right. my_diversity: ")


def test_half_of_the_pair_gets_its_answer():
    wrong(check.pull_and_push(tightness, lambda *given: None), "my_diversity: it returns nothing")
    wrong(check.pull_and_push(lambda *given: 1 / 0, diversity), "it raised ZeroDivisionError")


# ---------------------------------------------------------------- sign
TEXTS, LEVELS, VALUES = torch.eye(3), torch.tensor([1.0, 2.0, 10.0]), torch.tensor([1.0])


def cost(loss, picture):
    return loss(picture, TEXTS, VALUES, LEVELS)


def by_moving(loss):
    return bool(cost(loss, TEXTS[2:]) < cost(loss, TEXTS[:1]))


def by_gradient(loss):
    picture = TEXTS[:1].clone().requires_grad_()
    (slope,) = torch.autograd.grad(cost(loss, picture), picture)
    return (slope @ TEXTS[2]).item() < 0


def turned(loss, away=-0.5):
    near, far = (torch.tensor([[1.0, 0.2, place]]) for place in (0.5, away))
    return cost(loss, near) < cost(loss, far)


def by_moving_words(loss):
    near = TEXTS.clone()
    near[2, 0] = 0.5
    return bool(loss(TEXTS[:1], near, VALUES, LEVELS) < cost(loss, TEXTS[:1]))


def by_gradient_of_words(loss):
    words = (TEXTS + 0.1).requires_grad_()
    (slope,) = torch.autograd.grad(loss(TEXTS[:1], words, VALUES, LEVELS), words)
    return (slope[2] @ TEXTS[0]).item() < 0


def alternating():
    answers = cycle([False, True])
    return lambda loss: next(answers)


def in_two_dimensions(loss):
    ends, levels = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([0, 5])
    own, far = (loss(end[None], ends, torch.tensor([0]), levels) for end in ends)
    return (far < own).item()


def just_as_far(loss):
    return np.bool_(cost(loss, TEXTS[1:2]) > cost(loss, TEXTS[2:]))


def at_random(loss):
    picture = torch.randn(1, 3)
    return bool(cost(loss, picture) < cost(loss, torch.randn(1, 3)))


def near_step(loss):
    """Look at the far side of a sphere, where a rank stands that is hardly pushed from."""
    texts = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    levels = torch.tensor([1.0, 1.5, 10.0])
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]])
    return bool(loss(other, texts, VALUES, levels) < loss(one, texts, VALUES, levels))


def knows_the_number(loss):
    expected = losses.diversity(TEXTS[:1], TEXTS, VALUES, LEVELS)
    return bool(torch.isclose(cost(loss, TEXTS[:1]), -expected))


SIGNS = {
    "you answer False whatever comes: turn a picture": lambda loss: False,
    "you answer True whatever comes": lambda loss: True,
    "exchange True and False": lambda loss: not by_gradient(loss),
    "you look at the sign of the value": lambda loss: bool(cost(loss, TEXTS[:1]) > 0),
    "you know the plain loss": lambda loss: (
        not np.isclose(cost(loss, TEXTS[:1]), losses.diversity(TEXTS[:1], TEXTS, VALUES, LEVELS))
    ),
    "do not compare its value with what it should be": knows_the_number,
    "constant added to the loss fools you": lambda loss: bool(cost(loss, TEXTS[2:]) > 0),
    "wrong for: flipped less 10.": lambda loss: (
        by_gradient(loss) and cost(loss, TEXTS[:1]).item() > -5
    ),
    "a pull to the own rank": near_step,
    "keep the picture equally far from its own word in both situations": by_moving,
    "or move the words of a far rank instead": in_two_dimensions,
    "a pull to the own rank beside diversity fools you": lambda loss: turned(loss, -0.3),
    "the same loss gets other answers at other times": alternating(),
    "you return a Tensor": lambda loss: cost(loss, TEXTS[2:]) < torch.ones(2),
    "you return a str": lambda loss: "flipped",
    "Random pictures and words prove little": at_random,
}


@pytest.mark.parametrize(
    "answer", [by_gradient, just_as_far, turned, by_moving_words, by_gradient_of_words]
)
def test_experiments_find_the_sign(answer):
    same_state(check.sign(answer), "passed")


@pytest.mark.parametrize("diagnosis", SIGNS)
def test_signs_are_diagnosed(diagnosis):
    torch.manual_seed(0)
    wrong(check.sign(SIGNS[diagnosis]), diagnosis)


# ---------------------------------------------------------------- shuffled
def close(one, other, atol=1e-5):
    return torch.allclose(one, other, atol=atol)


def commutes(former, prompts, live, order):
    return close(former(prompts[order], live[order]), former(prompts, live)[order])


def undone(former, prompts, live, order):
    return close(former(prompts[order], live[order])[order.argsort()], former(prompts, live))


def within(atol):
    return lambda f, p, m, o: close(f(p[o], m[o]), f(p, m)[o], atol)


def comparing(compare):
    return lambda f, p, m, o: bool(compare(f(p[o], m[o]), f(p, m)[o]))


def as_tensor(former, prompts, live, order):
    gap = former(prompts[order], live[order]) - former(prompts, live)[order]
    return gap.abs().max() < 1e-5


def spoils(former, prompts, live, order):
    answer = commutes(former, prompts, live, order)
    former.alpha.fill_(0), prompts.zero_(), live.zero_(), order.zero_()
    return answer


SHUFFLES = {
    "live stays where it was": lambda f, p, m, o: close(f(p[o], m), f(p, m)[o]),
    "one side is not permuted": lambda f, p, m, o: close(f(p[o], m[o]), f(p, m)),
    "with former(prompts, live)[order]": lambda f, p, m, o: close(f(p, m)[o], f(p, m)),
    "is permuted backwards": lambda f, p, m, o: close(f(p[o], m[o])[o], f(p, m)),
    "or undo the first by order.argsort()": lambda f, p, m, o: close(
        f(p[o], m[o]), f(p, m)[o.argsort()]
    ),
    "rounding fools you": lambda f, p, m, o: torch.equal(f(p[o], m[o]), f(p, m)[o]),
    "nor with torch.allclose's own": comparing(torch.allclose),
    "sums differ in their last digits": lambda f, p, m, o: bool(
        (f(p[o], m[o]) == f(p, m)[o]).all()
    ),
    "tolerance is too loose: at a small alpha": within(1e-3),
    "what the positions change is small": within(0.05),
    "whatever comes: is your tolerance too loose": within(5),
    "you answer False whatever comes": lambda f, p, m, o: False,
    "exchange True and False": lambda f, p, m, o: not commutes(f, p, m, o),
    "you read the former's settings": lambda f, p, m, o: f.positions is None,
    "you return a Tensor": lambda f, p, m, o: (f(p[o], m[o]) - f(p, m)[o]).abs() < 1e-5,
    'wrong for: attend="both"; attend="tokens"; learned': lambda f, p, m, o: f.attend == "ranks",
    "How large is rounding, measured": within(1e-4),
    "some of the ranks": comparing(lambda a, b: close(a[0], b[0])),
    "some of the ranks and not all": comparing(lambda a, b: close(a[-1], b[-1])),
    "of the ranks and not all: compare every": comparing(
        lambda a, b: close(a[[0, -1]], b[[0, -1]])
    ),
    "ranks and not all: compare every number": comparing(lambda a, b: close(a[2], b[2])),
    "some of the ranks and positions and features": comparing(
        lambda a, b: close(a[0, 1, 0], b[0, 1, 0])
    ),
    "some of the features": comparing(lambda a, b: close(a[..., 0], b[..., 0])),
    "features and not all: compare every number, and no mean": comparing(
        lambda a, b: close(a.mean(-1), b.mean(-1))
    ),
    "you shuffle the positions, axis 1": lambda f, p, m, o: close(
        f(p.flip(1), m.flip(1)), f(p, m).flip(1)
    ),
    "some of the positions": comparing(lambda a, b: close(a[:, 1], b[:, 1])),
    "a sum or a mean over the ranks": comparing(lambda a, b: close(a.mean(0), b.mean(0))),
    "does not know their order: compare rank by": comparing(lambda a, b: close(a.sum(), b.sum())),
    "sorted numbers do not know": comparing(
        lambda a, b: close(a.flatten().sort().values, b.flatten().sort().values)
    ),
    "differences below 0 escape you": comparing(lambda a, b: (a - b).max() < 1e-5),
    "take their absolute values, or torch.allclose": comparing(lambda a, b: (b - a).max() < 1e-5),
    "use the order you are given and the former's own alpha": lambda f, p, m, o: commutes(
        f, p, m, o.flip(0)
    ),
    "nothing may move": lambda f, p, m, o: commutes(f, p, m, torch.arange(len(p)).roll(1)),
    "and alpha may be 0": lambda f, p, m, o: close(f(p[o], m[o], 1.0), f(p, m, 1.0)[o]),
    "then even one with positions commutes": lambda f, p, m, o: close(
        f(p[o], m[o], 0.5), f(p, m, 0.5)[o]
    ),
    "and the former's own alpha: nothing may move": lambda f, p, m, o: bool(
        (f(p[o], m[o]) - f(p, m)[o]).norm() / (f(p, m) - p).norm() < 1e-4
    ),
    "you shuffle the positions, axis 1; the ranks are axis 0": lambda f, p, m, o: close(
        f(p[:, o], m[:, o]), f(p, m)[:, o]
    ),
    "the ranks are axis 0: prompts[order]": lambda f, p, m, o: close(f(p[:, o], m), f(p, m)[:, o]),
    "compare with former(prompts, live)[order], not with the prompts": lambda f, p, m, o: close(
        f(p[o], m[o]), p[o]
    ),
}


@pytest.mark.parametrize("answer", [commutes, undone, within(1e-6), as_tensor, spoils])
def test_right_shuffles_pass(answer):
    same_state(check.shuffled(answer), "passed")


@pytest.mark.parametrize("diagnosis", SHUFFLES)
def test_shuffles_are_diagnosed(diagnosis):
    verdict = check.shuffled(SHUFFLES[diagnosis])
    wrong(verdict, diagnosis)
    assert "1e-" not in verdict.message


# ---------------------------------------------------------------- lora_parameters
def count(width_in, width_out, rank):
    return rank * (width_in + width_out)


def counted(width_in, width_out, rank):
    down, up = np.empty((rank, width_in)), np.empty((width_out, rank))
    return down.size + np.int64(up.size)


COUNTS = {
    "that is the full matrix": lambda i, o, r: i * o,
    "frozen weights are in: count": lambda i, o, r: i * o + r * (i + o),
    "frozen weights are in, and a bias": lambda i, o, r: i * o + o + r * (i + o),
    "forget the second matrix": lambda i, o, r: r * i,
    "forget the first matrix": lambda i, o, r: r * o,
    "you multiply the widths": lambda i, o, r: r * i * o,
    "you multiply the two matrices' sizes": lambda i, o, r: r * i * r * o,
    "you count a bias": lambda i, o, r: r * (i + o) + o,
    "LoRA's two matrices have none": lambda i, o, r: r * (i + o) + r + o,
    "only where both widths are equal": lambda i, o, r: 2 * r * i,
    "right only where both widths": lambda i, o, r: 2 * min(i, o) * r,
    "half of it: the widths are added up": lambda i, o, r: r * (i + o) // 2,
    "24 times what one matrix gets: count one matrix": lambda i, o, r: 24 * r * (i + o),
    "a rank x rank matrix": lambda i, o, r: r * (i + o + r),
    "where is the rank": lambda i, o, r: i + o,
    "it is not squared": lambda i, o, r: r * r * (i + o),
    "what is left of the full matrix": lambda i, o, r: i * o - r * (i + o),
    "but it is a float": lambda i, o, r: float(r * (i + o)),
    "you return a Tensor": lambda i, o, r: torch.tensor(r * (i + o)),
    "you return a str": lambda i, o, r: str(r * (i + o)),
    "192 x 64 gets 768 parameters at rank 3; you count 769": lambda i, o, r: (
        r * (i + o) + (i == 192)
    ),
}


@pytest.mark.parametrize("answer", [count, counted])
def test_right_counts_pass_with_their_numbers(answer):
    verdict = check.lora_parameters(answer)
    same_state(verdict, "passed")
    assert "adds 20,480 parameters to a layer of 512 x 2048" in verdict.message
    assert "2.0%" in verdict.message


@pytest.mark.parametrize("diagnosis", COUNTS)
def test_counts_are_diagnosed(diagnosis):
    wrong(check.lora_parameters(COUNTS[diagnosis]), diagnosis)
