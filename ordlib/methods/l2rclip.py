"""L2RCLIP (Wang et al., 2023): prompts refined by RankFormer, and an ordinal pairwise loss."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..losses import Pairwise, l2rclip_loss
from ..utils.validation import check_choice
from .base import ranks_of
from .prompt_learner import PromptLearner, RankWords
from .prompted import Prompted, PromptOptions, plain_template

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
    check_choice("attend", attend, get_args(Attend))
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha = {alpha!r}: must be 0 to 1")
    check_choice("positions", positions, (*get_args(Positions), None))


Attention = Literal["ranks", "tokens", "both", "off"]


@dataclass(frozen=True, kw_only=True)
class L2RCLIPOptions(PromptOptions):
    """Options of :class:`L2RCLIP`.

    Attributes:
        attend: what attends to what in RankFormer: "ranks", "tokens", "both"; "off" for none.
        positions: marks of the ranks: "learned", "sinusoidal" or None.
        alpha: RankFormer's share in the prompts at the start, 0 to 1.
        tune_alpha: whether it is trained.
        pairwise: which ordinal pairwise loss: "both" of its parts, "tightness" or "diversity"
            alone, "batch" for the batch-paired form, or "off".
        pairwise_weight: lambda.
        gamma: weight of diversity inside it.
        contrastive_weight: of the contrast, both ways.
        tune_words: whether context and rank words are tuned; where not, RankFormer must be off,
            and prompts stay as CLIP has them (the second stage alone).

    Raises:
        ValueError: an unknown choice, alpha outside 0 to 1, a negative weight, or RankFormer on
            words that are not tuned.
    """

    attend: Attention = "ranks"
    positions: Positions | None = None
    alpha: float = 0.01
    tune_alpha: bool = True
    pairwise: Pairwise = "both"
    pairwise_weight: float = 1.0
    gamma: float = 1.0
    contrastive_weight: float = 1.0
    tune_words: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("attend", self.attend, get_args(Attention))
        attend = "ranks" if self.attend == "off" else self.attend
        check_choices(attend=attend, alpha=self.alpha, positions=self.positions)
        check_choice("pairwise", self.pairwise, get_args(Pairwise))
        for name in ("pairwise_weight", "gamma", "contrastive_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be 0 or more")
        if not self.tune_words and self.attend != "off":
            raise ValueError(
                f"attend = {self.attend!r}: RankFormer is trained with the words; say "
                "attend='off', or tune_words=True"
            )


class L2RCLIP(Prompted):
    """CoOp's prompts, ordered by :class:`~ordlib.RankFormer`, and a pairwise loss.

    Meant for two stages: words on cached features, then the picture tower with the words held;
    ``TrainingPlan(words_first=...)`` says how long the first one is. Either stage alone works:
    ``tower="frozen"``, or ``tower="lora", tune_words=False, attend="off"``.

    Args:
        clip, task: as in :class:`~ordlib.methods.base.Method`.
        options: fields of :class:`L2RCLIPOptions`.

    Source:
        Wang et al. (2023), L2RCLIP, arXiv 2306.13856. The paper's abstract: attention on tokens,
        a residual blend, the pairwise loss. Released code: the losses, two stages. Ours, since
        neither model nor settings were released: the block, its marks, weights of the terms,
        prompts, rates; and the adapter, for equal terms.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = L2RCLIP(load_clip("pico-clip", "cpu"), load_task("counting"))
        >>> model.text_features().shape
        torch.Size([20, 96])
    """

    Options = L2RCLIPOptions

    def _build(self) -> None:
        options = self.options
        self.prompts = PromptLearner(
            self.clip,
            plain_template(self.task, options.template),
            RankWords(self.clip, self.task.words, tune=options.tune_words),
            context=options.context,
            tune_context=options.tune_words,
            seed=options.seed,
        )
        self.rankformer = None
        if options.attend != "off":
            self.rankformer = RankFormer(
                self.task.num_ranks,
                self.clip.word_width,
                attend=options.attend,
                alpha=options.alpha,
                tune_alpha=options.tune_alpha,
                positions=options.positions,
            )
        levels = torch.tensor(self.task.levels, dtype=torch.float32)
        self.register_buffer("levels", levels, persistent=False)

    def text_features(self, alpha: float | None = None) -> Tensor:
        """Return ``(M, D)`` features of the prompts, with gradient to what is tuned.

        Args:
            alpha: RankFormer's share, to look at another than the model's own.
        """
        words, span = self.prompts.words(), self.prompts.span
        embeddings = words.embeddings
        if self.rankformer is not None:
            inner = embeddings[:, span], self.prompts.mask[:, span]
            blended = self.rankformer(*inner, alpha)
            embeddings = torch.cat([embeddings[:, :1], blended, embeddings[:, span.stop :]], 1)
        return self.clip.text_features_from(embeddings, words.end_positions)

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return the total of :func:`~ordlib.losses.l2rclip_loss`; as in `Method.loss`."""
        options = self.options
        return l2rclip_loss(
            features,
            self.text_features(),
            ranks_of(self.task, values),
            values,
            self.levels,
            scale=self.clip.logit_scale,
            pairwise=options.pairwise,
            pairwise_weight=options.pairwise_weight,
            gamma=options.gamma,
            contrastive_weight=options.contrastive_weight,
        )

    def after_step(self) -> None:
        """Keep alpha in 0 to 1."""
        if self.rankformer is not None:
            self.rankformer.clamp_alpha()
