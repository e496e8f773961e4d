import pytest
import torch

from ordlib.clip import load_clip
from ordlib.methods.prompt_learner import (
    InterpolatedRankEmbeddings,
    PromptLearner,
    RankEmbeddings,
    interpolation_weights,
)

WORDS = ["one", "two", "twenty two", "a great many"]


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.mark.parametrize(
    "template",
    ["a photo of {rank} star", "{rank}", "{rank} star", "one star, {rank}", "a photo: {rank}."],
)
def test_untouched_prompts_are_the_template_s(clip, template):
    learner = PromptLearner(clip, template, RankEmbeddings(clip, WORDS))
    expected = clip.text_features([template.format(rank=word) for word in WORDS])
    torch.testing.assert_close(learner(), expected, rtol=0, atol=1e-6)


def test_words_are_put_where_the_mask_says(clip):
    learner = PromptLearner(clip, "a photo of {rank} star", RankEmbeddings(clip, WORDS))
    words, own = (
        learner.prompt_embeddings(),
        clip.token_embeddings([f"a photo of {w} star" for w in WORDS]),
    )
    assert words.eos_positions.tolist() == own.eos_positions.tolist()
    assert torch.equal(words.mask, own.mask)
    for row, end in enumerate(own.eos_positions.tolist()):
        inside = learner.mask[row].nonzero().flatten().tolist()
        assert inside == list(range(1, end))
        assert torch.equal(words.embeddings[row, : end + 1], own.embeddings[row, : end + 1])


def test_gradient_reaches_what_is_tuned_and_nothing_else(clip):
    learner = PromptLearner(clip, "a photo of {rank} star", RankEmbeddings(clip, WORDS))
    learner().square().sum().backward()
    assert (learner.context.grad.abs().sum(-1) > 0).all()
    gradient = learner.rank_embeddings.embeddings.grad.abs().sum(-1)
    alive = torch.arange(gradient.shape[1]) < learner.rank_embeddings.lengths[:, None]
    assert torch.equal(gradient > 0, alive)
    assert all(parameter.grad is None for parameter in clip.model.parameters())
    assert set(learner.state_dict()) == {"context", "rank_embeddings.embeddings"}


def test_what_is_not_tuned_stays(clip):
    ranks = RankEmbeddings(clip, WORDS, tune=False)
    learner = PromptLearner(clip, "a {rank}", ranks, tune_context=False)
    assert not any(parameter.requires_grad for parameter in learner.parameters())


def test_a_random_context_stands_before_the_rank(clip):
    learner = PromptLearner(clip, "{rank}", RankEmbeddings(clip, ["one", "two"]), n_ctx=4, seed=3)
    assert learner.eos_positions.tolist() == [
        5 + length for length in learner.rank_embeddings.lengths.tolist()
    ]
    assert torch.equal(learner.prompt_embeddings().embeddings[1, 1:5], learner.context)
    again = PromptLearner(clip, "{rank}", RankEmbeddings(clip, ["one", "two"]), n_ctx=4, seed=3)
    assert torch.equal(again.context, learner.context)
    other = PromptLearner(clip, "{rank}", RankEmbeddings(clip, ["one", "two"]), n_ctx=4, seed=4)
    assert not torch.equal(other.context, learner.context)


def naive_weights(num_ranks, num_base_ranks, interpolation_type):
    rows = []
    for rank in range(num_ranks):
        row = []
        for base in range(num_base_ranks):
            place = base * (num_ranks - 1) / (num_base_ranks - 1) if num_base_ranks > 1 else 0.0
            distance = abs(rank - place)
            row.append(
                1 - distance / (num_ranks - 1)
                if interpolation_type == "linear"
                else 1 / (distance + 1e-5)
            )
        rows.append([w / sum(row) if sum(row) else 1.0 for w in row])
    return torch.tensor(rows)


@pytest.mark.parametrize("interpolation_type", ["linear", "inverse"])
@pytest.mark.parametrize(("ranks", "base"), [(5, 3), (5, 5), (7, 4), (2, 2), (2, 1), (9, 1)])
def test_interpolation_is_the_loop(ranks, base, interpolation_type):
    found = interpolation_weights(ranks, base, interpolation_type)
    torch.testing.assert_close(found, naive_weights(ranks, base, interpolation_type))


@pytest.mark.parametrize("tokens", [1, 3])
def test_interpolated_ranks_mix_their_bases(clip, tokens):
    ranks = InterpolatedRankEmbeddings(clip, 6, num_base_ranks=3, tokens=tokens, seed=1)
    weights = naive_weights(6, 3, "linear")
    for rank in range(6):
        mixed = sum(weights[rank, k] * ranks.base[k] for k in range(3))
        torch.testing.assert_close(ranks()[rank], mixed)
    learner = PromptLearner(clip, "a photo of {rank}", ranks)
    assert learner().shape == (6, clip.embed_dim)
    assert (learner.eos_positions == 4 + tokens).all()


def test_base_ranks_start_from_the_mean_of_their_words(clip):
    ranks = InterpolatedRankEmbeddings(clip, 4, ["one", "twenty two"])
    words = clip.token_embeddings(["twenty two"])
    own = words.embeddings[0, 1 : words.eos_positions[0]]
    torch.testing.assert_close(ranks()[-1, 0], own.mean(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda clip: RankEmbeddings(clip, ["one", "", "two"]), "'' of a rank have no tokens"),
        (lambda clip: RankEmbeddings(clip, ["one", "two", "ONE"]), "'one' and 'ONE' are the same"),
        (
            lambda clip: InterpolatedRankEmbeddings(clip, 3, num_base_ranks=4),
            "num_base_ranks = 4: must be 1 to 3",
        ),
        (lambda clip: InterpolatedRankEmbeddings(clip, 3, interpolation_type="cubic"), "'cubic'"),
        (lambda clip: PromptLearner(clip, "a photo", RankEmbeddings(clip, ["one"])), "'a photo'"),
        (
            lambda clip: PromptLearner(clip, "{rank} {object}", RankEmbeddings(clip, ["one"])),
            "no other placeholder",
        ),
        (
            lambda clip: PromptLearner(
                clip, "a {rank}", RankEmbeddings(clip, ["one", "filler " * 80])
            ),
            "holds 77",
        ),
        (
            lambda clip: PromptLearner(clip, "{rank}", RankEmbeddings(clip, ["one"]), n_ctx=76),
            "take 79 positions; the context of .* holds 77",
        ),
    ],
)
def test_what_cannot_be_a_prompt(clip, make, message):
    with pytest.raises(ValueError, match=message):
        make(clip)
