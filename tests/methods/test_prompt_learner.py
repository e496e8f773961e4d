import math

import pytest
import torch

from ordlib.clip import load_clip
from ordlib.methods.prompt_learner import (
    InterpolatedRankEmbeddings,
    PromptLearner,
    RankEmbeddings,
    interpolation_weights,
)

RANK_NAMES = ["one", "two", "twenty two", "a great many"]


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


def make_learner(clip, template="a photo of {rank} star", rank_names=RANK_NAMES, **options):
    return PromptLearner(clip, template, RankEmbeddings(clip, rank_names), **options)


@pytest.mark.parametrize(
    "template",
    ["a photo of {rank} star", "{rank}", "{rank} star", "one star, {rank}", "a photo: {rank}."],
)
def test_untrained_prompts_equal_the_template(clip, template):
    expected = clip.text_features([template.format(rank=name) for name in RANK_NAMES])
    torch.testing.assert_close(make_learner(clip, template)(), expected, rtol=0, atol=1e-6)


def test_prompt_embeddings_and_masks_equal_tokenized_prompts(clip):
    learner = make_learner(clip)
    prompts = learner.prompt_embeddings()
    expected = clip.token_embeddings([f"a photo of {name} star" for name in RANK_NAMES])
    assert prompts.eos_positions.tolist() == expected.eos_positions.tolist()
    assert torch.equal(prompts.mask, expected.mask)
    for row, end in enumerate(expected.eos_positions.tolist()):
        assert learner.mask[row].nonzero().flatten().tolist() == list(range(1, end))
        end += 1
        assert torch.equal(prompts.embeddings[row, :end], expected.embeddings[row, :end])


def test_gradient_reaches_context_and_rank_tokens_only(clip):
    learner = make_learner(clip)
    learner().square().sum().backward()
    assert (learner.context.grad.abs().sum(-1) > 0).all()
    gradient = learner.rank_embeddings.embeddings.grad.abs().sum(-1)
    mask = torch.arange(gradient.shape[1]) < learner.rank_embeddings.lengths[:, None]
    assert torch.equal(gradient > 0, mask)
    assert all(parameter.grad is None for parameter in clip.model.parameters())
    assert set(learner.state_dict()) == {"context", "rank_embeddings.embeddings"}


