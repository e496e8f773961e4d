"""Network of the ranking-aware adapter: cross-modal blocks, regression head, pairwise head."""

from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ...utils.validation import check_choice
from .layers import EncoderLayer, TokenLinear, attend
from .rank_attention import rank_attention

LearnableTokens = Literal["vector", "scalar"]
PairwiseHead = Literal["relational", "ungated", "mean_difference", "score_difference", "none"]
MAX_HEADS = 8
NUM_LAYERS = 2
NUM_RELATIONAL_TOKENS = 16
NUM_LEARNABLE_TOKENS = 32
DROPOUT = 0.1
INIT_STD = 0.02
# Scale of the initial cross-attention projections: large enough for a peaked softmax.
INIT_GAIN = 1.5


class RankingAdapterNetwork(nn.Module):
    """Ranking-aware adapter network: regression scores and pairwise ranking logits.

    Args:
        width: width d of the image tokens; text tokens are projected to it.
        text_width: width of the text tokens.
        num_layers: number of cross-modal blocks, and of encoder layers after them.
        learnable_tokens: form of the learned tokens before the text tokens: "vector", of width d,
            or "scalar" (as in the released code: one value repeated over the width, which layer
            norm removes, so it has no effect).
        pairwise_head: logits that image i ranks above image j: "relational", from relational tokens
            that attend to both images with one softmax; "ungated", the same with a softmax per
            image; "mean_difference", from the difference of the mean tokens, without attention;
            "score_difference", the difference of the two scores, as in RankNet; "none".
        num_learnable_tokens, num_relational_tokens: their numbers, those of the paper by default.
        project_text: whether text tokens are projected; the released code takes them as they are,
            and then ``text_width`` must be the width.
        projection_bias: whether the projection behind the cross-modal blocks has a bias; that of
            the released code has none.

    References:
        Yu et al. (2025), Ranking-aware adapter, arXiv:2412.06760, and the released code. Vectors as
        learnable tokens, initialization from CLIP and the factorized rank attention are ours.
        Burges et al. (2005), Learning to rank using gradient descent: "score_difference".
        "mean_difference" is the released code's pooler "null".

    Example:
        >>> net = RankingAdapterNetwork(width=16, text_width=12)
        >>> tokens = net(torch.randn(3, 9, 16), torch.randn(5, 12))
        >>> net.scores(tokens).shape, net.pair_logits(tokens).shape
        (torch.Size([3]), torch.Size([3, 3]))
    """

    def __init__(
        self,
        width: int,
        text_width: int,
        *,
        num_layers: int = NUM_LAYERS,
        learnable_tokens: LearnableTokens = "vector",
        pairwise_head: PairwiseHead = "relational",
        num_learnable_tokens: int = NUM_LEARNABLE_TOKENS,
        num_relational_tokens: int = NUM_RELATIONAL_TOKENS,
        project_text: bool = True,
        projection_bias: bool = True,
    ) -> None:
        super().__init__()
        check_choice("learnable_tokens", learnable_tokens, get_args(LearnableTokens))
        check_choice("pairwise_head", pairwise_head, get_args(PairwiseHead))
        num_heads = max(n for n in range(1, MAX_HEADS + 1) if width % n == 0)
        token_width = width if learnable_tokens == "vector" else 1
        tokens = INIT_STD * torch.randn(num_learnable_tokens, token_width)
        self.learnable_tokens = nn.Parameter(tokens)
        self.text_projection = nn.Linear(text_width, width) if project_text else nn.Identity()
        blocks = (_CrossModalBlock(width, num_heads) for _ in range(num_layers))
        self.cross_modal_blocks = nn.ModuleList(blocks)
        linear = TokenLinear(width, width, bias=projection_bias)
        self.projection = nn.Sequential(nn.LayerNorm(width), linear)
        encoder_layer = partial(EncoderLayer, width, num_heads, width, DROPOUT)
        self.encoder = nn.ModuleList(encoder_layer(batch_first=True) for _ in range(num_layers))
        self.score_norm = nn.LayerNorm(width)
        self.score_head = _mlp_head(width, 2)
        self.pairwise_head = None
        if pairwise_head in ("relational", "ungated"):
            self.pairwise_head = _PairwiseRankHead(
                width, num_heads, num_relational_tokens, gated=pairwise_head == "relational"
            )
        elif pairwise_head == "mean_difference":
            self.pairwise_head = _MeanDifferenceHead(width)

    def forward(self, image_tokens: Tensor, text_tokens: Tensor) -> Tensor:
        """Condition ``(N, P, d)`` image tokens on the ``(T, text_width)`` tokens of one prompt.

        Returns ``(N, P, d)``; images do not interact.
        """
        text = self.text_projection(text_tokens)  # (T, d)
        text = torch.cat([self.learnable_tokens.expand(-1, text.shape[1]), text])  # (32 + T, d)
        for block in self.cross_modal_blocks:
            image_tokens = block(image_tokens, text)
        tokens = self.projection(image_tokens)
        for layer in self.encoder:
            tokens = layer(tokens)
        return tokens

    @torch.no_grad()
    def init_from_clip_projection(self, projection: Tensor) -> None:
        """Initialize from CLIP's ``(d, text_width)`` text projection.

        Queries and keys of each cross-attention start from the same scaled random orthogonal
        matrix: attention logits are then scaled inner products in CLIP's joint space, so image
        tokens attend to similar words. With independent random initialization the network ignores
        the object in the prompt for hundreds of steps.
        """
        self.text_projection.weight.copy_(projection)
        self.text_projection.bias.zero_()
        width = len(projection)
        for block in self.cross_modal_blocks:
            query_weight, key_weight = block.cross_attn.in_proj_weight[: 2 * width].split(width)
            nn.init.orthogonal_(query_weight, INIT_GAIN)
            key_weight.copy_(query_weight)

    def scores(self, tokens: Tensor) -> Tensor:
        """Return ``(N,)`` regression scores of ``(N, P, d)`` tokens; all that inference needs."""
        return self.score_head(self.score_norm(tokens).sum(1)).squeeze(-1)

    def pair_logits(self, tokens: Tensor) -> Tensor:
        """Return ``(N, N)`` logits that image i ranks above image j; used in training only."""
        if self.pairwise_head is not None:
            return self.pairwise_head(tokens)
        scores = self.scores(tokens)
        return scores[:, None] - scores


