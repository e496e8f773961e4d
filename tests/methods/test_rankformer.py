"""RankFormer against naive loops over positions, heads and keys; masks, gradients, validation."""

import math

import pytest
import torch

from ordlib.methods.l2rclip import RankFormer, sinusoidal_pos_embed

for_each_axis = pytest.mark.parametrize("attention_over", ["ranks", "tokens", "both"])
for_each_pos_embed = pytest.mark.parametrize("rank_pos_embed", [None, "learned", "sinusoidal"])


def random_rankformer(num_ranks=4, width=16, **options):
    """A RankFormer with all parameters random, including biases and layer norms."""
    torch.manual_seed(0)
    rankformer = RankFormer(num_ranks, width, **{"alpha": 0.3} | options)
    with torch.no_grad():
        for name, parameter in rankformer.named_parameters():
            if name != "alpha":
                parameter.add_(0.3 * torch.randn_like(parameter))
    return rankformer


def random_prompts(num_ranks=4, length=5, width=16, dtype=torch.float32):
    """Token embeddings and a mask without start and end token; lengths differ between ranks."""
    generator = torch.Generator().manual_seed(1)
    prompts = torch.randn(num_ranks, length, width, generator=generator).to(dtype)
    positions, end = torch.arange(length), length - torch.arange(num_ranks).flip(0) % 3
    return prompts, (positions > 0) & (positions < end[:, None])


def naive_layer_norm(x, norm):
    centered = x - x.mean()
    return centered / torch.sqrt(centered.square().mean() + norm.eps) * norm.weight + norm.bias


def naive_block(block, sequence, mask, pos_embeds):
    """``sequence``: a list of S vectors; the outputs of masked positions are zeros."""
    attention, width = block.attention, len(sequence[0])
    num_heads, weights = attention.num_heads, attention.in_proj_weight.chunk(3)
    (w_q, w_k, w_v), (b_q, b_k, b_v) = weights, attention.in_proj_bias.chunk(3)
    inputs = [
        naive_layer_norm(x, block.norms[0]) + pos_embed
        for x, pos_embed in zip(sequence, pos_embeds, strict=True)
    ]
    keys = [k for k in range(len(sequence)) if mask[k]]
    outputs = [torch.zeros_like(x) for x in sequence]
    for query in keys:
        heads = []
        for head in range(num_heads):
            h = slice(head * width // num_heads, (head + 1) * width // num_heads)
            q = w_q[h] @ inputs[query] + b_q[h]
            k = [w_k[h] @ inputs[key] + b_k[h] for key in keys]
            v = [w_v[h] @ inputs[key] + b_v[h] for key in keys]
            scores = [torch.exp(q @ k_j / math.sqrt(len(q))) for k_j in k]
            heads.append(sum(s * v_j for s, v_j in zip(scores, v, strict=True)) / sum(scores))
        attended = attention.out_proj.weight @ torch.cat(heads) + attention.out_proj.bias
        if block.form == "no_residual":
            outputs[query] = naive_feed_forward(block, attended)
            continue
        scales = block.scales if block.form == "layer_scale" else (1.0, 1.0)
        x = sequence[query] + scales[0] * attended
        found = naive_feed_forward(block, naive_layer_norm(x, block.norms[1]))
        outputs[query] = x + scales[1] * found
    return outputs


def naive_feed_forward(block, x):
    linear_1, _, linear_2 = block.feed_forward
    hidden = linear_1.weight @ x + linear_1.bias
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    return linear_2.weight @ hidden + linear_2.bias


def naive_rankformer(rankformer, prompts, mask):
    num_ranks, length, width = prompts.shape
    pos_embed = torch.zeros(num_ranks, width, dtype=prompts.dtype)
    if rankformer.pos_embed is not None:
        pos_embed = rankformer.pos_embed
    x = [list(prompt) for prompt in prompts]  # x[m][p]: vector of rank m at position p
    for axis, block in rankformer.blocks.items():
        if axis == "tokens":
            x = [
                naive_block(block, x[m], mask[m], [pos_embed[m]] * length) for m in range(num_ranks)
            ]
        else:
            columns = zip(*x, strict=True)
            columns = [
                naive_block(block, column, mask[:, p], list(pos_embed))
                for p, column in enumerate(columns)
            ]
            x = [list(row) for row in zip(*columns, strict=True)]
    blended = prompts.clone()
    for m, p in mask.nonzero().tolist():
        if rankformer.block_form == "normalized":
            x[m][p] = x[m][p] * math.sqrt(sum(prompts[m, p] ** 2) / sum(x[m][p] ** 2))
        blended[m, p] = (1 - rankformer.alpha) * prompts[m, p] + rankformer.alpha * x[m][p]
    return blended


@for_each_axis
@for_each_pos_embed
@torch.no_grad()
def test_rankformer_equals_naive_loop(attention_over, rank_pos_embed):
    rankformer = random_rankformer(attention_over=attention_over, rank_pos_embed=rank_pos_embed)
    rankformer, (prompts, mask) = rankformer.double(), random_prompts(dtype=torch.float64)
    output, expected = rankformer(prompts, mask), naive_rankformer(rankformer, prompts, mask)
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-10)
    assert (output - prompts)[mask].abs().min() > 0