def test_random_context_precedes_rank_and_depends_on_seed(clip):
    first, second, other_seed = (make_learner(clip, n_ctx=4, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.eos_positions, 5 + first.rank_embeddings.lengths)
    assert torch.equal(first.prompt_embeddings().embeddings[1, 1:5], first.context)
    assert torch.equal(first.context, second.context)
    assert not torch.equal(first.context, other_seed.context)


def naive_weights(num_ranks, num_base_ranks, interpolation_type):
    rows = []
    for rank in range(num_ranks):
        row = []
        for base in range(num_base_ranks):
            position = base * (num_ranks - 1) / (num_base_ranks - 1) if num_base_ranks > 1 else 0.0
            distance = abs(rank - position)
            functions = {
                "linear": 1 - distance / (num_ranks - 1),
                "inverse": 1 / (distance + 1e-5),
                "normal": math.exp(-(distance**2)),
            }
            row.append(functions[interpolation_type])
        rows.append([w / sum(row) if sum(row) else 1.0 for w in row])
    return torch.tensor(rows)


@pytest.mark.parametrize("interpolation_type", ["linear", "inverse", "normal"])
@pytest.mark.parametrize(("ranks", "base"), [(5, 3), (5, 5), (7, 4), (2, 2), (2, 1), (9, 1)])
def test_interpolation_weights_equal_naive_loop(ranks, base, interpolation_type):
    weights = interpolation_weights(ranks, base, interpolation_type)
    torch.testing.assert_close(weights, naive_weights(ranks, base, interpolation_type))


def test_normal_weights_far_from_every_base_rank_are_finite():
    # In float32 exp(-d^2) is 0 for d above 10, and 0 / 0 undefined.
    weights = interpolation_weights(101, 2, "normal")
    assert weights.isfinite().all()
    assert weights.sum(1).allclose(torch.ones(101))
    assert weights[50].tolist() == [0.5, 0.5]


def test_all_tokens_of_the_base_ranks_are_kept_and_padded_with_token_0(clip):
    names = ["two", "a great many"]
    ranks = InterpolatedRankEmbeddings(clip, 5, names, num_tokens_per_rank=None)
    table = clip.model.text_model.embeddings.token_embedding.weight
    expected = clip.token_embeddings(names).embeddings
    longest = ranks.base.shape[1]
    assert ranks.lengths.tolist() == [longest] * 5
    assert torch.equal(ranks.base[1], expected[1, 1 : 1 + longest])
    assert torch.equal(ranks.base[0, 0], expected[0, 1])
    assert torch.equal(ranks.base[0, 1:], table[:1].expand(longest - 1, -1))


@pytest.mark.parametrize("n_ctx", [None, 3])
def test_suffix_is_fixed_and_last(clip, n_ctx):
    learner = make_learner(clip, suffix=".", n_ctx=n_ctx)
    prompts = learner.prompt_embeddings()
    stop = clip.token_embeddings(["."]).embeddings[0, 1]
    for row, end in enumerate(prompts.eos_positions.tolist()):
        assert torch.equal(prompts.embeddings[row, end - 1], stop)
        assert learner.mask[row].nonzero().flatten().tolist() == list(range(1, end - 1))
    assert learner.context_and_rank_slice.stop == int(prompts.eos_positions.max()) - 1
    if n_ctx is None:
        texts = [f"a photo of {name} star." for name in RANK_NAMES]
        torch.testing.assert_close(learner(), clip.text_features(texts), rtol=0, atol=1e-6)
    learner().square().sum().backward()
    assert set(learner.state_dict()) == {"context", "rank_embeddings.embeddings"}


@pytest.mark.parametrize("n_ctx", [None, 3])
def test_each_rank_may_have_a_context_of_its_own(clip, n_ctx):
    shared, own = (
        make_learner(clip, n_ctx=n_ctx, rank_specific_context=specific, suffix=".")
        for specific in (False, True)
    )
    assert own.context.shape == (4 * len(shared.context), clip.text_width)
    if n_ctx is None:
        assert torch.equal(own(), shared())
    per_rank = own.context.unflatten(0, (4, -1)).detach()
    before = own.prompt_embeddings().embeddings
    assert torch.equal(before[2, 1:3], per_rank[2, :2])
    with torch.no_grad():
        own.context.view(4, -1, clip.text_width)[2].add_(1.0)
    changed = (own.prompt_embeddings().embeddings != before).any(-1).any(-1)
    assert changed.tolist() == [False, False, True, False]


@pytest.mark.parametrize("num_tokens", [1, 3])
def test_interpolated_rank_embeddings_equal_weighted_sum(clip, num_tokens):
    ranks = InterpolatedRankEmbeddings(clip, 6, num_tokens_per_rank=num_tokens, seed=1)
    weights = naive_weights(6, 3, "linear")
    for rank in range(6):
        expected = sum(weights[rank, k] * ranks.base[k] for k in range(3))
        torch.testing.assert_close(ranks()[rank], expected)
    learner = PromptLearner(clip, "a photo of {rank}", ranks)
    assert learner().shape == (6, clip.embed_dim)
    assert (learner.eos_positions == 4 + num_tokens).all()


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (RankEmbeddings, {"rank_names": ["one", "", "two"]}, "rank name '': has no tokens"),
        (RankEmbeddings, {"rank_names": ["one", "two", "ONE"]}, "'one' and 'ONE': same tokens"),
        (InterpolatedRankEmbeddings, {"num_ranks": 3, "num_base_ranks": 4}, "= 4: must be 1 to"),
        (InterpolatedRankEmbeddings, {"num_ranks": 3, "interpolation_type": "cubic"}, "'cubic'"),
        (make_learner, {"template": "a photo"}, "template = 'a photo'"),
        (make_learner, {"template": "{rank} {object}"}, "'{rank} {object}': .* only placeholder"),
        (make_learner, {"rank_names": ["filler " * 80]}, "holds 77"),
        (make_learner, {"rank_names": ["one"], "n_ctx": 76}, "79 tokens, .* is 77"),
    ],
    ids=["empty", "same", "base", "type", "no-rank", "placeholder", "long-name", "long-context"],
)
def test_invalid_arguments_raise(clip, make, options, message):
    with pytest.raises(ValueError, match=message):
        make(clip, **options)
