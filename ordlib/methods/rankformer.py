"""RankFormer: the prompts of all ranks look at each other before the text tower reads them."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

Attend = Literal["ranks", "tokens", "both"]
Positions = Literal["learned", "sinusoidal"]
HEADS = 8
# Learned positions start about as small as those of transformers do.
SPREAD = 0.02
LONGEST_WAVE = 10_000.0


class RankFormer(nn.Module):
    """Blend each prompt's word embeddings with what attention makes of them.

    ``R' = (1 - alpha) R + alpha F(R)``, F being one transformer block (two for "both"). Only
    positions alive are blended, and only they are attended to.

    Args:
        num_ranks: M, 2 or more.
        width: W, of the word embeddings.
        attend: "ranks": at each position the prompts of all ranks attend to each other, the only
            way in which ranks learn of each other; "tokens": inside each prompt; "both": ranks,
            then tokens.
        alpha: share of F at the start, 0 to 1.
        tune_alpha: whether to train it; see :meth:`clamp_alpha`.
        positions: "learned" or "sinusoidal" marks of the ranks, added inside F; None for no
            marks. Without them attention over ranks does not know their order: permute the
            prompts, and the results are permuted alike.

    Attributes:
        alpha: the share, a scalar parameter.

    Raises:
        ValueError: fewer than two ranks, alpha outside 0 to 1, or an unknown choice.

    Source:
        Wang et al. (2023), L2RCLIP, arXiv 2306.13856: the abstract names token-level attention and
        a residual-style blend in the space of word embeddings. No code was released. Everything
        else, the block, what attends to what, the marks, is our reading.

    Example:
        >>> former = RankFormer(num_ranks=3, width=16, alpha=0.0)
        >>> prompts, live = torch.randn(3, 5, 16), torch.ones(3, 5, dtype=torch.bool)
        >>> torch.equal(former(prompts, live), prompts)
        True
    """

    def __init__(
        self,
        num_ranks: int,
        width: int,
        *,
        attend: Attend = "ranks",
        alpha: float = 0.01,
        tune_alpha: bool = True,
        positions: Positions | None = None,
    ) -> None:
        super().__init__()
        check_choices(attend=attend, alpha=alpha, positions=positions)
        if num_ranks < 2:
            raise ValueError(f"num_ranks = {num_ranks}: must be 2 or more")
        self.attend = attend
        over = ("ranks", "tokens") if attend == "both" else (attend,)
        self.blocks = nn.ModuleDict({name: _Block(width) for name in over})
        self.alpha = nn.Parameter(torch.tensor(float(alpha)), requires_grad=tune_alpha)
        if positions == "learned":
            self.positions = nn.Parameter(SPREAD * torch.randn(num_ranks, width))
        else:
            waves = sinusoids(num_ranks, width) if positions else None
            self.register_buffer("positions", waves, persistent=False)

    def forward(self, prompts: Tensor, live: Tensor, alpha: float | None = None) -> Tensor:
        """Return blended prompts.

        Args:
            prompts: ``(M, L, W)`` word embeddings, before CLIP adds its positions.
            live: ``(M, L)`` bool, the positions to blend: context and rank words.
            alpha: share of F, to look at another than the module's own.

        Returns:
            ``(M, L, W)``; equal to the prompts where not alive.
        """
        share = self.alpha if alpha is None else alpha
        blended = (1 - share) * prompts + share * self.transformed(prompts, live)
        return torch.where(live[..., None], blended, prompts)

    def transformed(self, prompts: Tensor, live: Tensor) -> Tensor:
        """Return ``F(R)``, ``(M, L, W)``; what stands where nothing is alive has no meaning."""
        marks = None if self.positions is None else self.positions[:, None]
        hidden = prompts
        for over, block in self.blocks.items():
            if over == "tokens":
                hidden = block(hidden, live, marks)
            else:
                turned = None if marks is None else marks.transpose(0, 1)
                hidden = block(hidden.transpose(0, 1), live.T, turned).transpose(0, 1)
        return hidden

    @torch.no_grad()
    def clamp_alpha(self) -> None:
        """Bring alpha back to 0 to 1; to be called after each step of training."""
        self.alpha.clamp_(0, 1)


class _Block(nn.Module):
    """A pre-norm transformer block; marks are added to what attention looks at."""

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = max(n for n in range(1, HEADS + 1) if width % n == 0)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, hidden: Tensor, live: Tensor, marks: Tensor | None) -> Tensor:
        """Return ``(N, S, W)`` of as much, each row of N attending along S to what is alive."""
        seen = self.norms[0](hidden)
        if marks is not None:
            seen = seen + marks
        # A row with nothing alive would divide by 0; its results are thrown away.
        hide = ~live & live.any(1, keepdim=True)
        looked, _ = self.attention(seen, seen, seen, key_padding_mask=hide, need_weights=False)
        hidden = hidden + looked
        return hidden + self.feed_forward(self.norms[1](hidden))


def sinusoids(count: int, width: int) -> Tensor:
    """Return the classic marks of places: sines and cosines, from quick waves to slow ones.

    Args:
        count: places.
        width: W.

    Returns:
        ``(count, W)`` float32, -1 to 1: sines first, then cosines.

    Source:
        Vaswani et al. (2017), Attention is all you need, arXiv 1706.03762, section 3.5.

    Example:
        >>> sinusoids(2, 4).round(decimals=2)
        tensor([[0.0000, 0.0000, 1.0000, 1.0000],
                [0.8400, 0.0100, 0.5400, 1.0000]])
    """
    half = (width + 1) // 2
    waves = LONGEST_WAVE ** -(torch.arange(half) / half)
    angles = torch.arange(count)[:, None] * waves
    return torch.cat([angles.sin(), angles.cos()], 1)[:, :width]


def check_choices(*, attend: str, alpha: float, positions: str | None) -> None:
    """Complain of a choice that :class:`RankFormer` does not know.

    Raises:
        ValueError: names the choice, its value and what it must be.

    Example:
        >>> check_choices(attend="ranks", alpha=2.0, positions=None)
        Traceback (most recent call last):
        ValueError: alpha = 2.0: must be 0 to 1
    """
    if attend not in get_args(Attend):
        raise ValueError(f"attend = {attend!r}: must be one of {', '.join(get_args(Attend))}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha = {alpha!r}: must be 0 to 1")
    if positions not in (None, *get_args(Positions)):
        known = ", ".join(get_args(Positions))
        raise ValueError(f"positions = {positions!r}: must be one of {known}, or None")