class _CrossModalBlock(nn.Module):
    """Self-attention over image tokens, cross-attention to text tokens, and an MLP after each."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(5)])
        self.self_attn = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.cross_attn = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.mlps = nn.ModuleList([_mlp(width) for _ in range(2)])

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        x = x + attend(self.self_attn, self.norms[0](x))  # (N, P, d)
        x = x + self.mlps[0](self.norms[1](x))
        x = x + attend(self.cross_attn, self.norms[2](x), self.norms[3](text))
        return x + self.mlps[1](self.norms[4](x))


class _PairwiseRankHead(nn.Module):
    """Pairwise ranking head: rank attention with learned relational tokens, then an MLP."""

    def __init__(self, width: int, num_heads: int, num_tokens: int, *, gated: bool) -> None:
        super().__init__()
        self.num_heads, self.gated = num_heads, gated
        self.relational_tokens = nn.Parameter(INIT_STD * torch.randn(num_tokens, width))
        self.query_proj = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.key_proj = nn.Sequential(TokenLinear(width, width), nn.LayerNorm(width))
        self.out_proj = TokenLinear(width, width)
        self.head = nn.Sequential(nn.LayerNorm(width), _mlp_head(width, 3))

    def forward(self, tokens: Tensor) -> Tensor:
        queries = self.query_proj(self.relational_tokens).unflatten(-1, (self.num_heads, -1))
        keys = self.key_proj(tokens).unflatten(-1, (self.num_heads, -1))  # (N, P, H, C)
        differences = rank_attention(queries, keys, gated=self.gated)  # summed over R tokens
        differences = differences.flatten(-2)  # (N, N, d)
        # The released code projects each of the R tokens, then sums: its sum has R biases.
        num_biases = len(self.relational_tokens) - 1
        projected = self.out_proj(differences) + num_biases * self.out_proj.bias
        return self.head(projected).squeeze(-1)


class _MeanDifferenceHead(nn.Module):
    """Pairwise ranking head without attention: an MLP on the difference of the mean tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.LayerNorm(width), _mlp_head(width, 3))

    def forward(self, tokens: Tensor) -> Tensor:
        means = tokens.mean(1)  # (N, d)
        return self.head(means[:, None] - means).squeeze(-1)


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(TokenLinear(width, 4 * width), nn.GELU(), TokenLinear(4 * width, width))


def _mlp_head(width: int, num_layers: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(num_layers):
        parts += [TokenLinear(width, width), nn.LayerNorm(width), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, 1))
