"""CORN's loss and probabilities against naive loops over images and ranks."""

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


def naive_conditional_probabilities(model, features):
    weight, bias = (p.detach().double().numpy() for p in model.head.parameters())
    for row in features.double().numpy():
        normalized = (row - row.mean()) / math.sqrt(row.var() + 1e-5)
        logits = [w @ normalized + b for w, b in zip(weight, bias, strict=True)]
        yield [1 / (1 + math.exp(-logit)) for logit in logits]


def test_probabilities_equal_naive_loop(model, features):
    rows = model.predict_from_features(features).probabilities
    naive = naive_conditional_probabilities(model, features)
    for row, conditional in zip(rows, naive, strict=True):
        expected, prob_greater = [], 1.0
        for p in conditional:
            expected.append(prob_greater * (1 - p))
            prob_greater *= p
        np.testing.assert_allclose(row, [*expected, prob_greater], atol=1e-6)


@pytest.mark.parametrize("scale", [1, 1000])
def test_probabilities_are_a_distribution(model, features, scale):
    with torch.no_grad():
        model.head.weight.mul_(scale)
    probabilities = model.predict_from_features(features).probabilities
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)


def test_loss_equals_naive_loop(model, features):
    values, ranks = torch.tensor([1.0, 2.0, 9.0, 9.0, 4.2, 3.0]), [0, 1, 4, 4, 3, 2]
    losses = []
    naive = naive_conditional_probabilities(model, features)
    for conditional, rank in zip(naive, ranks, strict=True):
        for k in range(min(rank + 1, 4)):
            losses.append(-math.log(conditional[k] if rank > k else 1 - conditional[k]))
    assert model.loss(features, values).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_predict_uses_decode_of_the_task(tiny_clip, uneven, features):
    mean = CORN(tiny_clip, uneven).predict_from_features(features)
    mode = CORN(tiny_clip, replace(uneven, decode="argmax")).predict_from_features(features)
    np.testing.assert_allclose(mean.value, mean.probabilities @ uneven.rank_values)
    assert mode.value.tolist() == uneven.rank_values[mean.probabilities.argmax(1)].tolist()


def test_two_ranks(tiny_clip, features):
    model = CORN(tiny_clip, OrdinalTask(name="two", unit="steps", values=("low", "high")))
    assert model.predict_from_features(features).probabilities.shape == (6, 2)
    assert model.loss(features, torch.tensor([0.0, 1, 0, 1, 1, 0])).isfinite()
