"""Prompt learning: shared context embeddings plus rank embeddings (CoOp, OrdinalCLIP).

Shapes: M ranks, K' base ranks, R tokens per rank, T tokens per prompt, W text width, D embed_dim.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..clip import ClipBackbone
from ..clip.text import PromptEmbeddings
from ..utils.validation import check_choice

Interpolation = Literal["linear", "inverse", "normal"]
INIT_STD = 0.02  # about the standard deviation of OpenAI's token embeddings
EPS = 1e-5
# Rows of the embedding table that PromptLearner.token_rows indexes.
SOS_ROW, EOS_ROW, SUFFIX_ROW = 0, 1, 2


class RankEmbeddings(nn.Module):
    """Rank token embeddings, initialized from the rank names, fixed or learned.

    Args:
        clip: provides the token embeddings.
        rank_names: M texts (rank names or bin phrases); no two may have the same tokens.
        tune: whether the embeddings are trained.

    Example:
        >>> from ordlib import load_clip
        >>> rank_embeddings = RankEmbeddings(load_clip("pico-clip", "cpu"), ["one", "twenty one"])
        >>> rank_embeddings().shape, rank_embeddings.lengths.tolist()
        (torch.Size([2, 2, 96]), [1, 2])
    """

    def __init__(self, clip: ClipBackbone, rank_names: Sequence[str], tune: bool = True) -> None:
        super().__init__()
        embeddings, lengths = _embed_rank_names(clip, rank_names)
        self.register_buffer("lengths", lengths, persistent=False)  # (M,) tokens of each rank
        self.embeddings = nn.Parameter(embeddings, requires_grad=tune)

    def forward(self) -> Tensor:
        """Return ``(M, R, W)`` embeddings; rank m uses the first ``lengths[m]`` rows."""
        return self.embeddings


class InterpolatedRankEmbeddings(nn.Module):
    """Rank embeddings interpolated from base ranks (OrdinalCLIP, Li et al., 2022).

    Args:
        clip: provides the token embeddings.
        num_ranks: number of ranks M.
        base_rank_names: K' texts, which initialize the base ranks, or None for random ones.
        num_base_ranks: number of base ranks K', 1 to M; ignored with ``base_rank_names``.
        interpolation_type: see :func:`interpolation_weights`.
        num_tokens_per_rank: number of tokens R per rank; a name's mean token embedding initializes
            all of them. None takes all tokens of the names; R is then that of the longest name,
            and shorter ones are padded with the token of id 0, as in the released code.
        seed: random seed of the initialization.

    References:
        Li et al. (2022), OrdinalCLIP, arXiv:2206.02338, section 3.3. As in the released code the
        weights of a rank are normalized, so "linear" with K' = M is not the identity.

    Example:
        >>> from ordlib import load_clip
        >>> InterpolatedRankEmbeddings(load_clip("pico-clip", "cpu"), num_ranks=5)().shape
        torch.Size([5, 1, 96])
    """

    def __init__(
        self,
        clip: ClipBackbone,
        num_ranks: int,
        base_rank_names: Sequence[str] | None = None,
        *,
        num_base_ranks: int = 3,
        interpolation_type: Interpolation = "linear",
        num_tokens_per_rank: int | None = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        count = num_base_ranks if base_rank_names is None else len(base_rank_names)
        if not 1 <= count <= num_ranks:
            raise ValueError(f"num_base_ranks = {count}: must be 1 to num_ranks = {num_ranks}")
        weights = interpolation_weights(num_ranks, count, interpolation_type)
        self.register_buffer("weights", weights.to(clip.device), persistent=False)
        if base_rank_names is None:
            base = _random_embeddings(clip, (count, num_tokens_per_rank or 1), seed)
        elif num_tokens_per_rank is None:
            base = _padded_embeddings(clip, base_rank_names)
        else:
            means = _mean_embeddings(clip, base_rank_names)  # (K', W)
            base = means[:, None].repeat(1, num_tokens_per_rank, 1)
        self.base = nn.Parameter(base)  # (K', R, W)
        lengths = torch.full((num_ranks,), base.shape[1], device=clip.device)
        self.register_buffer("lengths", lengths, persistent=False)

    def forward(self) -> Tensor:
        """Return ``(M, R, W)`` embeddings."""
        return torch.einsum("mk,krw->mrw", self.weights, self.base)


def interpolation_weights(
    num_ranks: int, num_base_ranks: int, interpolation_type: Interpolation = "linear"
) -> Tensor:
    """Interpolation weights of OrdinalCLIP (Li et al., 2022). Derived in notebook 02.

    The K' base ranks are evenly spaced from rank 0 to M - 1. With d the distance in ranks, a
    "linear" weight is 1 - d / (M - 1), an "inverse" one 1 / (d + 1e-5), a "normal" one exp(-d^2);
    the rows of the result, ``(M, K')`` float32, are normalized to a sum of 1.

    Example:
        >>> interpolation_weights(3, 2)
        tensor([[1.0000, 0.0000],
                [0.5000, 0.5000],
                [0.0000, 1.0000]])
    """
    check_choice("interpolation_type", interpolation_type, get_args(Interpolation))
    base_positions = torch.linspace(0, num_ranks - 1, num_base_ranks, dtype=torch.float64)
    distance = (torch.arange(num_ranks)[:, None] - base_positions).abs()  # (M, K')
    if interpolation_type == "normal":
        return (-distance.square()).softmax(1).float()  # exp(-d^2) underflows far from base ranks
    if interpolation_type == "linear":
        weights = 1 - distance / max(num_ranks - 1, 1)
    else:
        weights = 1 / (distance + EPS)
    # A single base rank lies at the first rank, so the linear weight of the last rank would be 0.
    weights = weights.clamp(min=EPS) if num_base_ranks == 1 else weights
    return (weights / weights.sum(1, keepdim=True)).float()


class PromptLearner(nn.Module):
    """Prompt learner of CoOp (Zhou et al., 2022): shared context around the rank embeddings.

    Args:
        clip: the frozen backbone; gradients pass through its text encoder.
        template: template whose only placeholder is ``{rank}``; initializes the context.
        rank_embeddings: `RankEmbeddings` or `InterpolatedRankEmbeddings`.
        n_ctx: number of random context vectors before the rank; None takes the template's tokens.
        tune_context: whether the context is trained.
        suffix: text behind the rank and the template, which is not trained: the releases of
            OrdinalCLIP and NumCLIP have a full stop there.
        rank_specific_context: whether each rank has a context of its own, CoOp's class-specific
            context.
        seed: random seed of the context.

    Raises:
        ValueError: the template lacks ``{rank}`` or has another placeholder; too long a prompt.

    References:
        Zhou et al. (2022), CoOp, arXiv:2109.01134.

    Example:
        >>> from ordlib import load_clip
        >>> clip = load_clip("pico-clip", "cpu")
        >>> PromptLearner(clip, "a photo of {rank} stars", RankEmbeddings(clip, ["1", "2"]))().shape
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
        suffix: str = "",
        rank_specific_context: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.clip, self.rank_embeddings = clip, rank_embeddings
        if n_ctx is not None and n_ctx > clip.context_length:
            raise ValueError(
                f"n_ctx = {n_ctx}: above the context length of {clip.name}, {clip.context_length}"
            )
        start = clip.num_start_tokens
        *texts, end = [
            clip.token_embeddings([text]).embeddings[0, start:-1]
            for text in (*_split_template(template), suffix)
        ]
        # Without a start token, no prompt has the first row.
        sos_eos = clip.token_embeddings([""]).embeddings[0, [0, -1]]
        copies = len(rank_embeddings.lengths) if rank_specific_context else 1
        if n_ctx is None:
            lengths, context = [len(text) for text in texts], torch.cat(texts).repeat(copies, 1)
        else:
            lengths, context = (n_ctx, 0), _random_embeddings(clip, (copies * n_ctx,), seed)
        self.register_buffer("fixed", torch.cat([sos_eos, end]), persistent=False)
        self.suffix_length = len(end)
        self.context = nn.Parameter(context, requires_grad=tune_context)
        token_rows, eos_positions = _token_rows(
            start, *lengths, len(end), rank_embeddings.lengths, rank_specific_context
        )
        last = int(eos_positions.max())
        if last >= clip.context_length:
            raise ValueError(
                f"the prompts take {last + 1} tokens, but the context length of {clip.name} is "
                f"{clip.context_length}: shorten the template or the rank names"
            )
        self.register_buffer("token_rows", token_rows, persistent=False)
        self.register_buffer("eos_positions", eos_positions, persistent=False)
        # Context and rank tokens of the longest prompt: computed once, to avoid device syncs.
        self.context_and_rank_slice = slice(start, last - len(end))

    def _positions(self) -> Tensor:
        return torch.arange(self.token_rows.shape[1], device=self.token_rows.device)

    @property
    def mask(self) -> Tensor:
        """``(M, T)`` bool, True for context and rank tokens."""
        positions = self._positions()
        before_suffix = positions < self.eos_positions[:, None] - self.suffix_length
        return (positions >= self.context_and_rank_slice.start) & before_suffix

    def prompt_embeddings(self) -> PromptEmbeddings:
        """Return the input of the text encoder."""
        parts = (self.fixed, self.context, self.rank_embeddings().flatten(0, 1))
        embeddings = torch.cat([part.float() for part in parts])[self.token_rows]  # (M, T, W)
        attention_mask = self._positions() <= self.eos_positions[:, None]
        return PromptEmbeddings(embeddings, self.eos_positions, attention_mask)

    def forward(self) -> Tensor:
        """Return ``(M, D)`` text features, float32, not normalized."""
        prompts = self.prompt_embeddings()
        return self.clip.encode_text_embeddings(prompts.embeddings, prompts.eos_positions)


def _token_rows(
    num_start: int,
    num_before: int,
    num_after: int,
    num_suffix: int,
    lengths: Tensor,
    rank_specific_context: bool,
) -> tuple[Tensor, Tensor]:
    """Return ``(M, T)`` embedding rows, padded with the end token, and ``(M,)`` end positions."""
    suffix = range(SUFFIX_ROW, SUFFIX_ROW + num_suffix)
    num_context, copies = num_before + num_after, len(lengths) if rank_specific_context else 1
    first_rank, rows = suffix.stop + copies * num_context, []
    first = [SOS_ROW] * num_start
    for rank, length in enumerate(lengths.tolist()):
        start = suffix.stop + (rank * num_context if rank_specific_context else 0)
        before = range(start, start + num_before)
        after = range(before.stop, before.stop + num_after)
        start = first_rank + rank * int(lengths.max())
        rank_rows = range(start, start + length)
        rows.append(torch.tensor([*first, *before, *rank_rows, *after, *suffix, EOS_ROW]))
    token_rows = pad_sequence(rows, batch_first=True, padding_value=EOS_ROW)
    eos_positions = torch.tensor([len(row) - 1 for row in rows])
    return token_rows.to(lengths.device), eos_positions.to(lengths.device)


def _split_template(template: str) -> tuple[str, str]:
    before, placeholder, after = template.partition("{rank}")
    if not placeholder or "{" in before + after:
        raise ValueError(
            f"template = {template!r:.80}: must contain {{rank}} as its only placeholder"
        )
    # The space behind the rank is kept: some tokenizers, such as Gemma's, make it part of a token.
    return before.strip(), after.rstrip()


def _embed_rank_names(clip: ClipBackbone, rank_names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return ``(M, R, W)`` token embeddings and ``(M,)`` numbers of tokens."""
    prompts = [f" {name}" for name in rank_names]  # as inside a sentence
    tokens, start = clip.tokenize(prompts), clip.num_start_tokens
    lengths = tokens.mask.sum(1) - 1 - start
    name_of: dict[tuple, str] = {}
    for name, ids, length in zip(rank_names, tokens.ids.tolist(), lengths.tolist(), strict=True):
        if not length:
            raise ValueError(f"rank name {name!r}: has no tokens; use a non-empty text")
        key = tuple(ids[start : start + length])
        if key in name_of:
            raise ValueError(f"rank names {name_of[key]!r} and {name!r}: same tokens; change one")
        name_of[key] = name
    embeddings = clip.token_embeddings(prompts).embeddings[:, start : start + int(lengths.max())]
    return embeddings.clone(), lengths


def _mean_embeddings(clip: ClipBackbone, rank_names: Sequence[str]) -> Tensor:
    embeddings, lengths = _embed_rank_names(clip, rank_names)
    mask = torch.arange(embeddings.shape[1], device=clip.device) < lengths[:, None]
    return (embeddings * mask[..., None]).sum(1) / lengths[:, None]


def _padded_embeddings(clip: ClipBackbone, rank_names: Sequence[str]) -> Tensor:
    """Return ``(K', R, W)``; behind a name's tokens stands the one of id 0, "!" in CLIP."""
    embeddings, lengths = _embed_rank_names(clip, rank_names)
    padding = clip.text_encoder.token_embedding.weight[0].float()
    mask = torch.arange(embeddings.shape[1], device=clip.device) < lengths[:, None]
    return torch.where(mask[..., None], embeddings, padding)


def _random_embeddings(clip: ClipBackbone, shape: tuple[int, ...], seed: int) -> Tensor:
    noise = torch.randn(*shape, clip.text_width, generator=torch.Generator().manual_seed(seed))
    return (INIT_STD * noise).to(clip.device)
