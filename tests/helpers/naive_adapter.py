"""The ranking-aware adapter in loops, on tensors under the release's names; no code of ordlib."""

import math

import torch
from torch import Tensor

HEADS = 8
Weights = dict[str, Tensor]


def layer_norm(x: Tensor, w: Weights, name: str) -> Tensor:
    centered = x - x.mean(-1, keepdim=True)
    scale = (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centered / scale * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def attention(x: Tensor, context: Tensor, w: Weights, name: str) -> Tensor:
    """Queries of one image's tokens ``(P, d)``, keys and values of ``(T, d)``."""
    weights = w[f"{name}.in_proj_weight"].chunk(3)
    biases = w[f"{name}.in_proj_bias"].chunk(3)
    inputs = zip((x, context, context), weights, biases, strict=True)
    q, k, v = (t @ weight.T + bias for t, weight, bias in inputs)
    outputs = []
    for head in range(HEADS):
        part = slice(head * x.shape[1] // HEADS, (head + 1) * x.shape[1] // HEADS)
        scores = (q[:, part] @ k[:, part].T) / math.sqrt(part.stop - part.start)
        outputs.append(scores.exp() / scores.exp().sum(-1, keepdim=True) @ v[:, part])
    return linear(torch.cat(outputs, -1), w, f"{name}.out_proj")


def gelu_mlp(x: Tensor, w: Weights, name: str) -> Tensor:
    hidden = linear(x, w, f"{name}.c_fc")
    return linear(hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2, w, f"{name}.c_proj")


def encode(image: Tensor, text: Tensor, w: Weights, num_layers: int = 2) -> Tensor:
    """Image tokens ``(P, d)`` conditioned on text tokens ``(T, d)``."""
    scalars = [scalar.repeat(image.shape[1]) for scalar in w["learnable_text_tokens"][0]]
    text, x = torch.cat([torch.stack(scalars), text]), image
    for i in range(num_layers):
        block, cross = f"crossmodal_block.resblocks.{i}", f"crossmodal_block.cross_attn.{i}"
        normed = layer_norm(x, w, f"{block}.ln_1")
        x = x + attention(normed, normed, w, f"{block}.attn")
        x = x + gelu_mlp(layer_norm(x, w, f"{block}.ln_2"), w, f"{block}.mlp")
        context = layer_norm(text, w, f"{cross}.ln_1_kv")
        x = x + attention(layer_norm(x, w, f"{cross}.ln_1"), context, w, f"{cross}.attn")
        x = x + gelu_mlp(layer_norm(x, w, f"{cross}.ln_2"), w, f"{cross}.mlp")
    x = layer_norm(x, w, "crossmodal_block.ln_final") @ w["crossmodal_block.projection"]
    for i in range(num_layers):
        layer = f"post_fuse_block.layers.{i}"
        x = layer_norm(x + attention(x, x, w, f"{layer}.self_attn"), w, f"{layer}.norm1")
        hidden = linear(x, w, f"{layer}.linear1").clamp(min=0)
        x = layer_norm(x + linear(hidden, w, f"{layer}.linear2"), w, f"{layer}.norm2")
    return x


def mlp_head(x: Tensor, w: Weights, name: str, layers: tuple[int, ...]) -> Tensor:
    for i in layers:
        x = linear(x, w, f"{name}.pre_linear_block.{i}")
        x = layer_norm(x, w, f"{name}.pre_linear_block.{i + 1}").clamp(min=0)
    return linear(x, w, f"{name}.output_head").squeeze(-1)


def score(tokens: Tensor, w: Weights) -> Tensor:
    return mlp_head(layer_norm(tokens, w, "reg_ln").sum(0), w, "regressor", (0, 3))


def pair_head(difference: Tensor, w: Weights) -> Tensor:
    normed = layer_norm(difference, w, "pair_regressor.pre_linear_block.0")
    return mlp_head(normed, w, "pair_regressor", (1, 4, 7))


def pair_logit(first: Tensor, second: Tensor, w: Weights) -> Tensor:
    """Logit that the first image ranks above the second one: one softmax over both."""
    name, d = "reg_token_pooler", first.shape[1]
    queries = layer_norm(linear(w["reg_tokens"], w, f"{name}.q_proj"), w, f"{name}.ln_q")
    values = [
        layer_norm(linear(tokens, w, f"{name}.kv_proj"), w, f"{name}.ln_kv")
        for tokens in (first, second)
    ]
    total = 0
    for query in queries:
        heads = []
        for head in range(HEADS):
            part = slice(head * d // HEADS, (head + 1) * d // HEADS)
            a, b = (v[:, part] for v in values)
            scores = torch.cat([a, b]) @ query[part] / math.sqrt(d // HEADS)
            weights = scores.exp() / scores.exp().sum()
            heads.append(weights[: len(a)] @ a - weights[len(a) :] @ b)
        total = total + linear(torch.cat(heads), w, f"{name}.out_proj")
    return pair_head(total, w)


def released_loss(images: Tensor, text: Tensor, targets: Tensor, w: Weights) -> Tensor:
    """Regression and ranking terms of the release, ties and self pairs with label 0."""
    tokens = [encode(image, text, w) for image in images]
    errors = [(score(t, w) - y).abs() for t, y in zip(tokens, targets, strict=True)]
    smooth = [e**2 / 2 if e < 1 else e - 0.5 for e in errors]
    pairs = []
    for a, y in zip(tokens, targets, strict=True):
        for b, z in zip(tokens, targets, strict=True):
            logit = pair_logit(a, b, w)
            pairs.append(torch.log(1 + torch.exp(-logit if y > z else logit)))
    return 0.2 * torch.log(1 + sum(smooth) / len(smooth)) + sum(pairs) / len(pairs)


class AdamW:
    """AMSGrad (Reddi et al., 2018) with decoupled weight decay, as torch documents it."""

    def __init__(self, learning_rate: float, weight_decay: float) -> None:
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.steps, self.means, self.squares, self.largest = 0, {}, {}, {}

    @torch.no_grad()
    def step(self, w: Weights) -> None:
        self.steps += 1
        for name, p in w.items():
            mean = 0.9 * self.means.get(name, 0) + 0.1 * p.grad
            square = 0.999 * self.squares.get(name, 0) + 0.001 * p.grad**2
            largest = torch.maximum(self.largest.get(name, square), square)
            self.means[name], self.squares[name], self.largest[name] = mean, square, largest
            p *= 1 - self.learning_rate * self.weight_decay
            root = (largest / (1 - 0.999**self.steps)).sqrt()
            p -= self.learning_rate * mean / (1 - 0.9**self.steps) / (root + 1e-8)
            p.grad = None
