"""The network of the ranking-aware adapter: patches look at a sentence, pictures at each other."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ...utils.validation import check_choice
from .rank_attention import rank_attention

Learnable = Literal["vector", "scalar"]
HEADS = 8
LAYERS = 2
RELATIONAL = 16
LEARNABLE = 32
DROPOUT = 0.1
SPREAD = 0.02
# Of the first cross-attention: a word that is near outweighs others several times.
SHARPNESS = 1.5


class RankingNet(nn.Module):
    """Score pictures by a sentence, and say of each two which ranks above the other.

    Args:
        width: d, of visual tokens.
        text_width: of text tokens, which are mapped to d.
        layers: of the cross-modal block, and of the encoder behind it.
        learnable: the text tokens that are learned: "vector" gives each d numbers; "scalar", as
            released, one, which the layer norm that follows erases.

    Raises:
        ValueError: an unknown ``learnable``.

    Source:
        Yu et al. (2025), Ranking-aware adapter, arXiv 2412.06760, and the released code. Vectors
        as learnable tokens, and the pairs without their patches (:mod:`.rank_attention`), ours.

    Example:
        >>> net = RankingNet(width=16, text_width=12)
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
        learnable: Learnable = "vector",
    ) -> None:
        super().__init__()
        check_choice("learnable", learnable, get_args(Learnable))
        heads = max(n for n in range(1, HEADS + 1) if width % n == 0)
        each = width if learnable == "vector" else 1
        self.learnable = nn.Parameter(SPREAD * torch.randn(LEARNABLE, each))
        self.text = nn.Linear(text_width, width)
        self.crossing = nn.ModuleList([_Crossing(width, heads) for _ in range(layers)])
        self.projection = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.encoder = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(width, heads, width, DROPOUT, batch_first=True)
                for _ in range(layers)
            ]
        )
        self.score_norm = nn.LayerNorm(width)
        self.score_head = _head(width, 2)
        self.pairs = _Pairs(width, heads)

    def forward(self, patches: Tensor, words: Tensor) -> Tensor:
        """Return visual tokens that have looked at a sentence.

        Args:
            patches: ``(N, P, d)`` of N pictures.
            words: ``(T, text_width)`` tokens of the sentence, none of them padding.

        Returns:
            ``(N, P, d)``; of each picture by itself, whatever else is in the batch.
        """
        words = self.text(words)
        words = torch.cat([self.learnable.expand(-1, words.shape[1]), words])
        words = words.expand(len(patches), -1, -1)
        for layer in self.crossing:
            patches = layer(patches, words)
        tokens = self.projection(patches)
        for layer in self.encoder:
            tokens = layer(tokens)
        return tokens

    @torch.no_grad()
    def align(self, projection: Tensor) -> None:
        """Begin with words where CLIP's projection puts them, and let patches find near ones.

        From a random start it took many hundred steps until a picture's own object and another
        one's were told apart at all: each patch has to find out which words are about it. CLIP
        knows; so queries and keys of the cross-attention begin as the same rotation.

        Args:
            projection: ``(d, text_width)`` CLIP's text projection.
        """
        self.text.weight.copy_(projection)
        self.text.bias.zero_()
        width = len(projection)
        for layer in self.crossing:
            queries, keys = layer.across.in_proj_weight[: 2 * width].split(width)
            nn.init.orthogonal_(queries, SHARPNESS)
            keys.copy_(queries)

    def scores(self, tokens: Tensor) -> Tensor:
        """Return ``(N,)`` scores of ``(N, P, d)`` tokens: all that ranking pictures needs."""
        return self.score_head(self.score_norm(tokens).sum(1)).squeeze(-1)

    def pair_logits(self, tokens: Tensor) -> Tensor:
        """Return ``(N, N)`` logits that i ranks above j; for training alone."""
        return self.pairs(tokens)


class _Crossing(nn.Module):
    """Patches look at patches, then at words; each followed by a small network."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(5)])
        self.within = nn.MultiheadAttention(width, heads, batch_first=True)
        self.across = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mixers = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
                for _ in range(2)
            ]
        )

    def forward(self, patches: Tensor, words: Tensor) -> Tensor:
        seen = self.norms[0](patches)
        patches = patches + self.within(seen, seen, seen, need_weights=False)[0]
        patches = patches + self.mixers[0](self.norms[1](patches))
        seen, read = self.norms[2](patches), self.norms[3](words)
        patches = patches + self.across(seen, read, read, need_weights=False)[0]
        return patches + self.mixers[1](self.norms[4](patches))


class _Pairs(nn.Module):
    """What relational tokens find in one picture of a pair and not in the other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.relational = nn.Parameter(SPREAD * torch.randn(RELATIONAL, width))
        self.queries = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.tokens = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.found = nn.Linear(width, width)
        self.head = nn.Sequential(nn.LayerNorm(width), _head(width, 3))

    def forward(self, tokens: Tensor) -> Tensor:
        queries = self.queries(self.relational).unflatten(-1, (self.heads, -1))
        patches = self.tokens(tokens).unflatten(-1, (self.heads, -1))
        found = rank_attention(queries, patches).flatten(-2)
        # A map of each token's findings, summed: the bias comes once for each.
        mapped = self.found(found) + (RELATIONAL - 1) * self.found.bias
        return self.head(mapped).squeeze(-1)


def _head(width: int, layers: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, 1))
