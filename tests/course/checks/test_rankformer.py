import numpy as np
import torch
import torch.nn.functional as F
from check_results import assert_passed, table_tests

from ordlib import losses
from ordlib.course.checks import rankformer as check
from ordlib.losses import tightness


# ---------------------------------------------------------------- blend
def mix(p, t, a):
    return (1 - a) * p + a * t


def blend(p, t, m, a):
    return torch.where(m[..., None], mix(p, t, a), p)


def blend_by_loops(p, t, m, a):
    cells = zip(p.flatten(0, 1), t.flatten(0, 1), m.flatten(), strict=True)
    return torch.stack([mix(x, y, a) if masked else x for x, y, masked in cells]).reshape(p.shape)


def blend_in_place(p, t, m, a):
    p[m] = mix(p[m], t[m], a)
    return p


BLENDS = {
    "not bit by bit the prompts": lambda p, t, m, a: blend(p, t, m, max(a, 1e-7)),
    "also changes start, end and padding": lambda p, t, m, a: mix(p, t, a),
    "are swapped": lambda p, t, m, a: blend(p, t, m, 1 - a),
    "a residual sum": lambda p, t, m, a: torch.where(m[..., None], p + a * t, p),
    "the mask is inverted": lambda p, t, m, a: blend(p, t, ~m, a),
    "masked positions become 0": lambda p, t, m, a: mix(p, t, a) * m[..., None],
    "a NaN outside": lambda p, t, m, a: mix(p, t, a) * m[..., None] + p * ~m[..., None],
    "you change prompts in place": blend_in_place,
    "these are the positions of the mask": lambda p, t, m, a: mix(p, t, a)[m],
    "shape (7, 5): return shape (4, 7, 5)": lambda p, t, m, a: blend(p, t, m, a)[0],
    "stay in torch": lambda p, t, m, a: blend(p, t, m, a).numpy(),
    "keep the type of the prompts": lambda p, t, m, a: blend(p, t, m, a).double(),
    "Add an axis": lambda p, t, m, a: torch.where(m, mix(p, t, a), p),
    "alpha 0.3, prompts": lambda p, t, m, a: blend(p, t, m, a) + 0.1,
    "reaches the prompts or the transformed": lambda p, t, m, a: blend(p, t, m, a).detach(),
    "gradient reaches the transformed": lambda p, t, m, a: blend(p, t.detach(), m, a),
}


# ---------------------------------------------------------------- pull_and_push
def unit(rows):
    return F.normalize(rows, dim=-1)


def tightness_by_loops(features, texts, ranks):
    pairs = zip(features, texts[ranks], strict=True)
    squared = [((image / image.norm() - text / text.norm()) ** 2).sum() for image, text in pairs]
    return sum(squared) / len(squared)


def rescale(gaps):
    return (gaps - gaps.min()) / gaps.max()


def distances(features, texts):
    return torch.cdist(unit(features), unit(texts))


def weighted(weights, distances=distances):
    """Return diversity with other weights of label distances, or other feature distances."""
    return lambda f, t, v, x: -(weights((v[:, None] - x).abs()) * distances(f, t)).mean()


diversity = weighted(rescale)


def diversity_by_loops(features, texts, values, rank_values):
    matrix = [[abs(v - x) for x in rank_values.tolist()] for v in values.tolist()]
    least, greatest = min(map(min, matrix)), max(map(max, matrix))
    terms = [
        (gap - least) / greatest * (image / image.norm() - text / text.norm()).norm()
        for row, image in zip(matrix, features, strict=True)
        for gap, text in zip(row, texts, strict=True)
    ]
    return -sum(terms) / len(terms)


