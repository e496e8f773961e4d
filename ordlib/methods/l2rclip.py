"""L2RCLIP (Wang et al., 2023): prompts refined by RankFormer, and an ordinal pairwise loss."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..losses import PairwiseLoss, l2rclip_loss
from ..utils.validation import check_choice
from .base import rank_targets
from .prompt_learner import PromptLearner, RankEmbeddings
from .prompt_method import PromptConfig, PromptMethod, class_agnostic_template

AttentionAxis = Literal["ranks", "tokens", "both"]
PosEmbed = Literal["learned", "sinusoidal"]
HEADS = 8
# Learned positions start about as small as those of transformers do.
INIT_STD = 0.02
MAX_PERIOD = 10_000.0


class RankFormer(nn.Module):
    """Blend each prompt's word embeddings with what attention makes of them.

    ``R' = (1 - alpha) R + alpha F(R)``, F being one transformer block (two for "both"). Only
    positions alive are blended, and only they are attended to.

    Args:
        num_ranks: M, 2 or more.
        width: W, of the word embeddings.
        attention_over: "ranks": at each position the prompts of all ranks attend to each other, the only
            way in which ranks learn of each other; "tokens": inside each prompt; "both": ranks,
            then tokens.
        alpha: share of F at the start, 0 to 1.
        tune_alpha: whether to train it; see :meth:`clamp_alpha`.
        rank_pos_embed: "learned" or "sinusoidal" pos_embed of the ranks, added inside F; None for no
            pos_embed. Without them attention over ranks does not know their order: permute the
            prompts, and the results are permuted alike.

    Attributes:
        alpha: the share, a scalar parameter.

    Raises:
        ValueError: fewer than two ranks, alpha outside 0 to 1, or an unknown choice.

    Source:
        Wang et al. (2023), L2RCLIP, arXiv 2306.13856: the abstract names token-level attention and
        a residual-style blend in the space of word embeddings. No code was released. Everything
        else, the block, what attends to what, the pos_embed, is our reading.

    Example:
        >>> former = RankFormer(num_ranks=3, width=16, alpha=0.0)
        >>> prompts, mask = torch.randn(3, 5, 16), torch.ones(3, 5, dtype=torch.bool)
        >>> torch.equal(former(prompts, mask), prompts)
        True
    """

    def __init__(
        self,
        num_ranks: int,
        width: int,
        *,
        attention_over: AttentionAxis = "ranks",
        alpha: float = 0.01,
        tune_alpha: bool = True,
        rank_pos_embed: PosEmbed | None = None,
    ) -> None:
        super().__init__()
        _validate(attention_over=attention_over, alpha=alpha, rank_pos_embed=rank_pos_embed)
        if num_ranks < 2:
            raise ValueError(f"num_ranks = {num_ranks}: must be 2 or more")
        self.attention_over = attention_over
        over = ("ranks", "tokens") if attention_over == "both" else (attention_over,)
        self.blocks = nn.ModuleDict({name: _Block(width) for name in over})
        self.alpha = nn.Parameter(torch.tensor(float(alpha)), requires_grad=tune_alpha)
        if rank_pos_embed == "learned":
            self.pos_embed = nn.Parameter(INIT_STD * torch.randn(num_ranks, width))
        else:
            waves = sinusoidal_pos_embed(num_ranks, width) if rank_pos_embed else None
            self.register_buffer("pos_embed", waves, persistent=False)

    def forward(self, prompts: Tensor, mask: Tensor, alpha: float | None = None) -> Tensor:
        """Return blended prompts.

        Args:
            prompts: ``(M, L, W)`` word embeddings, before CLIP adds its positions.
            mask: ``(M, L)`` bool, the positions to blend: context and rank words.
            alpha: share of F, to look at another than the module's own.

        Returns:
            ``(M, L, W)``; equal to the prompts where not alive.
        """
        share = self.alpha if alpha is None else alpha
        blended = (1 - share) * prompts + share * self.transform(prompts, mask)
        return torch.where(mask[..., None], blended, prompts)

    def transform(self, prompts: Tensor, mask: Tensor) -> Tensor:
        """Return ``F(R)``, ``(M, L, W)``; what stands where nothing is alive has no meaning."""
        pos_embed = None if self.pos_embed is None else self.pos_embed[:, None]
        hidden = prompts
        for over, block in self.blocks.items():
            if over == "tokens":
                hidden = block(hidden, mask, pos_embed)
            else:
                turned = None if pos_embed is None else pos_embed.transpose(0, 1)
                hidden = block(hidden.transpose(0, 1), mask.T, turned).transpose(0, 1)
        return hidden

    @torch.no_grad()
    def clamp_alpha(self) -> None:
        """Bring alpha back to 0 to 1; to be called after each step of training."""
        self.alpha.clamp_(0, 1)


class _Block(nn.Module):
    """A pre-norm transformer block; pos_embed are added to what attention looks at."""

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = max(n for n in range(1, HEADS + 1) if width % n == 0)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, hidden: Tensor, mask: Tensor, pos_embed: Tensor | None) -> Tensor:
        """Return ``(N, S, W)`` of as much, each row of N attending along S to what is alive."""
        seen = self.norms[0](hidden)
        if pos_embed is not None:
            seen = seen + pos_embed
        # A row with nothing alive would divide by 0; its results are thrown away.
        hide = ~mask & mask.any(1, keepdim=True)
        looked, _ = self.attention(seen, seen, seen, key_padding_mask=hide, need_weights=False)
        hidden = hidden + looked
        return hidden + self.feed_forward(self.norms[1](hidden))


def sinusoidal_pos_embed(count: int, width: int) -> Tensor:
    """Return the classic pos_embed of places: sines and cosines, from quick waves to slow ones.

    Args:
        count: places.
        width: W.

    Returns:
        ``(count, W)`` float32, -1 to 1: sines first, then cosines.

    Source:
        Vaswani et al. (2017), Attention is all you need, arXiv 1706.03762, section 3.5.

    Example:
        >>> sinusoidal_pos_embed(2, 4).round(decimals=2)
        tensor([[0.0000, 0.0000, 1.0000, 1.0000],
                [0.8400, 0.0100, 0.5400, 1.0000]])
    """
    half = (width + 1) // 2
    waves = MAX_PERIOD ** -(torch.arange(half) / half)
    angles = torch.arange(count)[:, None] * waves
    return torch.cat([angles.sin(), angles.cos()], 1)[:, :width]


def _validate(*, attention_over: str, alpha: float, rank_pos_embed: str | None) -> None:
    """Complain of a choice that :class:`RankFormer` does not know.

    Raises:
        ValueError: names the choice, its value and what it must be.

    Example:
        >>> _validate(attention_over="ranks", alpha=2.0, rank_pos_embed=None)
        Traceback (most recent call last):
        ValueError: alpha = 2.0: must be 0 to 1
    """
    check_choice("attention_over", attention_over, get_args(AttentionAxis))
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha = {alpha!r}: must be 0 to 1")
    check_choice("rank_pos_embed", rank_pos_embed, (*get_args(PosEmbed), None))


AttentionOver = Literal["ranks", "tokens", "both", "off"]


@dataclass(frozen=True, kw_only=True)
class L2RCLIPConfig(PromptConfig):
    """Options of :class:`L2RCLIP`.

    Attributes:
        attention_over: what attends to what in RankFormer: "ranks", "tokens", "both"; "off" for none.
        rank_pos_embed: pos_embed of the ranks: "learned", "sinusoidal" or None.
        alpha: RankFormer's share in the prompts at the start, 0 to 1.
        tune_alpha: whether it is trained.
        pairwise_loss: which ordinal pairwise loss: "both" of its parts, "tightness" or "diversity"
            alone, "batch" for the batch-paired form, or "off".
        pairwise_weight: lambda.
        gamma: weight of diversity inside it.
        contrastive_weight: of the contrast, both ways.
        tune_prompts: whether context and rank words are tuned; where not, RankFormer must be off,
            and prompts stay as CLIP has them (the second stage alone).

    Raises:
        ValueError: an unknown choice, alpha outside 0 to 1, a negative weight, or RankFormer on
            words that are not tuned.
    """

    attention_over: AttentionOver = "ranks"
    rank_pos_embed: PosEmbed | None = None
    alpha: float = 0.01
    tune_alpha: bool = True
    pairwise_loss: PairwiseLoss = "both"
    pairwise_weight: float = 1.0
    gamma: float = 1.0
    contrastive_weight: float = 1.0
    tune_prompts: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("attention_over", self.attention_over, get_args(AttentionOver))
        attention_over = "ranks" if self.attention_over == "off" else self.attention_over
        _validate(
            attention_over=attention_over, alpha=self.alpha, rank_pos_embed=self.rank_pos_embed
        )
        check_choice("pairwise_loss", self.pairwise_loss, get_args(PairwiseLoss))
        for name in ("pairwise_weight", "gamma", "contrastive_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be 0 or more")
        if not self.tune_prompts and self.attention_over != "off":
            raise ValueError(
                f"attention_over = {self.attention_over!r}: RankFormer is trained with the words; say "
                "attention_over='off', or tune_prompts=True"
            )


class L2RCLIP(PromptMethod):
    """CoOp's prompts, ordered by :class:`~ordlib.RankFormer`, and a pairwise loss.

    Meant for two stages: words on cached features, then the picture tower with the words held;
    ``TrainingConfig(prompt_epochs=...)`` says how long the first one is. Either stage alone works:
    ``image_encoder="frozen"``, or ``image_encoder="lora", tune_prompts=False, attention_over="off"``.

    Args:
        clip, task: as in :class:`~ordlib.methods.base.OrdinalMethod`.
        options: fields of :class:`L2RCLIPConfig`.

    Source:
        Wang et al. (2023), L2RCLIP, arXiv 2306.13856. The paper's abstract: attention on tokens,
        a residual blend, the pairwise loss. Released code: the losses, two stages. Ours, since
        neither model nor settings were released: the block, its pos_embed, weights of the terms,
        prompts, rates; and the adapter, for equal terms.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = L2RCLIP(load_clip("pico-clip", "cpu"), load_task("counting"))
        >>> model.text_features().shape
        torch.Size([20, 96])
    """

    Config = L2RCLIPConfig

    def _build(self) -> None:
        options = self.options
        self.prompt_learner = PromptLearner(
            self.clip,
            class_agnostic_template(self.task, options.template),
            RankEmbeddings(self.clip, self.task.rank_names, tune=options.tune_prompts),
            n_ctx=options.n_ctx,
            tune_context=options.tune_prompts,
            seed=options.seed,
        )
        self.rankformer = None
        if options.attention_over != "off":
            self.rankformer = RankFormer(
                self.task.num_ranks,
                self.clip.text_width,
                attention_over=options.attention_over,
                alpha=options.alpha,
                tune_alpha=options.tune_alpha,
                rank_pos_embed=options.rank_pos_embed,
            )
        rank_values = torch.tensor(self.task.rank_values, dtype=torch.float32)
        self.register_buffer("rank_values", rank_values, persistent=False)

    def text_features(self, alpha: float | None = None) -> Tensor:
        """Return ``(M, D)`` features of the prompts, with gradient to what is tuned.

        Args:
            alpha: RankFormer's share, to look at another than the model's own.
        """
        words, span = (
            self.prompt_learner.prompt_embeddings(),
            self.prompt_learner.context_and_rank_slice,
        )
        embeddings = words.embeddings
        if self.rankformer is not None:
            inner = embeddings[:, span], self.prompt_learner.mask[:, span]
            blended = self.rankformer(*inner, alpha)
            embeddings = torch.cat([embeddings[:, :1], blended, embeddings[:, span.stop :]], 1)
        return self.clip.encode_text_embeddings(embeddings, words.eos_positions)

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return the total of :func:`~ordlib.losses.l2rclip_loss`; as in `OrdinalMethod.loss`."""
        options = self.options
        return l2rclip_loss(
            features,
            self.text_features(),
            rank_targets(self.task, values),
            values,
            self.rank_values,
            scale=self.clip.logit_scale,
            pairwise_loss=options.pairwise_loss,
            pairwise_weight=options.pairwise_weight,
            gamma=options.gamma,
            contrastive_weight=options.contrastive_weight,
        )

    def on_after_step(self) -> None:
        """Keep alpha in 0 to 1."""
        if self.rankformer is not None:
            self.rankformer.clamp_alpha()
