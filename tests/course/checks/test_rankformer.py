import numpy as np
import pytest
import torch
import torch.nn.functional as F
from check_results import passed, right_answers, wrong, wrong_answers

from ordlib import losses
from ordlib.course.checks import rankformer as check


# ---------------------------------------------------------------- blend
def mix(p, t, a):
    return (1 - a) * p + a * t


def blend(p, t, live, a):
    return torch.where(live[..., None], mix(p, t, a), p)


def by_loops(p, t, live, a):
    cells = zip(p.flatten(0, 1), t.flatten(0, 1), live.flatten(), strict=True)
    return torch.stack([mix(x, y, a) if alive else x for x, y, alive in cells]).reshape(p.shape)


def by_mask(p, t, live, a):
    mask = live[..., None].float()
    return mask * mix(p, t, a) + (1 - mask) * p


def in_place(p, t, live, a):
    p[live] = mix(p[live], t[live], a)
    return p


BLENDS = {
    "not bit by bit the prompts": lambda p, t, m, a: blend(p, t, m, max(a, 1e-7)),
    "also moves start, end and padding": lambda p, t, m, a: mix(p, t, a),
    "are swapped": lambda p, t, m, a: blend(p, t, m, 1 - a),
    "a residual sum": lambda p, t, m, a: torch.where(m[..., None], p + a * t, p),
    "live is turned round": lambda p, t, m, a: blend(p, t, ~m, a),
    "dead positions become 0": lambda p, t, m, a: mix(p, t, a) * m[..., None],
    "NaN in transformed leaks": by_mask,
    "you change prompts in place": in_place,
    "live positions alone": lambda p, t, m, a: mix(p, t, a)[m],
    "you return (7, 5): give as many": lambda p, t, m, a: blend(p, t, m, a)[0],
    "stay in torch": lambda p, t, m, a: blend(p, t, m, a).numpy(),
    "keep the prompts' type": lambda p, t, m, a: blend(p, t, m, a).double(),
    "Give it an axis": lambda p, t, m, a: torch.where(m, mix(p, t, a), p),
    "alpha 0.3, prompts": lambda p, t, m, a: blend(p, t, m, a) + 0.1,
    "reaches the prompts or the transformed": lambda p, t, m, a: blend(p, t, m, a).detach(),
    "gradient reaches the transformed": lambda p, t, m, a: blend(p, t.detach(), m, a),
}  # fmt: skip


# ---------------------------------------------------------------- pull_and_push
def unit(rows):
    return F.normalize(rows, dim=-1)


def tightness(features, texts, ranks):
    return (unit(features) - unit(texts)[ranks]).square().sum(1).mean()


def tight_loops(features, texts, ranks):
    pairs = zip(features, texts[ranks], strict=True)
    each = [((one / one.norm() - other / other.norm()) ** 2).sum() for one, other in pairs]
    return sum(each) / len(each)


def gaps(values, rank_values):
    return (values[:, None] - rank_values).abs()


def rescaled(far):
    return (far - far.min()) / far.max()


def apart(features, texts):
    return torch.cdist(unit(features), unit(texts))


def diversity(features, texts, values, rank_values):
    return -(rescaled(gaps(values, rank_values)) * apart(features, texts)).mean()


def diverse_loops(features, texts, values, rank_values):
    far = [[abs(v - x) for x in rank_values.tolist()] for v in values.tolist()]
    least, greatest = min(map(min, far)), max(map(max, far))
    each = [
        (gap - least) / greatest * (picture / picture.norm() - text / text.norm()).norm()
        for row, picture in zip(far, features, strict=True)
        for gap, text in zip(row, texts, strict=True)
    ]
    return -sum(each) / len(each)


def weighing(weights):
    """Diversity with other weights of the distances of labels."""
    return lambda f, t, v, x: -(weights(gaps(v, x)) * apart(f, t)).mean()


