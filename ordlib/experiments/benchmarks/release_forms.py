"""Losses and networks in the form of the papers' released codes: the slower, equal references.

Written from descriptions of the released codes (NumCLIP, L2RCLIP, RankingAwareCLIP) for
:mod:`.releases`. They loop over images and bins where the released codes do, and copy where those
copy. Arguments are those of the functions in :mod:`ordlib.losses`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ordlib.methods.ranking_adapter.network import DROPOUT, MAX_HEADS


def fcrc(logits: Tensor, bins: Tensor) -> Tensor:
    """FCRC of NumCLIP: the weights of one image at a time, through Python lists."""
    num_bins = logits.shape[1]
    targets = torch.arange(float(num_bins))[:, None]
    weights = []
    for i in range(len(bins)):
        distances = (bins[i] - targets).abs().T
        row = (distances / distances.sum(1) * (num_bins - 1)).squeeze(0)
        row[bins[i]] = 1.0
        weights.append(row.detach().cpu().numpy().tolist())
    return F.cross_entropy(logits * torch.tensor(weights, dtype=logits.dtype), bins)


def text_to_image_kl(logits: Tensor, bins: Tensor) -> Tensor:
    """Text-to-image KL of NumCLIP: the weights of one bin at a time, through Python lists."""
    num_bins = logits.shape[1]
    one_hot = F.one_hot(bins, num_bins).T  # (d, B)
    present = one_hot.sum(1) > 0
    targets = (10.0 * one_hot).softmax(1)
    targets[~present] = 0
    weights = []
    for j in range(num_bins):
        row = torch.ones(len(bins))
        if present[j] > 0:
            distances = (j - bins[:, None]).abs().T
            row = (distances / distances.sum(1) * (num_bins - 1)).squeeze(0)
            row[one_hot[j] == 1] = 1.0
        weights.append(row.detach().cpu().numpy().tolist())
    weighted = logits.T * torch.tensor(weights, dtype=logits.dtype)
    return F.kl_div(weighted.log_softmax(1), targets, reduction="sum") / present.sum()


def regressor(layers: nn.Sequential, logits: Tensor, anchors: Tensor) -> Tensor:
    """Regressor of NumCLIP: a sum over bins, one bin at a time; without a clamped divisor."""
    probabilities, offsets = logits.softmax(1), layers(logits).tanh()
    total = probabilities[:, 0] * 0
    for j, anchor in enumerate(anchors.tolist()):
        total = total + probabilities[:, j] * (anchor / (1 + offsets[:, j]))
    return total


def supervised_contrastive(logits: Tensor, labels: Tensor, candidate_labels: Tensor) -> Tensor:
    """Supervised contrastive loss of L2RCLIP, for anchors that all have a positive."""
    positives = (labels[:, None] == candidate_labels).float()
    log_p = torch.log_softmax(logits, dim=1)
    return -((positives * log_p).sum(1) / positives.sum(1)).mean()


def ordinal_pairwise(
    images: Tensor, texts: Tensor, ranks: Tensor, values: Tensor, rank_values: Tensor
) -> Tensor:
    """Pairwise loss of L2RCLIP's second stage; features of unit length."""
    weights = _weights(_euclidean(values[:, None], rank_values[:, None]))
    diversity = -(_euclidean(images, texts) * weights).mean()
    return _tightness(images, texts[ranks]) + diversity


def batch_ordinal_pairwise(images: Tensor, texts: Tensor, ranks: Tensor, values: Tensor) -> Tensor:
    """Pairwise loss of L2RCLIP's first stage; features of unit length."""
    paired = texts[ranks]  # the text of each image
    image_text = _upper_triangle(torch.cdist(images, paired))
    text_text = _upper_triangle(torch.cdist(paired, paired))
    weights = _weights(_upper_triangle(torch.cdist(values[:, None], values[:, None])))
    diversity = -(image_text * weights).mean() - (text_text * weights).mean() / 2
    return diversity + _tightness(images, paired) / 2


def l2rclip_loss(
    images: Tensor, texts: Tensor, ranks: Tensor, values: Tensor, rank_values: Tensor,
    *, logit_scale: float, pairwise_loss: str,
) -> Tensor:  # fmt: skip
    """Sum of L2RCLIP's losses, each from the features, which have unit length."""
    all_ranks = torch.arange(len(texts))
    loss = F.cross_entropy(logit_scale * images @ texts.T, ranks)
    image_to_text, text_to_image = images @ texts.T, texts @ images.T
    loss = loss + supervised_contrastive(logit_scale * image_to_text, ranks, all_ranks)
    # The released code divides by zero for a rank without an image; such ranks are left out.
    present = torch.isin(all_ranks, ranks)
    anchors = logit_scale * text_to_image[present]
    loss = loss + supervised_contrastive(anchors, all_ranks[present], ranks)
    if pairwise_loss == "batch":
        return loss + batch_ordinal_pairwise(images, texts, ranks, values)
    return loss + ordinal_pairwise(images, texts, ranks, values, rank_values)


