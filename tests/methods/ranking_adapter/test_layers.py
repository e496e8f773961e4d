"""Layers of the ranking adapter against torch's: results, gradients, dropout, no gradients."""

import pytest
import torch
from torch import Tensor, nn

from ordlib.methods.ranking_adapter.layers import EncoderLayer, TokenLinear, attend

D, H = 24, 4


def relative_differences(function, reference, inputs: list[Tensor], modules: list[nn.Module]):
    """Largest difference of result and of each gradient, relative to the largest entry."""
    torch.manual_seed(0)
    results = []
    for call, module in zip((function, reference), modules, strict=True):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        output = call(*leaves)
        weights = torch.arange(output.numel(), dtype=output.dtype).view_as(output).sin()
        parameters = [parameter for _, parameter in sorted(module.named_parameters())]
        gradients = torch.autograd.grad((output * weights).sum(), leaves + parameters)
        results.append([output.detach(), *gradients])
    return [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(*results, strict=True)]


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def dtype(request):
    return request.param


def tolerance(dtype) -> float:
    return 2e-5 if dtype == torch.float32 else 1e-12


@pytest.mark.parametrize("bias", [True, False])
def test_token_linear_equals_linear(dtype, bias):
    torch.manual_seed(0)
    ours, reference = (make(D, 40, bias=bias).to(dtype) for make in (TokenLinear, nn.Linear))
    ours.load_state_dict(reference.state_dict())
    for shape in ((5, 7, D), (1, 1, D), (3, D)):
        x = torch.randn(*shape, dtype=dtype)
        assert ours(x).is_contiguous()
        found = relative_differences(ours, reference, [x], [ours, reference])
        assert max(found) < tolerance(dtype)


@pytest.mark.parametrize("cross", [False, True])
def test_attend_equals_multihead_attention(dtype, cross):
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(D, H, batch_first=True).to(dtype)
    nn.init.normal_(attention.in_proj_bias)
    x, text = torch.randn(5, 7, D, dtype=dtype), torch.randn(6, D, dtype=dtype)

    def reference(x, *text):
        keys = text[0].repeat(len(x), 1, 1) if text else x
        return attention(x, keys, keys, need_weights=False)[0]

    inputs, modules = [x, text] if cross else [x], [attention, attention]
    found = relative_differences(lambda *t: attend(attention, *t), reference, inputs, modules)
    assert max(found) < tolerance(dtype)
    with torch.no_grad():
        result, expected = attend(attention, *inputs), reference(*inputs)
    assert torch.equal(result, expected) or cross
    torch.testing.assert_close(result, expected, rtol=0, atol=tolerance(dtype))


def make_encoder_layers(dtype) -> tuple[EncoderLayer, nn.TransformerEncoderLayer]:
    torch.manual_seed(0)
    makers = EncoderLayer, nn.TransformerEncoderLayer
    ours, reference = (make(D, H, D, 0.3, batch_first=True).to(dtype) for make in makers)
    ours.load_state_dict(reference.state_dict())
    return ours, reference


def test_encoder_layer_equals_transformer_encoder_layer(dtype):
    ours, reference = (layer.eval() for layer in make_encoder_layers(dtype))
    x = torch.randn(5, 7, D, dtype=dtype)
    assert max(relative_differences(ours, reference, [x], [ours, reference])) < tolerance(dtype)
    with torch.no_grad():
        assert torch.equal(ours(x), reference(x))


def test_encoder_layer_has_the_dropout_of_transformer_encoder_layer():
    layers, x = make_encoder_layers(torch.float32), torch.randn(1, 5, D)
    x = x.expand(20_000, -1, -1).clone().requires_grad_()
    outputs = [layer(x).detach() for layer in layers]  # 20,000 draws of dropout
    means, stds = ([statistic(o, 0) for o in outputs] for statistic in (torch.mean, torch.std))
    assert stds[0].min() > 0.05
    torch.testing.assert_close(*means, atol=0.03, rtol=0)
    torch.testing.assert_close(*stds, atol=0.03, rtol=0)
