"""RankFormer against loops over positions, heads and keys; who sees whom; its bounds."""

import math

import pytest
import torch

from ordlib.methods.l2rclip import RankFormer, sinusoidal_pos_embed

EACH = ("ranks", "tokens", "both")
MARKS = (None, "learned", "sinusoidal")
every_attend = pytest.mark.parametrize("attention_over", EACH)


def a_former(ranks=4, width=16, seed=0, **options):
    """One whose every weight says something, also biases, norms and marks."""
    torch.manual_seed(seed)
    former = RankFormer(ranks, width, **{"alpha": 0.3} | options)
    with torch.no_grad():
        for name, parameter in former.named_parameters():
            if name != "alpha":
                parameter.add_(0.3 * torch.randn_like(parameter))
    return former


def prompts_of(ranks=4, positions=5, width=16, seed=1):
    """Prompts with a start, an end and unequal words; rank 0 has the fewest."""
    generator = torch.Generator().manual_seed(seed)
    prompts = torch.randn(ranks, positions, width, generator=generator)
    places, last = torch.arange(positions), positions - torch.arange(ranks).flip(0) % 3
    return prompts, (places > 0) & (places < last[:, None])


def naive_norm(row, norm):
    centred = row - row.mean()
    return centred / torch.sqrt(centred.square().mean() + norm.eps) * norm.weight + norm.bias