TIGHTNESS = {
    "nothing is normalized": lambda f, t, r: (f - t[r]).square().sum(1).mean(),
    "texts are not normalized": lambda f, t, r: (unit(f) - t[r]).square().sum(1).mean(),
    "features are not normalized": lambda f, t, r: (f - unit(t)[r]).square().sum(1).mean(),
    "distance is not squared": lambda f, t, r: (unit(f) - unit(t)[r]).norm(dim=1).mean(),
    "that is the sum over the images": lambda f, t, r: tightness(f, t, r) * len(f),
    "shapes differ: texts[ranks] has a row": lambda f, t, r: (unit(f) - unit(t)).mean(),
    "text features are equal: the gradient is not finite": lambda f, t, r: (
        (unit(f) - unit(t)[r]).square().sum(1).sqrt() ** 2).mean(),
    "you pair every image with all texts": lambda f, t, r: distances(f, t).square().mean(),
    "over the D coordinates": lambda f, t, r: F.mse_loss(unit(f), unit(t)[r]),
    "it pushes images from their own prompt": lambda f, t, r: -tightness(f, t, r),
    "a number per image": lambda f, t, r: (unit(f) - unit(t)[r]).square().sum(1),
    "return a tensor": lambda f, t, r: tightness(f, t, r).item(),
    "reaches the features or the texts": lambda f, t, r: tightness(f, t, r).detach(),
    "reaches the texts:": lambda f, t, r: tightness(f, t.detach(), r),
    "a value is not finite": lambda f, t, r: tightness(f, t, r) * float("nan"),
    "for 6 images and 5 ranks the result is": lambda f, t, r: tightness(f, t, r) + 0.1,
    "my_tightness: it raised ZeroDivisionError: ": lambda *inputs: 1 / 0,
}  # fmt: skip
DIVERSITY = {
    "nothing is normalized": weighted(rescale, torch.cdist),
    "the distance is squared": weighted(rescale, lambda f, t: distances(f, t) ** 2),
    "the sum: take the mean over all": lambda f, t, v, x: diversity(f, t, v, x) * len(f) * len(t),
    "divide by their number": lambda f, t, v, x: diversity(f, t, v, x) * len(t),
    "it pulls to far ranks": lambda f, t, v, x: -diversity(f, t, v, x),
    "bare label distances": weighted(lambda gap: gap),
    "minimum is not subtracted": weighted(lambda gap: gap / gap.max()),
    "you take the maximum after you subtract the minimum": weighted(
        lambda gap: (gap - gap.min()) / (gap.max() - gap.min())),
    "rescaled row by row": weighted(
        lambda gap: (gap - gap.amin(1, keepdim=True)) / gap.amax(1, keepdim=True)),
    "shapes differ: values[:, None] - rank_values and torch.cdist": (
        lambda f, t, v, x: -(rescale((v - x).abs()) * distances(f, t)).mean()),
    "the gradient is not finite": weighted(
        rescale, lambda f, t: (2 - 2 * unit(f) @ unit(t).T).clamp(min=0).sqrt()),
    "there are no weights": weighted(torch.ones_like),
    "value has a sign": lambda f, t, v, x: -(rescale(v[:, None] - x) * distances(f, t)).mean(),
    "a number per pair": lambda f, t, v, x: (v[:, None] - x) * distances(f, t),
    "reaches the features:": lambda f, t, v, x: diversity(f.detach(), t, v, x),
    "my_tightness is right. my_diversity: it returns nothing": lambda *inputs: None,
}  # fmt: skip


def check_tightness(answer):
    return check.pull_and_push(answer, diversity)


def check_diversity(answer):
    return check.pull_and_push(tightness, answer)


# ---------------------------------------------------------------- sign
TEXTS, RANK_VALUES, VALUES = torch.eye(3), torch.tensor([1.0, 2.0, 10.0]), torch.tensor([1.0])


def cost(loss, image):
    return loss(image, TEXTS, VALUES, RANK_VALUES)


def by_gradient(loss):
    image = TEXTS[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cost(loss, image), image)
    return (gradient @ TEXTS[2]).item() < 0


def by_rotation(loss):
    near, far = (torch.tensor([[1.0, 0.2, coordinate]]) for coordinate in (0.5, -0.5))
    return cost(loss, near) < cost(loss, far)


SIGNS = {
    "you answer False in all cases: turn an image": lambda loss: False,
    "you answer True in all cases": lambda loss: True,
    "exchange True and False": lambda loss: not by_gradient(loss),
    "you use the sign of the value": lambda loss: bool(cost(loss, TEXTS[:1]) > 0),
    "wrong for: flipped less": lambda loss: by_gradient(loss) and cost(loss, TEXTS[:1]).item() > -5,
    "a pull to the own rank": lambda loss: cost(loss, TEXTS[2:]) < cost(loss, TEXTS[:1]),
    "you return a Tensor": lambda loss: cost(loss, TEXTS[2:]) < torch.ones(2),
    "not random ones": lambda loss: cost(loss, torch.randn(1, 3)) < cost(loss, TEXTS[:1] / 2),
}  # fmt: skip


