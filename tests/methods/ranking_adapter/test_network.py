"""The adapter's network: pictures by themselves, pairs turned around, and inert text tokens."""

import pytest
import torch

from ordlib.methods.ranking_adapter import network as ranking_net
from ordlib.methods.ranking_adapter.network import RankingAdapterNetwork
from ordlib.methods.ranking_adapter.rank_attention import pairwise_rank_attention


@pytest.fixture(scope="module")
def net() -> RankingAdapterNetwork:
    torch.manual_seed(0)
    return RankingAdapterNetwork(24, 12).eval()


@pytest.fixture(scope="module")
def patches() -> torch.Tensor:
    return torch.randn(5, 7, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def words() -> torch.Tensor:
    return torch.randn(4, 12, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_a_picture_is_scored_by_itself(net, patches, words):
    together = net.scores(net(patches, words))
    alone = torch.cat([net.scores(net(one[None], words)) for one in patches])
    assert torch.allclose(together, alone, atol=1e-5)


@torch.no_grad()
def test_the_sentence_matters(net, patches, words):
    assert not torch.allclose(net.scores(net(patches, words)), net.scores(net(patches, words[:2])))


@torch.no_grad()
def test_pairs_are_those_of_the_pairwise_form(net, patches, words, monkeypatch):
    tokens = net(patches, words)
    found = net.pair_logits(tokens)
    monkeypatch.setattr(ranking_net, "rank_attention", pairwise_rank_attention)
    assert torch.allclose(found, net.pair_logits(tokens), atol=1e-4)


@torch.no_grad()
def test_findings_are_mapped_one_by_one_and_summed(net, patches, words):
    """The bias of the map comes once for each relational token."""
    tokens = net(patches, words)
    pairs = net.pairwise_head
    queries = pairs.query_proj(pairs.relational_tokens).unflatten(-1, (pairs.heads, -1))
    seen = pairs.key_proj(tokens).unflatten(-1, (pairs.heads, -1))
    each = [pairwise_rank_attention(query[None], seen).flatten(-2) for query in queries]
    wanted = pairs.head(sum(pairs.out_proj(one) for one in each)).squeeze(-1)
    assert torch.allclose(net.pair_logits(tokens), wanted, atol=1e-4)


@torch.no_grad()
def test_the_logit_is_not_antisymmetric_though_the_attention_is(net, patches, words):
    logits = net.pair_logits(net(patches, words))
    assert not torch.allclose(logits, -logits.T, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("learnable_tokens", ["vector", "scalar"])
def test_the_released_text_tokens_do_nothing(learnable_tokens, patches, words):
    torch.manual_seed(0)
    net = RankingAdapterNetwork(24, 12, learnable_tokens=learnable_tokens).eval()
    before = net.scores(net(patches, words))
    net.learnable_tokens.add_(
        torch.randn(net.learnable_tokens.shape, generator=torch.Generator().manual_seed(3))
    )
    same = torch.allclose(before, net.scores(net(patches, words)), atol=1e-5)
    assert same == (learnable_tokens == "scalar")


def test_gradients_reach_every_parameter(patches, words):
    torch.manual_seed(0)
    net = RankingAdapterNetwork(24, 12)
    tokens = net(patches, words)
    (net.scores(tokens).sum() + net.pair_logits(tokens).square().sum()).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_the_text_is_mapped_to_the_width_of_the_pictures():
    assert RankingAdapterNetwork(24, 12).text_projection.weight.shape == (24, 12)


def test_unknown_learnable():
    with pytest.raises(
        ValueError, match="learnable_tokens = 'matrix': must be one of vector, scalar"
    ):
        RankingAdapterNetwork(8, 8, learnable_tokens="matrix")


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_depth_is_that_of_both_blocks(layers, patches, words):
    torch.manual_seed(0)
    net = RankingAdapterNetwork(24, 12, layers=layers).eval()
    assert len(net.cross_modal_blocks) == len(net.encoder) == layers
    seen = []
    for layer in (*net.cross_modal_blocks, *net.encoder):
        layer.register_forward_hook(lambda module, *_: seen.append(module))
    assert net(patches, words).shape == patches.shape
    assert seen == [*net.cross_modal_blocks, *net.encoder]
    assert len(RankingAdapterNetwork(24, 12).cross_modal_blocks) == 2


@torch.no_grad()
def test_aligned_it_finds_the_words_that_are_near(words):
    """Queries and keys begin as one rotation: the product of two is that of what they are of."""
    torch.manual_seed(0)
    net, projection = RankingAdapterNetwork(24, 12), torch.randn(24, 12)
    net.init_from_clip_projection(projection)
    torch.testing.assert_close(net.text_projection(words), words @ projection.T)
    one, other = torch.randn(3, 24), torch.randn(4, 24)
    for layer in net.cross_modal_blocks:
        queries, keys, _ = layer.cross_attn.in_proj_weight.chunk(3)
        found = (one @ queries.T) @ (other @ keys.T).T
        expected = ranking_net.INIT_GAIN**2 * one @ other.T
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