PULLS = {
    "nothing is normalised": lambda f, t, r: (f - t[r]).square().sum(1).mean(),
    "texts are not normalised": lambda f, t, r: (unit(f) - t[r]).square().sum(1).mean(),
    "features are not normalised": lambda f, t, r: (f - unit(t)[r]).square().sum(1).mean(),
    "distance is not squared": lambda f, t, r: (unit(f) - unit(t)[r]).norm(dim=1).mean(),
    "that is the sum over the pictures": lambda f, t, r: tightness(f, t, r) * len(f),
    "shapes do not fit: texts[ranks] gives a row": lambda f, t, r: (unit(f) - unit(t)).mean(),
    "stands on its word: there the gradient is not finite": lambda f, t, r: (
        (unit(f) - unit(t)[r]).square().sum(1).sqrt() ** 2).mean(),
    "meets all texts": lambda f, t, r: apart(f, t).square().mean(),
    "over the D coordinates": lambda f, t, r: F.mse_loss(unit(f), unit(t)[r]),
    "pushes from the own text": lambda f, t, r: -tightness(f, t, r),
    "a number for each picture": lambda f, t, r: (unit(f) - unit(t)[r]).square().sum(1),
    "return a tensor, without item or numpy": lambda f, t, r: tightness(f, t, r).item(),
    "reaches the features or the texts": lambda f, t, r: tightness(f, t, r).detach(),
    "reaches the texts:": lambda f, t, r: tightness(f, t.detach(), r),
    "your answer is nan": lambda f, t, r: tightness(f, t, r) * float("nan"),
    "for 6 pictures and 5 ranks the answer is": lambda f, t, r: tightness(f, t, r) + 0.1,
}  # fmt: skip
PUSHES = {
    "nothing is normalised": lambda f, t, v, x: -(rescaled(gaps(v, x)) * torch.cdist(f, t)).mean(),
    "the distance is squared": lambda f, t, v, x: -(rescaled(gaps(v, x)) * apart(f, t) ** 2).mean(),
    "the sum: take the mean over all": lambda f, t, v, x: diversity(f, t, v, x) * len(f) * len(t),
    "pulls to far ranks": lambda f, t, v, x: -diversity(f, t, v, x),
    "bare distances of labels": weighing(lambda far: far),
    "least is not taken off": weighing(lambda far: far / far.max()),
    "the greatest is taken when the least is off already": weighing(
        lambda far: (far - far.min()) / (far.max() - far.min())),
    "rescaled row by row: least": weighing(
        lambda far: (far - far.amin(1, keepdim=True)) / far.amax(1, keepdim=True)),
    "shapes do not fit: values[:, None] - rank_values and torch.cdist": (
        lambda f, t, v, x: -(rescaled((v - x).abs()) * apart(f, t)).mean()),
    "there the gradient is not finite": lambda f, t, v, x: (
        -(rescaled(gaps(v, x)) * (2 - 2 * unit(f) @ unit(t).T).clamp(min=0).sqrt()).mean()),
    "there are no weights": weighing(torch.ones_like),
    "value - level has a sign": lambda f, t, v, x: -(rescaled(v[:, None] - x) * apart(f, t)).mean(),
    "a number for each pair": lambda f, t, v, x: -rescaled(gaps(v, x)) * apart(f, t),
    "reaches the features:": lambda f, t, v, x: diversity(f.detach(), t, v, x),
}  # fmt: skip


@pytest.mark.parametrize(
    ("pull", "push"), [(tight_loops, diverse_loops), (losses.tightness, losses.diversity)]
)
def test_right_pairs_pass(pull, push):
    passed(check.pull_and_push(pull, push))


def pull(answer):
    return check.pull_and_push(answer, diversity)


def push(answer):
    return check.pull_and_push(tightness, answer)


def test_half_of_the_pair_gets_its_answer():
    wrong(push(lambda *given: None), "my_tightness is right. my_diversity: it returns nothing")
    wrong(pull(lambda *given: 1 / 0), "my_tightness: it raised ZeroDivisionError: ")


# ---------------------------------------------------------------- sign
TEXTS, LEVELS, VALUES = torch.eye(3), torch.tensor([1.0, 2.0, 10.0]), torch.tensor([1.0])


def cost(loss, picture):
    return loss(picture, TEXTS, VALUES, LEVELS)


def by_gradient(loss):
    picture = TEXTS[:1].clone().requires_grad_()
    (slope,) = torch.autograd.grad(cost(loss, picture), picture)
    return (slope @ TEXTS[2]).item() < 0


def turned(loss, away=-0.5):
    near, far = (torch.tensor([[1.0, 0.2, place]]) for place in (0.5, away))
    return cost(loss, near) < cost(loss, far)


def just_as_far(loss):
    return np.bool_(cost(loss, TEXTS[1:2]) > cost(loss, TEXTS[2:]))


