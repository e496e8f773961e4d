"""Learned prompts: word embeddings that stand where words would, and are tuned.

A prompt is a context that all ranks share, with words of the rank's own in it. What is learned
is put together with what stays CLIP's own (start, end) and read by the frozen text tower.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..clip import ClipBackbone
from ..clip.text import PromptEmbeddings
from ..utils.validation import check_choice

Interpolation = Literal["linear", "inverse"]
# Random starts are about as long as the embeddings of OpenAI's models.
INIT_STD = 0.02
EPS = 1e-5


class RankEmbeddings(nn.Module):
    """Every rank's own words, as they are or tuned.

    Args:
        clip: gives the embeddings.
        words: M texts, of one token or more each.
        tune: whether to train them.

    Attributes:
        lengths: ``(M,)`` int64, the tokens of each rank.

    Raises:
        ValueError: a text without tokens, or two ranks of the same tokens (names them).

    Example:
        >>> from ordlib import load_clip
        >>> ranks = RankEmbeddings(load_clip("pico-clip", "cpu"), ["one", "twenty one"])
        >>> ranks().shape, rank_embeddings.lengths.tolist()
        (torch.Size([2, 2, 96]), [1, 2])
    """

    def __init__(self, clip: ClipBackbone, words: Sequence[str], tune: bool = True) -> None:
        super().__init__()
        embeddings, lengths = _embed(clip, words)
        self.register_buffer("lengths", lengths, persistent=False)
        self.embeddings = nn.Parameter(embeddings, requires_grad=tune)

    def forward(self) -> Tensor:
        """Return ``(M, R, W)`` embeddings; rank m's are the first ``lengths[m]``."""
        return self.embeddings


