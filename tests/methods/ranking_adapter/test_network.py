"""RankingAdapterNetwork: independence of images, pairwise logits, initialization."""

import pytest
import torch

from ordlib.methods.ranking_adapter import network
from ordlib.methods.ranking_adapter.network import RankingAdapterNetwork
from ordlib.methods.ranking_adapter.rank_attention import pairwise_rank_attention


def make_net(**options) -> RankingAdapterNetwork:
    torch.manual_seed(0)
    return RankingAdapterNetwork(24, 12, **options)


@pytest.fixture(scope="module")
def net() -> RankingAdapterNetwork:
    return make_net().eval()


@pytest.fixture(scope="module")
def patches() -> torch.Tensor:
    return torch.randn(5, 7, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def text() -> torch.Tensor:
    return torch.randn(4, 12, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_pair_logits_equal_reference_attention(net, patches, text, monkeypatch):
    tokens, head = net(patches, text), net.pairwise_head
    logits = net.pair_logits(tokens)
    assert not torch.allclose(logits, -logits.T, atol=1e-3)
    queries = head.query_proj(head.relational_tokens).unflatten(-1, (head.num_heads, -1))
    keys = head.key_proj(tokens).unflatten(-1, (head.num_heads, -1))
    # As in the paper, each query is projected before the sum, so the bias counts once per query.
    values = [pairwise_rank_attention(query[None], keys).flatten(-2) for query in queries]
    expected = head.head(sum(head.out_proj(value) for value in values)).squeeze(-1)
    assert torch.allclose(logits, expected, atol=1e-4)

    def reference(queries, tokens, gated):
        return pairwise_rank_attention(queries, tokens)

    monkeypatch.setattr(network, "rank_attention", reference)
    assert torch.allclose(logits, net.pair_logits(tokens), atol=1e-4)


def test_gradients_reach_every_parameter(patches, text):
    net = make_net()
    tokens = net(patches, text)
    (net.scores(tokens).sum() + net.pair_logits(tokens).square().sum()).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_network_refuses_unknown_learnable_tokens():
    with pytest.raises(ValueError, match="learnable_tokens = 'matrix': must be one of vector"):
        RankingAdapterNetwork(8, 8, learnable_tokens="matrix")


@torch.no_grad()
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_num_layers_is_depth_of_both_blocks(num_layers, patches, text):
    net, calls = make_net(num_layers=num_layers).eval(), []
    assert len(net.cross_modal_blocks) == len(net.encoder) == num_layers
    for layer in (*net.cross_modal_blocks, *net.encoder):
        layer.register_forward_hook(lambda module, *_: calls.append(module))
    assert net(patches, text).shape == patches.shape
    assert calls == [*net.cross_modal_blocks, *net.encoder]
    assert len(make_net().cross_modal_blocks) == 2


@torch.no_grad()
def test_init_from_clip_projection_keeps_inner_products(text):
    net, projection = make_net(), torch.randn(24, 12)
    net.init_from_clip_projection(projection)
    torch.testing.assert_close(net.text_projection(text), text @ projection.T)
    a, b = torch.randn(3, 24), torch.randn(4, 24)
    for layer in net.cross_modal_blocks:
        query_weight, key_weight, _ = layer.cross_attn.in_proj_weight.chunk(3)
        scores = (a @ query_weight.T) @ (b @ key_weight.T).T
        expected = network.INIT_GAIN**2 * a @ b.T
        torch.testing.assert_close(scores, expected, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_pair_logits_of_the_other_heads(patches, text):
    nets = {name: make_net(pairwise_head=name).eval() for name in ("ungated", "score_difference")}
    tokens = nets["ungated"](patches, text)
    scores = nets["score_difference"].scores(tokens)
    logits = nets["score_difference"].pair_logits(tokens)
    for i in range(len(patches)):
        for j in range(len(patches)):
            assert torch.allclose(logits[i, j], scores[i] - scores[j], atol=1e-6)
    head = nets["ungated"].pairwise_head
    queries = head.query_proj(head.relational_tokens).unflatten(-1, (head.num_heads, -1))
    keys = head.key_proj(tokens).unflatten(-1, (head.num_heads, -1))
    scale = keys.shape[-1] ** 0.5
    means = [  # ordinary attention over each image alone, (H, C), summed over the queries
        sum(
            torch.stack([(k[:, h] @ q[h] / scale).softmax(0) @ k[:, h] for h in range(len(q))])
            for q in queries
        )
        for k in keys
    ]
    pair = (means[0] - means[3]).flatten()
    projected = head.out_proj(pair) + (len(queries) - 1) * head.out_proj.bias
    expected = head.head(projected).squeeze(-1)
    assert torch.allclose(nets["ungated"].pair_logits(tokens)[0, 3], expected, atol=1e-4)


@torch.no_grad()
def test_mean_difference_head_equals_loop(patches):
    net = make_net(pairwise_head="mean_difference").eval()
    logits = net.pair_logits(patches)
    for i, a in enumerate(patches):
        for j, b in enumerate(patches):
            mean = sum(p - q for p, q in zip(a, b, strict=True)) / len(a)
            assert torch.allclose(logits[i, j], net.pairwise_head.head(mean), atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_projection_bias(bias):
    assert ("projection.1.bias" in make_net(projection_bias=bias).state_dict()) is bias


def test_networks_without_relational_head_share_all_other_weights():
    default, single = make_net(), make_net(pairwise_head="none")
    state = {k: v for k, v in default.state_dict().items() if not k.startswith("pairwise_head.")}
    assert state.keys() == single.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in single.state_dict().items())
    with pytest.raises(ValueError, match="pairwise_head = 'cosine': must be one of relational"):
        make_net(pairwise_head="cosine")