@pytest.mark.parametrize("block_form", ["normalized", "layer_scale", "no_residual"])
@for_each_axis
@torch.no_grad()
def test_rankformer_with_other_blocks_equals_naive_loop(attention_over, block_form):
    rankformer = random_rankformer(attention_over=attention_over, block_form=block_form)
    rankformer, (prompts, mask) = rankformer.double(), random_prompts(dtype=torch.float64)
    output, expected = rankformer(prompts, mask), naive_rankformer(rankformer, prompts, mask)
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-10)
    assert torch.equal(rankformer(prompts, mask, 0.0), prompts)
    if block_form == "normalized":
        norms = [part[mask].norm(dim=-1) for part in (rankformer(prompts, mask, 1.0), prompts)]
        torch.testing.assert_close(*norms)


@pytest.mark.parametrize("block_form", ["pre_norm", "normalized", "layer_scale", "no_residual"])
def test_gradients_reach_every_parameter_of_a_block(block_form):
    rankformer, (prompts, mask) = random_rankformer(block_form=block_form), random_prompts()
    rankformer(prompts, mask).square().sum().backward()
    assert [name for name, p in rankformer.named_parameters() if p.grad is None] == []


@for_each_axis
@for_each_pos_embed
def test_rankformer_with_alpha_0_is_identity(attention_over, rank_pos_embed):
    rankformer = random_rankformer(
        attention_over=attention_over, rank_pos_embed=rank_pos_embed, alpha=0.0
    )
    prompts, mask = random_prompts()
    assert torch.equal(rankformer(prompts, mask), prompts)


def test_forward_alpha_overrides_parameter():
    rankformer, (prompts, mask) = random_rankformer(alpha=0.3), random_prompts()
    assert torch.equal(rankformer(prompts, mask, 0.0), prompts)
    expected = random_rankformer(alpha=0.7)(prompts, mask)
    torch.testing.assert_close(rankformer(prompts, mask, 0.7), expected)
    assert rankformer.alpha.item() == pytest.approx(0.3)


@for_each_pos_embed
@torch.no_grad()
def test_rankformer_is_permutation_equivariant_only_without_pos_embed(rank_pos_embed):
    rankformer = random_rankformer(attention_over="ranks", rank_pos_embed=rank_pos_embed)
    prompts, mask = random_prompts()
    order = torch.tensor([2, 0, 3, 1])
    permuted_first = rankformer(prompts[order], mask[order])
    permuted_last = rankformer(prompts, mask)[order]
    assert torch.allclose(permuted_first, permuted_last, atol=1e-5) is (rank_pos_embed is None)


@pytest.mark.parametrize(
    ("attention_over", "reached"),
    [
        ("ranks", {(m, 2) for m in range(4)}),
        ("tokens", {(3, p) for p in range(1, 5)}),
        ("both", {(m, p) for m in range(4) for p in range(1, 5)}),
    ],
    ids=["ranks", "tokens", "both"],
)
@torch.no_grad()
def test_attention_over_limits_which_tokens_interact(attention_over, reached):
    # float64, so that rounding is far below the smallest change; a single feature is changed,
    # since the layer norm removes a shift of all features.
    prompts, mask = random_prompts(dtype=torch.float64)
    changed = prompts.clone()
    changed[3, 2, 0] += 1
    rankformer = random_rankformer(attention_over=attention_over).double()
    difference = (rankformer(changed, mask) - rankformer(prompts, mask)).abs().amax(-1)
    affected = {tuple(index) for index in (difference > 1e-12).nonzero().tolist()}
    assert affected == {(m, p) for m, p in reached if mask[m, p]}


