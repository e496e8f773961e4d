"""OrdinalCLIP with any number of base ranks, and its loss against loops."""

import math

import pytest
import torch

from ordlib import OrdinalCLIP
from ordlib.methods.prompt_learner import PromptLearner


@pytest.mark.parametrize("num_base_ranks", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("interpolation_type", ["linear", "inverse"])
@pytest.mark.parametrize("init_from_words", [True, False])
def test_any_number_of_base_ranks(
    tiny_clip, seven, num_base_ranks, interpolation_type, init_from_words
):
    options = {"interpolation_type": interpolation_type, "init_from_words": init_from_words}
    model = OrdinalCLIP(tiny_clip, seven.task, num_base_ranks=num_base_ranks, **options)
    assert model.prompt_learner.rank_embeddings.base.shape == (num_base_ranks, 1, 32)
    features = model.encode(model.make_loader(seven)(range(7)))
    model.loss(features, torch.tensor(seven.values).float()).backward()
    gradient = model.prompt_learner.rank_embeddings.base.grad
    assert gradient.isfinite().all()
    assert (gradient.abs().sum((1, 2)) > 0).all()
    assert model.predict_from_features(features).probabilities.shape == (7, 5)


def test_base_ranks_start_from_words(tiny_clip, uneven):
    ranks = OrdinalCLIP(tiny_clip, uneven, num_base_ranks=4).prompt_learner.rank_embeddings
    for row, word in zip(ranks.base, ("one", "two", "five stars", "nine"), strict=True):
        tokens = tiny_clip.token_embeddings([word]).embeddings[0, 1:-1]
        mean = sum(tokens) / len(tokens)
        torch.testing.assert_close(row[0], mean)


@pytest.mark.parametrize(
    ("interpolation_type", "row"),
    # Rank 1 of 5 between bases at 0, 2 and 4.
    [("linear", [3 / 4, 3 / 4, 1 / 4]), ("inverse", [1, 1, 1 / 3])],
)
def test_ranks_stand_between_their_bases(tiny_clip, uneven, interpolation_type, row):
    ranks = OrdinalCLIP(
        tiny_clip, uneven, interpolation_type=interpolation_type
    ).prompt_learner.rank_embeddings
    words = [tiny_clip.token_embeddings([w]).embeddings[0, 1:-1].mean(0) for w in ("one", "three")]
    words.append(tiny_clip.token_embeddings(["nine"]).embeddings[0, 1:-1].mean(0))
    expected = sum(w * word for w, word in zip(row, words, strict=True)) / sum(row)
    torch.testing.assert_close(ranks()[1, 0], expected, rtol=1e-4, atol=1e-5)


def test_random_starts_are_of_the_seed(tiny_clip, uneven):
    bases = [
        OrdinalCLIP(
            tiny_clip, uneven, init_from_words=False, seed=seed
        ).prompt_learner.rank_embeddings.base
        for seed in (0, 0, 1)
    ]
    assert torch.equal(bases[0], bases[1])
    assert not torch.equal(bases[0], bases[2])


def test_the_prompt_is_the_plain_template(tiny_clip, uneven):
    model = OrdinalCLIP(tiny_clip, uneven)
    expected = PromptLearner(
        tiny_clip, "a photo of {rank} star", model.prompt_learner.rank_embeddings
    )()
    torch.testing.assert_close(model.text_features(), expected)


@pytest.mark.parametrize("init_from_words", [True, False])
@pytest.mark.parametrize(
    ("num_base_ranks", "rule"),
    [(6, "1 to 5, the number of ranks"), (0, "1 or more"), (-1, "1 or more")],
)
def test_more_base_ranks_than_ranks_or_none(
    tiny_clip, uneven, num_base_ranks, rule, init_from_words
):
    with pytest.raises(ValueError, match=f"num_base_ranks = {num_base_ranks}: must be {rule}"):
        OrdinalCLIP(
            tiny_clip, uneven, num_base_ranks=num_base_ranks, init_from_words=init_from_words
        )


def test_an_unknown_interpolation(tiny_clip, uneven):
    with pytest.raises(ValueError, match="interpolation_type = 'cubic'"):
        OrdinalCLIP(tiny_clip, uneven, interpolation_type="cubic")


def test_the_loss_is_the_loop(tiny_clip, uneven):
    model = OrdinalCLIP(tiny_clip, uneven)
    features = 3 * torch.randn(6, 24, generator=torch.Generator().manual_seed(0))
    values, own = torch.tensor([1.0, 2, 2, 9, 4.1, 1]), [0, 1, 1, 4, 3, 0]
    logits = model.logits(features).double().tolist()
    crosses = [
        -math.log(math.exp(row[k]) / sum(map(math.exp, row)))
        for row, k in zip(logits, own, strict=True)
    ]
    divergences = []
    for rank in sorted(set(own)):
        column = [math.exp(row[rank]) for row in logits]
        target = [math.exp(10.0 * (k == rank)) for k in own]
        target = [t / sum(target) for t in target]
        divergences.append(
            sum(t * math.log(t * sum(column) / c) for t, c in zip(target, column, strict=True))
        )
    expected = sum(crosses) / len(crosses) + sum(divergences) / len(divergences)
    assert model.loss(features, values).item() == pytest.approx(expected, rel=1e-5)
