"""OrdinalCLIP with any number of base ranks, and its loss against naive loops."""

import math

import pytest
import torch

from ordlib import OrdinalCLIP, OrdinalTask


def rank_embeddings_of(clip, task, **options):
    return OrdinalCLIP(clip, task, **options).prompt_learner.rank_embeddings


@pytest.mark.parametrize("num_base_ranks", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("interpolation_type", ["linear", "inverse", "normal"])
@pytest.mark.parametrize("init_from_words", [True, False])
def test_gradient_reaches_every_base_rank(
    tiny_clip, seven, num_base_ranks, interpolation_type, init_from_words
):
    options = {"interpolation_type": interpolation_type, "init_from_words": init_from_words}
    model = OrdinalCLIP(tiny_clip, seven.task, num_base_ranks=num_base_ranks, **options)
    base = model.prompt_learner.rank_embeddings.base
    assert base.shape == (num_base_ranks, 1, 32)
    features = model.encode(model.make_loader(seven)(range(7)))
    model.loss(features, torch.tensor(seven.values).float()).backward()
    assert base.grad.isfinite().all()
    assert (base.grad.abs().sum((1, 2)) > 0).all()
    assert model.predict_from_features(features).probabilities.shape == (7, 5)


def test_base_ranks_start_from_mean_token_embeddings(tiny_clip, uneven):
    base = rank_embeddings_of(tiny_clip, uneven, num_base_ranks=4).base
    for row, name in zip(base, ("one", "two", "five stars", "nine"), strict=True):
        expected = tiny_clip.token_embeddings([name]).embeddings[0, 1:-1].mean(0)
        torch.testing.assert_close(row[0], expected)


def test_random_base_ranks_depend_on_seed(tiny_clip, uneven):
    first, second, other_seed = (
        rank_embeddings_of(tiny_clip, uneven, init_from_words=False, seed=seed).base
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other_seed)


@pytest.mark.parametrize("init_from_words", [True, False])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_base_ranks": 6}, "num_base_ranks = 6: must be 1 to .*5"),
        ({"num_base_ranks": 0}, "num_base_ranks = 0: must be 1 or more"),
        ({"num_base_ranks": -1}, "num_base_ranks = -1: must be 1 or more"),
        ({"interpolation_type": "cubic"}, "interpolation_type = 'cubic'"),
        ({"num_tokens_per_rank": 0}, "num_tokens_per_rank = 0: must be 1 or more, or None"),
    ],
    ids=["too-many", "none", "negative", "type", "tokens"],
)
def test_invalid_options_raise(tiny_clip, uneven, options, message, init_from_words):
    with pytest.raises(ValueError, match=message):
        OrdinalCLIP(tiny_clip, uneven, init_from_words=init_from_words, **options)


@pytest.mark.parametrize(("num_ranks", "expected"), [(2, 2), (3, 3), (5, 3)])
def test_base_ranks_are_three_or_as_many_as_ranks(tiny_clip, num_ranks, expected):
    names = ("one", "two", "three", "four", "five")[:num_ranks]
    task = OrdinalTask(name="few", unit="objects", values=tuple(range(num_ranks)), rank_names=names)
    assert len(rank_embeddings_of(tiny_clip, task).base) == expected


def test_all_tokens_need_words(tiny_clip, uneven):
    with pytest.raises(ValueError, match="num_tokens_per_rank = None: needs init_from_words=True"):
        OrdinalCLIP(tiny_clip, uneven, num_tokens_per_rank=None, init_from_words=False)


def test_loss_equals_naive_loop(tiny_clip, uneven):
    model = OrdinalCLIP(tiny_clip, uneven)
    features = 3 * torch.randn(6, 24, generator=torch.Generator().manual_seed(0))
    values, ranks = torch.tensor([1.0, 2, 2, 9, 4.1, 1]), [0, 1, 1, 4, 3, 0]
    logits = model.logits(features).double().tolist()
    cross_entropies = [
        -math.log(math.exp(row[rank]) / sum(map(math.exp, row)))
        for row, rank in zip(logits, ranks, strict=True)
    ]
    divergences = []
    for rank in sorted(set(ranks)):
        column = [math.exp(row[rank]) for row in logits]
        target = [math.exp(10.0 * (other == rank)) for other in ranks]
        target = [t / sum(target) for t in target]
        divergences.append(
            sum(t * math.log(t * sum(column) / c) for t, c in zip(target, column, strict=True))
        )
    expected = sum(cross_entropies) / len(ranks) + sum(divergences) / len(divergences)
    assert model.loss(features, values).item() == pytest.approx(expected, rel=1e-5)