@for_each_axis
@pytest.mark.parametrize("rank_pos_embed", [None, "learned"])
def test_gradients_reach_alpha_and_every_parameter(attention_over, rank_pos_embed):
    rankformer = random_rankformer(attention_over=attention_over, rank_pos_embed=rank_pos_embed)
    prompts, mask = random_prompts()
    (rankformer(prompts, mask) * torch.randn(prompts.shape)).sum().backward()
    assert rankformer.alpha.grad.abs() > 1e-3
    for name, parameter in rankformer.named_parameters():
        # The key bias, the middle third, shifts all logits equally and has no gradient.
        parts = parameter.grad.chunk(3) if name.endswith("in_proj_bias") else [parameter.grad]
        for part in parts[::2]:
            assert part.abs().max() > 1e-6, name
    num_parameters = 1 + 12 * len(rankformer.blocks) + bool(rank_pos_embed)
    assert len(list(rankformer.parameters())) == num_parameters


@for_each_axis
def test_masked_positions_are_unchanged_and_do_not_affect_others(attention_over):
    rankformer = random_rankformer(attention_over=attention_over, rank_pos_embed="learned")
    prompts, mask = random_prompts()
    padded = torch.where(mask[..., None], prompts, 100 * torch.randn(prompts.shape))
    padded.requires_grad_()
    output, padded_output = rankformer(prompts, mask), rankformer(padded, mask)
    assert torch.equal(output[mask], padded_output[mask])
    assert torch.equal(output[~mask], prompts[~mask])
    assert torch.equal(padded_output[~mask], padded[~mask])
    padded_output[mask].sum().backward()
    assert not padded.grad[~mask].any()
    assert padded.grad[mask].any()


@for_each_axis
@pytest.mark.parametrize("num_ranks", [2, 3, 20, 101])
@pytest.mark.parametrize("num_tokens", [1, 2, 8])
@torch.no_grad()
def test_rankformer_changes_exactly_unmasked_positions(attention_over, num_ranks, num_tokens):
    rankformer = random_rankformer(
        num_ranks, attention_over=attention_over, rank_pos_embed="sinusoidal"
    )
    prompts = torch.randn(num_ranks, 2 + num_tokens, 16)
    mask = torch.zeros(num_ranks, 2 + num_tokens, dtype=torch.bool)
    for rank in range(num_ranks):
        mask[rank, 1 : 2 + rank % num_tokens] = True
    output = rankformer(prompts, mask)
    assert output.isfinite().all()
    assert torch.equal((output != prompts).any(-1), mask)


@pytest.mark.parametrize(
    ("width", "num_heads"), [(32, 8), (30, 6), (18, 6), (7, 7), (13, 1), (4, 4), (1, 1)]
)
def test_number_of_heads_divides_width(width, num_heads):
    rankformer = random_rankformer(width=width, rank_pos_embed="sinusoidal")
    prompts, mask = random_prompts(width=width)
    assert rankformer.blocks["ranks"].attention.num_heads == num_heads
    assert rankformer(prompts, mask).shape == prompts.shape


@pytest.mark.parametrize(("num_positions", "width"), [(5, 8), (3, 7), (101, 2), (2, 1)])
def test_sinusoidal_pos_embed_equals_naive_loop(num_positions, width):
    half = (width + 1) // 2
    for position, row in enumerate(sinusoidal_pos_embed(num_positions, width).tolist()):
        for i, value in enumerate(row):
            angle = position / 10000 ** (i % half / half)
            expected = math.sin(angle) if i < half else math.cos(angle)
            assert value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention_over": "off"}, "attention_over = 'off': .* ranks, tokens, both"),
        ({"attention_over": None}, "attention_over = None: .* ranks, tokens, both"),
        ({"alpha": -0.1}, "alpha = -0.1: "),
        ({"alpha": 1.1}, "alpha = 1.1: "),
        ({"alpha": math.nan}, "alpha = nan: "),
        (
            {"rank_pos_embed": "rotary"},
            "rank_pos_embed = 'rotary': .* learned, sinusoidal, or None",
        ),
        ({"num_ranks": 1}, "num_ranks = 1: must be 2 or more"),
    ],
)
def test_rankformer_rejects_invalid_arguments(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        RankFormer(**{"num_ranks": 3, "width": 8} | options)
