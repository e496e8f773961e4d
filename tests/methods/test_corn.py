"""CORN's loss and probabilities against loops over pictures and questions."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib import CORN, OrdinalTask


@pytest.fixture
def model(tiny_clip, uneven):
    return CORN(tiny_clip, uneven)


@pytest.fixture
def features():
    return torch.randn(6, 24, generator=torch.Generator().manual_seed(0))


def naive_logits(model, features):
    weight, bias = (p.detach().double().numpy() for p in model.head.parameters())
    rows = []
    for row in features.double().numpy():
        normed = (row - row.mean()) / math.sqrt(row.var() + 1e-5)
        rows.append([w @ normed + b for w, b in zip(weight, bias, strict=True)])
    return rows


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_probabilities_are_the_loop(model, features):
    found = model.predict_from_features(features)
    for row, logits in zip(found.probabilities, naive_logits(model, features), strict=True):
        expected, beyond = [], 1.0
        for logit in logits:
            expected.append(beyond * (1 - sigmoid(logit)))
            beyond *= sigmoid(logit)
        expected.append(beyond)
        np.testing.assert_allclose(row, expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 1000])
def test_probabilities_are_a_distribution(model, features, scale):
    with torch.no_grad():
        model.head.weight.mul_(scale)
    found = model.predict_from_features(features).probabilities
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)


def test_the_loss_is_the_loop(model, features):
    values, own = torch.tensor([1.0, 2.0, 9.0, 9.0, 4.2, 3.0]), [0, 1, 4, 4, 3, 2]
    losses = []
    for logits, rank in zip(naive_logits(model, features), own, strict=True):
        for step in range(min(rank + 1, 4)):
            probability = sigmoid(logits[step])
            losses.append(-math.log(probability if rank > step else 1 - probability))
    assert model.loss(features, values).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_it_reads_as_the_task_says(tiny_clip, uneven, features):
    mean = CORN(tiny_clip, uneven).predict_from_features(features)
    likeliest = CORN(tiny_clip, replace(uneven, decode="argmax")).predict_from_features(features)
    np.testing.assert_allclose(mean.value, mean.probabilities @ uneven.rank_values)
    assert likeliest.value.tolist() == uneven.rank_values[mean.probabilities.argmax(1)].tolist()


def test_two_ranks(tiny_clip, features):
    model = CORN(tiny_clip, OrdinalTask(name="two", unit="steps", values=("low", "high")))
    assert model.predict_from_features(features).probabilities.shape == (6, 2)
    assert model.loss(features, torch.tensor([0.0, 1, 0, 1, 1, 0])).isfinite()