# ---------------------------------------------------------------- shuffled
def close(a, b, atol=1e-5):
    return torch.allclose(a, b, atol=atol)


def compare(equal):
    return lambda former, p, m, o: bool(equal(former(p[o], m[o]), former(p, m)[o]))


def within(atol):
    return compare(lambda a, b: close(a, b, atol))


commutes = compare(close)


SHUFFLES = {
    "the mask is not permuted": lambda f, p, m, o: close(f(p[o], m), f(p, m)[o]),
    "one of the two results is permuted": lambda f, p, m, o: close(f(p[o], m[o]), f(p, m)),
    "inverse of order": lambda f, p, m, o: close(f(p[o], m[o]), f(p, m)[o.argsort()]),
    "your answer depends on rounding": compare(torch.equal),
    "an atol above its default": compare(torch.allclose),
    "tolerance is too large for a small alpha": within(1e-3),
    "in all cases: is your tolerance too large": within(5),
    "you answer False in all cases": lambda f, p, m, o: False,
    "exchange True and False": lambda f, p, m, o: not commutes(f, p, m, o),
    "you use the former's settings": lambda f, p, m, o: f.pos_embed is None,
    "you return a Tensor": lambda f, p, m, o: (f(p[o], m[o]) - f(p, m)[o]).abs() < 1e-5,
    'wrong for: attention_over="both"; attention_over="tokens"; positional': (
        lambda f, p, m, o: [*f.blocks] == ["ranks"]),
    "you compare only some of the numbers": compare(lambda a, b: close(a[[0, -1]], b[[0, -1]])),
    "compare every number, and no mean": compare(lambda a, b: close(a.mean(2), b.mean(2))),
    "a sum or a mean over the ranks": compare(lambda a, b: close(a.mean(0), b.mean(0))),
    "you ignore differences below 0": compare(lambda a, b: (a - b).max() < 1e-5),
    "use the order and the alpha": lambda f, p, m, o: commutes(f, p, m, o.flip(0)),
    "the alpha of the RankFormer": lambda f, p, m, o: close(f(p[o], m[o], 1.0), f(p, m, 1.0)[o]),
    "you permute the positions": lambda f, p, m, o: close(f(p[:, o], m[:, o]), f(p, m)[:, o]),
}  # fmt: skip


# ---------------------------------------------------------------- lora_parameters
def count(width_in, width_out, rank):
    return rank * (width_in + width_out)


COUNTS = {
    "that is the full, frozen matrix": lambda i, o, r: i * o,
    "you count the frozen weights": lambda i, o, r: i * o + r * (i + o),
    "omit the second matrix": lambda i, o, r: r * i,
    "omit the first matrix": lambda i, o, r: r * o,
    "you count a bias": lambda i, o, r: r * (i + o) + o,
    "only where both widths are equal": lambda i, o, r: 2 * r * i,
    "but it is a float": lambda i, o, r: float(r * (i + o)),
    "you return a Tensor": lambda i, o, r: torch.tensor(r * (i + o)),
    "gets 768 parameters at rank 3; you count 769": lambda i, o, r: r * (i + o) + (i == 192),
}  # fmt: skip


def test_lora_parameters_reports_the_count():
    assert_passed(check.lora_parameters(count), "adds 20,480 parameters to a layer", "2.0%")


RIGHT = {
    check.blend: [blend, blend_by_loops],
    check_tightness: [tightness_by_loops, tightness],
    check_diversity: [diversity_by_loops, losses.diversity],
    check.sign: [by_gradient, by_rotation,
                 lambda loss: np.bool_(cost(loss, TEXTS[1:2]) > cost(loss, TEXTS[2:]))],
    check.shuffled: [commutes, within(1e-6),
                     lambda f, p, m, o: close(f(p[o], m[o])[o.argsort()], f(p, m))],
    check.lora_parameters: [count, lambda i, o, r: r * i + np.int64(o * r)],
}  # fmt: skip
WRONG = {
    check.blend: BLENDS, check_tightness: TIGHTNESS, check_diversity: DIVERSITY,
    check.sign: SIGNS, check.shuffled: SHUFFLES, check.lora_parameters: COUNTS,
}  # fmt: skip

test_right_answers, test_wrong_answers = table_tests(RIGHT, WRONG)