SIGNS = {
    "you answer False whatever comes: turn a picture": lambda loss: False,
    "you answer True whatever comes": lambda loss: True,
    "exchange True and False": lambda loss: not by_gradient(loss),
    "you look at the sign of the value": lambda loss: bool(cost(loss, TEXTS[:1]) > 0),
    "wrong for: flipped less 10.": lambda loss: (
        by_gradient(loss) and cost(loss, TEXTS[:1]).item() > -5),
    "a pull to the own rank": lambda loss: cost(loss, TEXTS[2:]) < cost(loss, TEXTS[:1]),
    "you return a Tensor": lambda loss: cost(loss, TEXTS[2:]) < torch.ones(2),
    "Random pictures and words prove little": lambda loss: (
        cost(loss, torch.randn(1, 3)) < cost(loss, torch.randn(1, 3))),
}  # fmt: skip


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


SHUFFLES = {
    "live stays where it was": lambda f, p, m, o: close(f(p[o], m), f(p, m)[o]),
    "one side is not permuted": lambda f, p, m, o: close(f(p[o], m[o]), f(p, m)),
    "permuted backwards": lambda f, p, m, o: close(f(p[o], m[o]), f(p, m)[o.argsort()]),
    "rounding fools you": comparing(torch.equal),
    "nor with torch.allclose's own atol": comparing(torch.allclose),
    "tolerance is too loose: at a small alpha": within(1e-3),
    "whatever comes: is your tolerance too loose": within(5),
    "you answer False whatever comes": lambda f, p, m, o: False,
    "exchange True and False": lambda f, p, m, o: not commutes(f, p, m, o),
    "you read the former's settings": lambda f, p, m, o: f.positions is None,
    "you return a Tensor": lambda f, p, m, o: (f(p[o], m[o]) - f(p, m)[o]).abs() < 1e-5,
    'wrong for: attention_over="both"; attention_over="tokens"; learned': lambda f, p, m, o: f.attend == "ranks",
    "you compare some of the numbers": comparing(lambda a, b: close(a[[0, -1]], b[[0, -1]])),
    "compare every number, and no mean": comparing(lambda a, b: close(a.mean(2), b.mean(2))),
    "a sum or a mean over the ranks": comparing(lambda a, b: close(a.mean(0), b.mean(0))),
    "differences below 0 escape you": comparing(lambda a, b: (a - b).max() < 1e-5),
    "use the order you are given": lambda f, p, m, o: commutes(f, p, m, o.flip(0)),
    "and alpha may be 0": lambda f, p, m, o: close(f(p[o], m[o], 1.0), f(p, m, 1.0)[o]),
    "you shuffle the positions, axis 1; the ranks are axis 0": lambda f, p, m, o: close(
        f(p[:, o], m[:, o]), f(p, m)[:, o]),
}  # fmt: skip


# ---------------------------------------------------------------- lora_parameters
def count(width_in, width_out, rank):
    return rank * (width_in + width_out)


def counted(width_in, width_out, rank):
    down, up = np.empty((rank, width_in)), np.empty((width_out, rank))
    return down.size + np.int64(up.size)


COUNTS = {
    "that is the full matrix": lambda i, o, r: i * o,
    "frozen weights are in: count": lambda i, o, r: i * o + r * (i + o),
    "forget the second matrix": lambda i, o, r: r * i,
    "forget the first matrix": lambda i, o, r: r * o,
    "you count a bias": lambda i, o, r: r * (i + o) + o,
    "only where both widths are equal": lambda i, o, r: 2 * r * i,
    "but it is a float": lambda i, o, r: float(r * (i + o)),
    "you return a Tensor": lambda i, o, r: torch.tensor(r * (i + o)),
    "192 x 64 gets 768 parameters at rank 3; you count 769": lambda i, o, r: (
        r * (i + o) + (i == 192)),
}  # fmt: skip


# ---------------------------------------------------------------- all
RIGHT = {check.blend: [blend, by_loops], check.sign: [by_gradient, turned, just_as_far],
         check.shuffled: [commutes, undone, within(1e-6)], check.lora_parameters: [count, counted],
         }  # fmt: skip
WRONG = {check.blend: BLENDS, check.sign: SIGNS, check.shuffled: SHUFFLES,
         check.lora_parameters: COUNTS, pull: PULLS, push: PUSHES}  # fmt: skip


def test_right_counts_pass_with_their_numbers():
    message = check.lora_parameters(count).message
    assert "adds 20,480 parameters to a layer of 512 x 2048" in message
    assert "2.0%" in message


@right_answers(RIGHT)
def test_right_answers_pass(judge, answer):
    passed(judge(answer))


@wrong_answers(WRONG)
def test_wrong_answers_are_diagnosed(judge, diagnosis, answer):
    torch.manual_seed(0)  # for who draws at random
    wrong(judge(answer), diagnosis)