def naive_block(block, rows, live, marks):
    """``rows``: a list of S vectors that attend to each other where alive; None stays None."""
    attention, width = block.attention, len(rows[0])
    heads, (query, key, value) = attention.num_heads, attention.in_proj_weight.chunk(3)
    biases = attention.in_proj_bias.chunk(3)
    seen = [naive_norm(row, block.norms[0]) + mark for row, mark in zip(rows, marks, strict=True)]
    results = []
    for place, row in enumerate(rows):
        if not live[place]:
            results.append(None)
            continue
        joined = []
        for head in range(heads):
            part = slice(head * width // heads, (head + 1) * width // heads)
            asked = query[part] @ seen[place] + biases[0][part]
            keys = [other for other in range(len(rows)) if live[other]]
            scores = [
                torch.exp(asked @ (key[part] @ seen[k] + biases[1][part]) / math.sqrt(len(asked)))
                for k in keys
            ]
            told = [value[part] @ seen[k] + biases[2][part] for k in keys]
            joined.append(sum(s * v for s, v in zip(scores, told, strict=True)) / sum(scores))
        projected = attention.out_proj.weight @ torch.cat(joined) + attention.out_proj.bias
        hidden = row + projected
        wide, _, narrow = block.feed_forward
        inner = wide.weight @ naive_norm(hidden, block.norms[1]) + wide.bias
        inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2
        results.append(hidden + narrow.weight @ inner + narrow.bias)
    return results


def naive_rankformer(former, prompts, live):
    ranks, positions, width = prompts.shape
    zero = torch.zeros(ranks, width, dtype=prompts.dtype)
    marks = zero if former.pos_embed is None else former.pos_embed
    hidden = [[prompts[m, p] for p in range(positions)] for m in range(ranks)]
    for over, block in former.blocks.items():
        if over == "tokens":
            for m in range(ranks):
                found = naive_block(block, hidden[m], live[m], [marks[m]] * positions)
                hidden[m] = [row if row is not None else zero[0] for row in found]
        else:
            for p in range(positions):
                column = [hidden[m][p] for m in range(ranks)]
                found = naive_block(block, column, live[:, p], list(marks))
                for m, row in enumerate(found):
                    hidden[m][p] = zero[0] if row is None else row
    blended = prompts.clone()
    for m, p in live.nonzero().tolist():
        blended[m, p] = (1 - former.alpha) * prompts[m, p] + former.alpha * hidden[m][p]
    return blended


@every_attend
@pytest.mark.parametrize("rank_pos_embed", MARKS)
@torch.no_grad()
def test_it_is_the_loop(attention_over, rank_pos_embed):
    former = a_former(attention_over=attention_over, rank_pos_embed=rank_pos_embed).double()
    prompts, live = prompts_of()
    prompts = prompts.double()
    found, expected = former(prompts, live), naive_rankformer(former, prompts, live)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    assert (found - prompts)[live].abs().min() > 0


@every_attend
@pytest.mark.parametrize("rank_pos_embed", MARKS)
def test_alpha_0_leaves_every_bit(attention_over, rank_pos_embed):
    former = a_former(attention_over=attention_over, rank_pos_embed=rank_pos_embed, alpha=0.0)
    prompts, live = prompts_of()
    assert torch.equal(former(prompts, live), prompts)


def test_another_share_can_be_looked_at():
    former, (prompts, live) = a_former(alpha=0.3), prompts_of()
    assert torch.equal(former(prompts, live, 0.0), prompts)
    expected = a_former(alpha=0.7)(prompts, live)
    torch.testing.assert_close(former(prompts, live, 0.7), expected)
    assert former.alpha.item() == pytest.approx(0.3)


@pytest.mark.parametrize("rank_pos_embed", MARKS)
@torch.no_grad()
def test_only_marks_tell_ranks_their_order(rank_pos_embed):
    former = a_former(attention_over="ranks", rank_pos_embed=rank_pos_embed)
    prompts, live = prompts_of()
    order = torch.tensor([2, 0, 3, 1])
    before, after = former(prompts[order], live[order]), former(prompts, live)[order]
    assert torch.allclose(before, after, atol=1e-5) is (rank_pos_embed is None)


@torch.no_grad()
def test_who_learns_of_whom():
    prompts, live = prompts_of()
    # In double precision, where rounding is far below the least change; and one feature, as the
    # layer norm takes away what all have in common.
    prompts = prompts.double()
    changed = prompts.clone()
    changed[3, 2, 0] += 1
    for attention_over, touched in (
        ("ranks", {(m, 2) for m in range(4)}),
        ("tokens", {(3, p) for p in range(1, 5)}),
        ("both", {(m, p) for m in range(4) for p in range(1, 5)}),
    ):
        former = a_former(attention_over=attention_over).double()
        apart = (former(changed, live) - former(prompts, live)).abs().amax(-1) > 1e-12
        expected = {(m, p) for m, p in touched if live[m, p]}
        assert {tuple(pair) for pair in apart.nonzero().tolist()} == expected, attend


@every_attend
@pytest.mark.parametrize("rank_pos_embed", [None, "learned"])
def test_gradients_reach_alpha_and_every_parameter(attention_over, rank_pos_embed):
    former = a_former(attention_over=attention_over, rank_pos_embed=rank_pos_embed)
    prompts, live = prompts_of()
    (former(prompts, live) * torch.randn(prompts.shape)).sum().backward()
    assert former.alpha.grad.abs() > 1e-3
    for name, parameter in former.named_parameters():
        # A bias of keys moves all logits alike and has no gradient; it is the middle third.
        parts = parameter.grad.chunk(3) if name.endswith("in_proj_bias") else [parameter.grad]
        for part in parts[::2]:
            assert part.abs().max() > 1e-6, name
    assert len(list(former.parameters())) == 1 + 12 * len(former.blocks) + bool(rank_pos_embed)


def test_alpha_can_be_held():
    assert a_former().alpha.requires_grad
    assert not a_former(tune_alpha=False).alpha.requires_grad


@every_attend
@torch.no_grad()
def test_padding_is_neither_seen_nor_touched(attention_over):
    former, (prompts, live) = (
        a_former(attention_over=attention_over, rank_pos_embed="learned"),
        prompts_of(),
    )
    other = torch.where(live[..., None], prompts, 100 * torch.randn(prompts.shape))
    one, two = former(prompts, live), former(other, live)
    assert torch.equal(one[live], two[live])
    assert torch.equal(one[~live], prompts[~live])
    assert torch.equal(two[~live], other[~live])


@every_attend
def test_padding_has_only_its_own_gradient(attention_over):
    former, (prompts, live) = a_former(attention_over=attention_over), prompts_of()
    prompts.requires_grad_()
    former(prompts, live)[live].sum().backward()
    assert not prompts.grad[~live].any()
    assert prompts.grad[live].any()


@every_attend
@pytest.mark.parametrize("ranks", [2, 3, 20, 101])
@pytest.mark.parametrize("tokens", [1, 2, 8])
@torch.no_grad()
def test_any_number_of_ranks_and_of_their_tokens(attention_over, ranks, tokens):
    former = a_former(ranks, attention_over=attention_over, rank_pos_embed="sinusoidal")
    prompts = torch.randn(ranks, 2 + tokens, 16)
    live = torch.zeros(ranks, 2 + tokens, dtype=torch.bool)
    for rank in range(ranks):
        live[rank, 1 : 2 + rank % tokens] = True
    found = former(prompts, live)
    assert found.isfinite().all()
    assert ((found != prompts).any(-1) == live).all()


@pytest.mark.parametrize(
    ("width", "heads"), [(32, 8), (30, 6), (18, 6), (7, 7), (13, 1), (4, 4), (1, 1)]
)
def test_heads_divide_the_width(width, heads):
    former, (prompts, live) = (
        a_former(width=width, rank_pos_embed="sinusoidal"),
        prompts_of(width=width),
    )
    assert former.blocks["ranks"].attention.num_heads == heads
    assert former(prompts, live).shape == prompts.shape


@pytest.mark.parametrize(("moved", "found"), [(-0.2, 0.0), (1.5, 1.0), (0.4, 0.4)])
def test_alpha_is_brought_back(moved, found):
    former = a_former()
    with torch.no_grad():
        former.alpha.fill_(moved)
    former.clamp_alpha()
    assert former.alpha.item() == pytest.approx(found)
    assert former.alpha.requires_grad


@pytest.mark.parametrize(("count", "width"), [(5, 8), (3, 7), (101, 2), (2, 1)])
def test_sinusoids_are_the_loop(count, width):
    half = (width + 1) // 2
    for place, row in enumerate(sinusoidal_pos_embed(count, width).tolist()):
        for i, value in enumerate(row):
            angle = place / 10000 ** (i % half / half)
            expected = math.sin(angle) if i < half else math.cos(angle)
            assert value == pytest.approx(expected, abs=1e-4)


def test_sinusoids_are_no_part_of_the_state():
    names = a_former(rank_pos_embed="sinusoidal").state_dict().keys()
    assert "pos_embed" not in names
    assert "pos_embed" in a_former(rank_pos_embed="learned").state_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_over": "off"}, "attention_over = 'off': must be one of ranks, tokens, both"),
        ({"attention_over": None}, "attention_over = None: must be one of ranks, tokens, both"),
        ({"alpha": -0.1}, "alpha = -0.1: must be 0 to 1"),
        ({"alpha": 1.1}, "alpha = 1.1: must be 0 to 1"),
        ({"alpha": math.nan}, "alpha = nan: must be 0 to 1"),
        (
            {"rank_pos_embed": "rotary"},
            "rank_pos_embed = 'rotary': must be one of learned, sinusoidal, or None",
        ),
        ({"num_ranks": 1}, "num_ranks = 1: must be 2 or more"),
    ],
)
def test_choices_that_are_none(change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RankFormer(**{"num_ranks": 3, "width": 8} | change)
