"""Layers of the ranking adapter that train faster than torch's, with the same tensors and results.

Without gradients, torch's own layers run, which have fused kernels for inference.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenLinear(nn.Linear):
    """``nn.Linear`` of tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """See :func:`token_linear`."""
        return token_linear(x, self.weight, self.bias)


def token_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear`` of ``(N, P, d)`` tokens; with gradients on a CPU, as a 1 x 1 convolution.

    torch multiplies matrices with MKL, which leaves AVX512 unused on AMD's processors, and
    convolves with oneDNN, which does not: about twice as fast there. Results differ by rounding.
    """
    convolve = x.device.type == "cpu" and x.dtype == torch.float32 and x.dim() == 3
    convolve = convolve and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    if not (convolve and torch.backends.mkldnn.is_available()):
        return F.linear(x, weight, bias)
    channels_last = x[:, :, None].permute(0, 3, 1, 2)  # (N, d, P, 1)
    y = F.conv2d(channels_last, weight[:, :, None, None], bias)
    return y.permute(0, 2, 3, 1).squeeze(2)


def attend(
    attention: nn.MultiheadAttention, x: Tensor, text: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Self-attention of ``(N, P, d)`` tokens, or cross-attention to ``(T, d)`` text tokens.

    The text is the same for all images, so its keys and values are projected once.
    """
    if text is None and not torch.is_grad_enabled():
        return attention(x, x, x, need_weights=False)[0]
    heads, weight, bias = (
        (attention.num_heads, -1),
        attention.in_proj_weight,
        attention.in_proj_bias,
    )
    if text is None:
        projected = token_linear(x, weight, bias).unflatten(-1, (3, *heads))  # (N, P, 3, H, C)
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # (N, H, P, C) each
    else:
        d = x.shape[-1]
        query = token_linear(x, weight[:d], bias[:d]).unflatten(-1, heads).transpose(1, 2)
        projected = F.linear(text, weight[d:], bias[d:]).unflatten(-1, (2, *heads))
        key, value = projected.permute(1, 2, 0, 3)[:, None].expand(-1, len(x), -1, -1, -1)
    attended = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    out_proj = attention.out_proj
    return token_linear(attended.transpose(1, 2).flatten(2), out_proj.weight, out_proj.bias)


class EncoderLayer(nn.TransformerEncoderLayer):
    """``nn.TransformerEncoderLayer``, post-norm with ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``(N, P, d)`` tokens; images do not interact."""
        if not torch.is_grad_enabled():
            return super().forward(x)
        dropout = self.dropout.p if self.training else 0.0
        x = self.norm1(x + self.dropout1(attend(self.self_attn, x, dropout=dropout)))
        hidden = token_linear(x, self.linear1.weight, self.linear1.bias).relu()
        hidden = token_linear(self.dropout(hidden), self.linear2.weight, self.linear2.bias)
        return self.norm2(x + self.dropout2(hidden))