class InterpolatedRankEmbeddings(nn.Module):
    """A few base ranks, and all others between them, so that neighbours share what they learn.

    Args:
        clip: gives widths and, for a start from words, the embeddings.
        num_ranks: M.
        words: K' texts to start the base ranks from (each is the mean of its tokens), first and
            last for the sos_eos of the scale; or None for random starts.
        num_base_ranks: K', 1 to M, where no words are given.
        interpolation_type: "linear" or "inverse" (proportional to the inverse distance).
        tokens: R, vectors of a rank.
        seed: of random starts.

    Raises:
        ValueError: more base ranks than ranks, or none; an unknown interpolation.

    Source:
        Li et al. (2022), OrdinalCLIP, arXiv 2206.02338, section 3.3 and the released code: rows
        are normalised, so that "linear" with K' = M is not the identity.

    Example:
        >>> from ordlib import load_clip
        >>> ranks = InterpolatedRankEmbeddings(load_clip("pico-clip", "cpu"), 5, ["one", "twenty"])
        >>> ranks.weights
        tensor([[1.0000, 0.0000],
                [0.7500, 0.2500],
                [0.5000, 0.5000],
                [0.2500, 0.7500],
                [0.0000, 1.0000]])
    """

    def __init__(
        self,
        clip: ClipBackbone,
        num_ranks: int,
        words: Sequence[str] | None = None,
        *,
        num_base_ranks: int = 3,
        interpolation_type: Interpolation = "linear",
        tokens: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        count = num_base_ranks if words is None else len(words)
        if not 1 <= count <= num_ranks:
            raise ValueError(
                f"num_base_ranks = {count}: must be 1 to {num_ranks}, the number of ranks"
            )
        weights = interpolation_weights(num_ranks, count, interpolation_type)
        self.register_buffer("weights", weights.to(clip.device), persistent=False)
        lengths = torch.full((num_ranks,), tokens, device=clip.device)
        self.register_buffer("lengths", lengths, persistent=False)
        if words is None:
            base = _random((count, tokens, clip.text_width), seed).to(clip.device)
        else:
            base = _means(clip, words)[:, None].repeat(1, tokens, 1)
        self.base = nn.Parameter(base)

    def forward(self) -> Tensor:
        """Return ``(M, R, W)`` embeddings."""
        return torch.einsum("mk,krw->mrw", self.weights, self.base)


def interpolation_weights(
    num_ranks: int, num_base_ranks: int, interpolation_type: Interpolation = "linear"
) -> Tensor:
    """Return how much of each base rank is in each rank.

    Args:
        num_ranks: M.
        num_base_ranks: K', spread evenly from the first rank to the last.
        interpolation_type: "linear": 1 - distance / (M - 1); "inverse": 1 / (distance + 1e-5).

    Returns:
        ``(M, K')`` float32, rows summing to 1.

    Raises:
        ValueError: an unknown interpolation.

    Example:
        >>> interpolation_weights(3, 3, "inverse").round(decimals=2)
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    check_choice("interpolation_type", interpolation_type, get_args(Interpolation))
    places = torch.linspace(0, num_ranks - 1, num_base_ranks, dtype=torch.float64)
    distance = (torch.arange(num_ranks)[:, None] - places).abs()
    if interpolation_type == "linear":
        weights = 1 - distance / max(num_ranks - 1, 1)
    else:
        weights = 1 / (distance + EPS)
    # A single base rank stands at the first: the linear weight of the last rank is 0 there.
    weights = weights.clamp(min=EPS) if num_base_ranks == 1 else weights
    return (weights / weights.sum(1, keepdim=True)).float()


class PromptLearner(nn.Module):
    """Prompts of all ranks: a shared context around each rank's own words.

    Args:
        clip: the backbone, frozen.
        template: text with ``{rank}`` and no other placeholder; its words start the context.
        rank_embeddings: `RankEmbeddings` or `InterpolatedRankEmbeddings`.
        n_ctx: number of random vectors to use before the rank instead of the template's words.
        tune_context: whether to train the context.
        seed: of a random context.

    Attributes:
        context_and_rank_slice: the positions of context and rank words in the longest prompt.

    Raises:
        ValueError: a template without ``{rank}`` or with another placeholder, or prompts that do
            not fit the text tower.

    Source:
        Zhou et al. (2022), CoOp, arXiv 2109.01134.

    Example:
        >>> from ordlib import load_clip
        >>> clip = load_clip("pico-clip", "cpu")
        >>> ranks = RankEmbeddings(clip, ["one", "two"])
        >>> learner = PromptLearner(clip, "a photo of {rank} stars", ranks)
        >>> learner().shape
        torch.Size([2, 96])
    """

    def __init__(
        self,
        clip: ClipBackbone,
        template: str,
        rank_embeddings: nn.Module,
        *,
        n_ctx: int | None = None,
        tune_context: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.clip, self.rank_embeddings = clip, rank_embeddings
        before, after = _split_template(template)
        sos_eos = clip.token_embeddings(["x"]).embeddings[0, [0, -1]]
        if n_ctx is None:
            sides = [_embed_context(clip, text) for text in (before, after)]
        else:
            sides = [_random((n_ctx, clip.text_width), seed).to(clip.device), sos_eos[:0]]
        self.register_buffer("sos_eos", sos_eos, persistent=False)
        self.context = nn.Parameter(torch.cat(sides), requires_grad=tune_context)
        layout, last = _layout(len(sides[0]), len(sides[1]), rank_embeddings.lengths)
        if int(last.max()) >= clip.context_length:
            raise ValueError(
                f"the prompts take {int(last.max()) + 1} positions; the context of {clip.name} "
                f"holds {clip.context_length}: shorten the template or the words"
            )
        self.register_buffer("layout", layout, persistent=False)
        self.register_buffer("eos_positions", last, persistent=False)
        # Known once, so that nobody has to ask the device: where some prompt has a word.
        self.context_and_rank_slice = slice(1, int(last.max()))

    @property
    def mask(self) -> Tensor:
        """``(M, T)`` bool: the positions of context and rank words, between start and end."""
        places = torch.arange(self.layout.shape[1], device=self.layout.device)
        return (places > 0) & (places < self.eos_positions[:, None])

    def prompt_embeddings(self) -> PromptEmbeddings:
        """Return the prompts as the text tower reads them, with gradient to what is tuned."""
        parts = (self.sos_eos, self.context, self.rank_embeddings().flatten(0, 1))
        embeddings = torch.cat([part.float() for part in parts])[self.layout]
        places = torch.arange(self.layout.shape[1], device=self.layout.device)
        return PromptEmbeddings(
            embeddings, self.eos_positions, places <= self.eos_positions[:, None]
        )

    def forward(self) -> Tensor:
        """Return ``(M, D)`` text features, float32, not normalised."""
        words = self.prompt_embeddings()
        return self.clip.encode_text_embeddings(words.embeddings, words.eos_positions)


def _layout(before: int, after: int, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Say which row of (start, end, context, rank words) stands at every position.

    Returns:
        ``(M, T)`` int64 rows, padded with the end, and ``(M,)`` positions of the sos_eos.
    """
    context, longest = 2, int(lengths.max())
    words = context + before + after
    rows = []
    for rank, length in enumerate(lengths.tolist()):
        first = words + rank * longest
        row = [0, *range(context, context + before), *range(first, first + length)]
        rows.append([*row, *range(context + before, words), 1])
    width = max(map(len, rows))
    layout = torch.tensor([row + [1] * (width - len(row)) for row in rows])
    last = torch.tensor([len(row) - 1 for row in rows])
    return layout.to(lengths.device), last.to(lengths.device)


def _split_template(template: str) -> tuple[str, str]:
    before, found, after = template.partition("{rank}")
    if not found or "{" in before + after:
        raise ValueError(
            f"template = {template!r}: a learned prompt has {{rank}} once and no other placeholder"
        )
    return before.strip(), after.strip()


def _embed_context(clip: ClipBackbone, text: str) -> Tensor:
    """Return the embeddings ``(L, W)`` of a side's words; none for an empty side."""
    if not text:
        return clip.token_embeddings(["x"]).embeddings[0, :0]
    return clip.token_embeddings([text]).embeddings[0, 1:-1]


def _embed(clip: ClipBackbone, words: Sequence[str]) -> tuple[Tensor, Tensor]:
    tokens = clip.tokenize(list(words))
    lengths = tokens.mask.sum(1) - 2
    seen: dict[tuple, str] = {}
    for text, row, length in zip(words, tokens.ids.tolist(), lengths.tolist(), strict=True):
        if not length:
            raise ValueError(f"the words {text!r} of a rank have no tokens: write a word")
        key = tuple(row[1 : 1 + length])
        if key in seen:
            raise ValueError(f"{seen[key]!r} and {text!r} are the same to CLIP: change one")
        seen[key] = text
    embeddings = clip.token_embeddings(list(words)).embeddings[:, 1 : 1 + int(lengths.max())]
    return embeddings.clone(), lengths


def _means(clip: ClipBackbone, words: Sequence[str]) -> Tensor:
    embeddings, lengths = _embed(clip, words)
    alive = torch.arange(embeddings.shape[1], device=clip.device) < lengths[:, None]
    return (embeddings * alive[..., None]).sum(1) / lengths[:, None]


def _random(shape: tuple[int, ...], seed: int) -> Tensor:
    return INIT_STD * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