def _euclidean(a: Tensor, b: Tensor) -> Tensor:
    squared = a.pow(2).sum(1)[:, None] + b.pow(2).sum(1)
    return torch.addmm(squared, a, b.T, alpha=-2).clamp(min=1e-12).sqrt()


def _weights(distances: Tensor) -> Tensor:
    return (distances - distances.min()) / distances.max()


def _tightness(images: Tensor, texts: Tensor) -> Tensor:
    return (images - texts).pow(2).sum(1).mean()


def _upper_triangle(square: Tensor) -> Tensor:
    return square[torch.triu(torch.ones_like(square), diagonal=1).bool()]


class AdapterNetwork(nn.Module):
    """Network of RankingAwareCLIP: torch's attention layers, text copied for each image, all pairs.

    Its tensors have the names of :class:`~ordlib.methods.ranking_adapter.network
    .RankingAdapterNetwork`, of which ``network`` is an instance; they are copied.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        width, self.num_heads = network.score_norm.normalized_shape[0], MAX_HEADS
        layers = range(len(network.encoder))
        self.learnable_tokens = nn.Parameter(network.learnable_tokens.detach().clone())
        self.text_projection = nn.Linear(network.text_projection.in_features, width)
        self.cross_modal_blocks = nn.ModuleList(_CrossModalBlock(width) for _ in layers)
        self.projection = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(width, MAX_HEADS, width, DROPOUT, batch_first=True)
            for _ in layers
        )
        self.score_norm, self.score_head = nn.LayerNorm(width), _mlp_head(width, 2)
        self.pairwise_head = nn.Module()
        tokens = network.pairwise_head.relational_tokens.detach().clone()
        self.pairwise_head.relational_tokens = nn.Parameter(tokens)
        for name in ("query_proj", "key_proj"):
            layers = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
            self.pairwise_head.add_module(name, layers)
        self.pairwise_head.out_proj = nn.Linear(width, width)
        self.pairwise_head.head = nn.Sequential(nn.LayerNorm(width), _mlp_head(width, 3))
        self.load_state_dict(network.state_dict())

    def forward(self, image_tokens: Tensor, text_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(N,)`` scores and ``(N, N)`` pair logits."""
        text = self.text_projection(text_tokens)
        text = torch.cat([self.learnable_tokens.expand(-1, text.shape[1]), text])
        text = text.repeat(len(image_tokens), 1, 1)  # (N, 32 + T, d): a batch of equal texts
        x = image_tokens
        for block in self.cross_modal_blocks:
            x = block(x, text)
        x = self.projection(x)
        for layer in self.encoder:
            x = layer(x)
        scores = self.score_head(self.score_norm(x).sum(1)).squeeze(-1)
        return scores, self._pair_logits(x)

    def _pair_logits(self, x: Tensor) -> Tensor:
        """Rank attention over the 2P tokens of each of N^2 pairs, projected token by token."""
        n, p, width = x.shape
        head, shape = self.pairwise_head, (self.num_heads, -1)
        queries = head.query_proj(head.relational_tokens).unflatten(-1, shape).transpose(0, 1)
        queries = queries.expand(n * n, -1, -1, -1)  # (N^2, H, R, C)
        keys = head.key_proj(x).unflatten(-1, shape).transpose(1, 2)  # (N, H, P, C)
        both = [keys.repeat_interleave(n, dim=0), keys.tile(n, 1, 1, 1)]
        both = torch.cat(both, dim=2)  # (N^2, H, 2P, C)
        scores = torch.einsum("bhrc,bhpc->bhrp", queries, both) * queries.shape[-1] ** -0.5
        attention = scores.softmax(-1)
        first = torch.einsum("bhrp,bhpc->bhrc", attention[..., :p], both[:, :, :p])
        second = torch.einsum("bhrp,bhpc->bhrc", attention[..., p:], both[:, :, p:])
        values = (first - second).transpose(1, 2).reshape(n * n, -1, width)  # (N^2, R, d)
        return head.head(head.out_proj(values).sum(1)).view(n, n)


class _CrossModalBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(5))
        self.self_attn = nn.MultiheadAttention(width, MAX_HEADS, batch_first=True)
        self.cross_attn = nn.MultiheadAttention(width, MAX_HEADS, batch_first=True)
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(2)
        )

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        q = self.norms[0](x)
        x = x + self.self_attn(q, q, q, need_weights=False)[0]
        x = x + self.mlps[0](self.norms[1](x))
        q, kv = self.norms[2](x), self.norms[3](text)
        x = x + self.cross_attn(q, kv, kv, need_weights=False)[0]
        return x + self.mlps[1](self.norms[4](x))


def adapter_loss(scores: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """Dual loss of RankingAwareCLIP; ties count as 0."""
    pair_targets = (targets[:, None] > targets).to(logits.dtype)
    pairwise = F.binary_cross_entropy_with_logits(logits.flatten(), pair_targets.flatten())
    return 0.2 * torch.log(1 + F.smooth_l1_loss(scores, targets)) + pairwise


def _mlp_head(width: int, num_layers: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(num_layers):
        parts += [nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, 1))
