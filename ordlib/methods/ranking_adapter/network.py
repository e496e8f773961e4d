"""The network of the ranking-aware adapter: patches look at a sentence, pictures at each other."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ...utils.validation import check_choice
from .rank_attention import rank_attention

LearnableTokens = Literal["vector", "scalar"]
HEADS = 8
LAYERS = 2
NUM_RELATIONAL_TOKENS = 16
NUM_LEARNABLE_TOKENS = 32
DROPOUT = 0.1
INIT_STD = 0.02
# Of the first cross-attention: a word that is near outweighs others several times.
INIT_GAIN = 1.5


class RankingAdapterNetwork(nn.Module):
    """Score pictures by a sentence, and say of each two which ranks above the other.

    Args:
        width: d, of visual tokens.
        text_width: of text tokens, which are mapped to d.
        layers: of the cross-modal block, and of the encoder behind it.
        learnable_tokens: the text tokens that are learned: "vector" gives each d numbers; "scalar", as
            released, one, which the layer norm that follows erases.

    Raises:
        ValueError: an unknown ``learnable``.

    Source:
        Yu et al. (2025), Ranking-aware adapter, arXiv 2412.06760, and the released code. Vectors
        as learnable tokens, and the pairs without their patches (:mod:`.rank_attention`), ours.

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
        layers: int = LAYERS,
        learnable_tokens: LearnableTokens = "vector",
    ) -> None:
        super().__init__()
        check_choice("learnable_tokens", learnable_tokens, get_args(LearnableTokens))
        heads = max(n for n in range(1, HEADS + 1) if width % n == 0)
        each = width if learnable_tokens == "vector" else 1
        self.learnable_tokens = nn.Parameter(INIT_STD * torch.randn(NUM_LEARNABLE_TOKENS, each))
        self.text_projection = nn.Linear(text_width, width)
        self.cross_modal_blocks = nn.ModuleList(
            [_CrossModalBlock(width, heads) for _ in range(layers)]
        )
        self.projection = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.encoder = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(width, heads, width, DROPOUT, batch_first=True)
                for _ in range(layers)
            ]
        )
        self.score_norm = nn.LayerNorm(width)
        self.score_head = _head(width, 2)
        self.pairwise_head = _PairwiseRankHead(width, heads)

    def forward(self, patches: Tensor, words: Tensor) -> Tensor:
        """Return visual tokens that have looked at a sentence.

        Args:
            patches: ``(N, P, d)`` of N pictures.
            words: ``(T, text_width)`` tokens of the sentence, none of them padding.

        Returns:
            ``(N, P, d)``; of each picture by itself, whatever else is in the batch.
        """
        words = self.text_projection(words)
        words = torch.cat([self.learnable_tokens.expand(-1, words.shape[1]), words])
        words = words.expand(len(patches), -1, -1)
        for layer in self.cross_modal_blocks:
            patches = layer(patches, words)
        tokens = self.projection(patches)
        for layer in self.encoder:
            tokens = layer(tokens)
        return tokens

    @torch.no_grad()
    def init_from_clip_projection(self, projection: Tensor) -> None:
        """Begin with words where CLIP's projection puts them, and let patches find near ones.

        From a random start it took many hundred steps until a picture's own object and another
        one's were told apart at all: each patch has to find out which words are about it. CLIP
        knows; so queries and keys of the cross-attention begin as the same rotation.

        Args:
            projection: ``(d, text_width)`` CLIP's text projection.
        """
        self.text_projection.weight.copy_(projection)
        self.text_projection.bias.zero_()
        width = len(projection)
        for layer in self.cross_modal_blocks:
            queries, keys = layer.cross_attn.in_proj_weight[: 2 * width].split(width)
            nn.init.orthogonal_(queries, INIT_GAIN)
            keys.copy_(queries)

    def scores(self, tokens: Tensor) -> Tensor:
        """Return ``(N,)`` scores of ``(N, P, d)`` tokens: all that ranking pictures needs."""
        return self.score_head(self.score_norm(tokens).sum(1)).squeeze(-1)

    def pair_logits(self, tokens: Tensor) -> Tensor:
        """Return ``(N, N)`` logits that i ranks above j; for training alone."""
        return self.pairwise_head(tokens)


class _CrossModalBlock(nn.Module):
    """Patches look at patches, then at words; each followed by a small network."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(5)])
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.cross_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlps = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
                for _ in range(2)
            ]
        )

    def forward(self, patches: Tensor, words: Tensor) -> Tensor:
        seen = self.norms[0](patches)
        patches = patches + self.self_attn(seen, seen, seen, need_weights=False)[0]
        patches = patches + self.mlps[0](self.norms[1](patches))
        seen, read = self.norms[2](patches), self.norms[3](words)
        patches = patches + self.cross_attn(seen, read, read, need_weights=False)[0]
        return patches + self.mlps[1](self.norms[4](patches))


class _PairwiseRankHead(nn.Module):
    """What relational tokens find in one picture of a pair and not in the other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.relational_tokens = nn.Parameter(INIT_STD * torch.randn(NUM_RELATIONAL_TOKENS, width))
        self.query_proj = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.key_proj = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.out_proj = nn.Linear(width, width)
        self.head = nn.Sequential(nn.LayerNorm(width), _head(width, 3))

    def forward(self, tokens: Tensor) -> Tensor:
        queries = self.query_proj(self.relational_tokens).unflatten(-1, (self.heads, -1))
        patches = self.key_proj(tokens).unflatten(-1, (self.heads, -1))
        found = rank_attention(queries, patches).flatten(-2)
        # A map of each token's findings, summed: the bias comes once for each.
        mapped = self.out_proj(found) + (NUM_RELATIONAL_TOKENS - 1) * self.out_proj.bias
        return self.head(mapped).squeeze(-1)


def _head(width: int, layers: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, 1))
