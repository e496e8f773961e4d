"""L2RCLIP: RankFormer prompts and the ordinal pairwise loss."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..losses import PairwiseLoss, l2rclip_loss
from ..utils.validation import check_choice
from .base import rank_targets
from .prompt_learner import RankEmbeddings
from .prompt_method import PromptConfig, PromptMethod
from .recipe import Recipe

AttentionAxis = Literal["ranks", "tokens", "both"]
BlockForm = Literal["pre_norm", "normalized", "layer_scale", "no_residual"]
PosEmbed = Literal["learned", "sinusoidal"]
MAX_HEADS = 8
INIT_STD = 0.02
MAX_PERIOD = 10_000.0
LAYER_SCALE_INIT = 0.1


class RankFormer(nn.Module):
    """RankFormer of L2RCLIP (Wang et al., 2023): self-attention over prompt token embeddings.

    ``R' = (1 - alpha) R + alpha F(R)``, where F is a transformer block (two for "both"). Positions
    outside the mask are neither changed nor attended to. Derived in notebook 03.

    Args:
        num_ranks: number of ranks M, at least 2.
        width: width W of the token embeddings.
        attention_over: "ranks": each token position attends across the prompts of all ranks;
            "tokens": each prompt attends within itself, so no information passes between ranks;
            "both": ranks, then tokens.
        block_form: F. "pre_norm": a pre-norm transformer block, whose output is not bounded;
            "normalized": the same, each token then scaled to the norm of its token in R, so that
            alpha is its share; "layer_scale": each residual branch times a learned vector (0.1 at
            first); "no_residual": the feed-forward network of what attention found.
        alpha: initial value of the scalar parameter ``alpha``, 0 to 1.
        tune_alpha: whether to train it; see :meth:`clamp_alpha`.
        rank_pos_embed: "learned", "sinusoidal" or None: positional embedding of the ranks, added to
            the attention input. With None, attention over ranks is permutation equivariant.

    Raises:
        ValueError: fewer than two ranks, alpha outside 0 to 1, or an unknown choice.

    References:
        Wang et al. (2023), Learning-to-rank meets language (L2RCLIP), arXiv:2306.13856: token-level
        attention and a residual blend in the space of token embeddings (abstract). The authors
        released no model code. "no_residual" over "tokens": as in an independent implementation,
        github.com/sunnylei928/L2RCLIP. "layer_scale": Touvron et al. (2021), Going deeper with
        image transformers, arXiv:2103.17239. Ours: "pre_norm" as a reading of the abstract,
        "normalized", the attention over ranks, the positional embeddings.

    Example:
        >>> rankformer = RankFormer(num_ranks=3, width=16, alpha=0.0)
        >>> prompts, mask = torch.randn(3, 5, 16), torch.ones(3, 5, dtype=torch.bool)
        >>> torch.equal(rankformer(prompts, mask), prompts)
        True
    """

    def __init__(
        self,
        num_ranks: int,
        width: int,
        *,
        attention_over: AttentionAxis = "ranks",
        block_form: BlockForm = "pre_norm",
        alpha: float = 0.01,
        tune_alpha: bool = True,
        rank_pos_embed: PosEmbed | None = None,
    ) -> None:
        super().__init__()
        check_choice("attention_over", attention_over, get_args(AttentionAxis))
        _check_rankformer_options(block_form, alpha, rank_pos_embed)
        if num_ranks < 2:
            raise ValueError(f"num_ranks = {num_ranks}: must be 2 or more")
        self.block_form = block_form
        axes = ("ranks", "tokens") if attention_over == "both" else (attention_over,)
        self.blocks = nn.ModuleDict({axis: _Block(width, block_form) for axis in axes})
        self.alpha = nn.Parameter(torch.tensor(float(alpha)), requires_grad=tune_alpha)
        if rank_pos_embed == "learned":
            self.pos_embed = nn.Parameter(INIT_STD * torch.randn(num_ranks, width))
        else:
            pos_embed = sinusoidal_pos_embed(num_ranks, width) if rank_pos_embed else None
            self.register_buffer("pos_embed", pos_embed, persistent=False)

    def forward(self, prompts: Tensor, mask: Tensor, alpha: float | None = None) -> Tensor:
        """Return the blended token embeddings R'.

        Args:
            prompts: ``(M, L, W)`` token embeddings R, without CLIP's positional embedding.
            mask: ``(M, L)`` bool, True for the context and rank tokens, which are blended.
            alpha: overrides the parameter.

        Returns:
            ``(M, L, W)``; equal to ``prompts`` where the mask is False.
        """
        alpha = self.alpha if alpha is None else alpha
        blended = (1 - alpha) * prompts + alpha * self.transform(prompts, mask)
        return torch.where(mask[..., None], blended, prompts)

    def transform(self, prompts: Tensor, mask: Tensor) -> Tensor:
        """Apply the attention blocks F: return ``(M, L, W)``, undefined where the mask is False."""
        x, pos_embed = prompts, self.pos_embed  # (M, L, W), (M, W)
        for axis, block in self.blocks.items():
            if axis == "ranks":  # L sequences of M tokens
                x = block(x.transpose(0, 1), mask.T, pos_embed).transpose(0, 1)
            else:  # M sequences of L tokens
                x = block(x, mask, None if pos_embed is None else pos_embed[:, None])
        if self.block_form == "normalized":
            x = F.normalize(x, dim=-1) * prompts.norm(dim=-1, keepdim=True)
        return x

    @torch.no_grad()
    def clamp_alpha(self) -> None:
        """Clamp alpha to 0-1; to be called after each optimizer step."""
        self.alpha.clamp_(0, 1)


class _Block(nn.Module):
    """Transformer block with a positional embedding added to the attention input."""

    def __init__(self, width: int, form: BlockForm) -> None:
        super().__init__()
        self.form = form
        num_heads = max(n for n in range(1, MAX_HEADS + 1) if width % n == 0)
        num_norms = 1 if form == "no_residual" else 2
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(num_norms)])
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        if form == "layer_scale":
            self.scales = nn.Parameter(torch.full((2, width), LAYER_SCALE_INIT))

    def forward(self, x: Tensor, mask: Tensor, pos_embed: Tensor | None) -> Tensor:
        """Apply the block to ``(N, S, W)`` x, with self-attention along S.

        ``mask`` is ``(N, S)`` bool, True where attended to; ``pos_embed`` broadcasts to x.
        """
        qkv = self.norms[0](x)  # (N, S, W)
        if pos_embed is not None:
            qkv = qkv + pos_embed
        # A row without any valid key would give NaN; let it attend to all: its output is discarded.
        key_padding_mask = ~mask & mask.any(1, keepdim=True)  # (N, S), True where ignored
        attended, _ = self.attention(
            qkv, qkv, qkv, key_padding_mask=key_padding_mask, need_weights=False
        )
        if self.form == "no_residual":
            return self.feed_forward(attended)
        if self.form == "layer_scale":
            x = x + self.scales[0] * attended
            return x + self.scales[1] * self.feed_forward(self.norms[1](x))
        x = x + attended
        return x + self.feed_forward(self.norms[1](x))


def sinusoidal_pos_embed(num_positions: int, width: int) -> Tensor:
    """Sinusoidal positional embedding (Vaswani et al., 2017), ``(num_positions, width)`` float32.

    All sines, then all cosines; in the paper they alternate.

    References:
        Vaswani et al. (2017), Attention is all you need, arXiv:1706.03762, section 3.5.

    Example:
        >>> sinusoidal_pos_embed(2, 4).round(decimals=2)
        tensor([[0.0000, 0.0000, 1.0000, 1.0000],
                [0.8400, 0.0100, 0.5400, 1.0000]])
    """
    half = (width + 1) // 2
    frequencies = MAX_PERIOD ** -(torch.arange(half) / half)
    angles = torch.arange(num_positions)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)[:, :width]


def _check_rankformer_options(block_form: str, alpha: float, rank_pos_embed: str | None) -> None:
    check_choice("block_form", block_form, get_args(BlockForm))
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha = {alpha!r}: must be between 0 and 1")
    check_choice("rank_pos_embed", rank_pos_embed, (*get_args(PosEmbed), None))


@dataclass(frozen=True, kw_only=True)
class L2RCLIPConfig(PromptConfig):
    """Options of :class:`L2RCLIP`.

    Attributes:
        attention_over, block_form, rank_pos_embed, alpha, tune_alpha: as in :class:`RankFormer`;
            ``attention_over="off"``: no RankFormer.
        pairwise_loss: "both" (tightness and diversity), "tightness", "diversity", "batch" (between
            the images of a batch) or "off"; see :func:`~ordlib.losses.l2rclip_loss`.
        pairwise_weight, gamma, contrastive_weight: weights of the pairwise loss, of diversity in
            it, and of the contrastive loss.
        tune_prompts: whether to train context and rank embeddings. False trains only the image
            encoder and CLIP-Adapter, with the template's prompts, and requires
            ``attention_over="off"``; ``prompt_epochs`` does not need it.

    Raises:
        ValueError: an unknown choice, alpha outside 0 to 1, a negative weight, or RankFormer with
            ``tune_prompts=False``.
    """

    attention_over: Literal[AttentionAxis, "off"] = "ranks"
    block_form: BlockForm = "pre_norm"
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
        _check_rankformer_options(self.block_form, self.alpha, self.rank_pos_embed)
        for name in ("pairwise_weight", "gamma", "contrastive_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be 0 or more")
        if not self.tune_prompts and self.attention_over != "off":
            raise ValueError(
                "tune_prompts=False cannot be combined with RankFormer (attention_over="
                f"{self.attention_over!r}); set attention_over='off' or tune_prompts=True"
            )


class L2RCLIP(PromptMethod):
    """L2RCLIP: prompts refined by :class:`RankFormer`, ordinal pairwise loss (Wang et al., 2023).

    ``loss = CE + contrastive_weight * SupCon + pairwise_weight * L_pair``, where SupCon is the
    supervised contrastive loss between image and text features, in both directions.

    Two training stages: prompts and CLIP-Adapter on cached image features, then image encoder and
    CLIP-Adapter with frozen prompts; ``TrainingConfig(prompt_epochs=...)`` sets the length of the
    first. For the first stage alone, use ``image_encoder="frozen"``; for the second alone, with the
    prompts of the template, ``image_encoder="lora", tune_prompts=False, attention_over="off"``.
    Derived in notebook 03.

    Args:
        clip, task: as in :class:`~ordlib.methods.base.OrdinalMethod`.
        options: fields of :class:`L2RCLIPConfig`.

    References:
        Wang et al. (2023), L2RCLIP, arXiv:2306.13856: token-level attention, residual blend,
        pairwise loss (abstract). Released code: the losses and the two stages; it contains neither
        the model nor its hyperparameters. Ours: the transformer block, the weights of the loss
        terms, the prompts, the learning rates, and CLIP-Adapter, for a fair comparison.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = L2RCLIP(load_clip("pico-clip", "cpu"), load_task("counting"))
        >>> model.text_features().shape
        torch.Size([20, 96])
    """

    Config = L2RCLIPConfig

    def _build(self) -> None:
        options = self.options
        ranks = RankEmbeddings(self.clip, self.task.rank_names, tune=options.tune_prompts)
        self._build_prompts(ranks, tune_context=options.tune_prompts)
        self.rankformer = None
        if options.attention_over != "off":
            self.rankformer = RankFormer(
                self.task.num_ranks,
                self.clip.text_width,
                attention_over=options.attention_over,
                block_form=options.block_form,
                alpha=options.alpha,
                tune_alpha=options.tune_alpha,
                rank_pos_embed=options.rank_pos_embed,
            )
        rank_values = torch.tensor(self.task.rank_values, dtype=torch.float32)
        self.register_buffer("rank_values", rank_values, persistent=False)

    def text_features(self, alpha: float | None = None) -> Tensor:
        """Return ``(M, D)`` text features of the prompts.

        Differentiable with respect to the trainable parameters. ``alpha`` overrides RankFormer's.
        """
        prompts = self.prompt_learner.prompt_embeddings()
        x = prompts.embeddings  # (M, T, W)
        if self.rankformer is not None:
            span = self.prompt_learner.context_and_rank_slice
            blended = self.rankformer(x[:, span], self.prompt_learner.mask[:, span], alpha)
            x = torch.cat([x[:, : span.start], blended, x[:, span.stop :]], 1)
        return self.encode_prompts(x, prompts.eos_positions)

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return :func:`~ordlib.losses.l2rclip_loss`; arguments as in `OrdinalMethod.loss`."""
        options = self.options
        return l2rclip_loss(
            features,
            self.text_features(),
            rank_targets(self.task, values),
            values,
            self.rank_values,
            logit_scale=self.logit_scale,
            pairwise_loss=options.pairwise_loss,
            pairwise_weight=options.pairwise_weight,
            gamma=options.gamma,
            contrastive_weight=options.contrastive_weight,
        )

    def on_after_step(self) -> None:
        """Clamp alpha to 0-1."""
        if self.rankformer is not None:
            self.rankformer.clamp_alpha()


def released_config(dataset: str = "morph") -> Recipe:
    """Return what is released of L2RCLIP's recipe, for a data set of its lists.

    References:
        Wang et al. (2023), arXiv:2306.13856, and the released code, raywang335/L2RCLIP, which
        lacks the model and all its settings.

    Example:
        >>> released_config().options["gamma"], len(released_config().unknown)
        (1.0, 3)
    """
    check_choice("dataset", dataset, ("morph", "hci", "adience", "clap2015", "aesthetics"))
    loader = "datasets/make_dataloader_clipreid.py"
    return Recipe(
        method="L2RCLIP",
        options={"image_encoder": "full", "pairwise_loss": "both", "gamma": 1.0},
        training={"flip": True},
        resize="squash",
        sources={
            "image_encoder": "solver/make_optimizer_prompt.py",
            **dict.fromkeys(("pairwise_loss", "gamma"), "loss/ordinal_ce.py"),
            **dict.fromkeys(("flip", "resize"), loader),
        },
        unknown=(
            "the model: RankFormer, prompts, backbone",
            "the weights of the loss terms",
            "optimizer (SGD, Adam or AdamW), rates, schedule, batch size and epochs of both stages",
        ),
        differences=(
            'another pairwise loss in the first stage, here pairwise_loss="batch"; a model has one',
            "biases of the image encoder may have a rate of their own",
        ),
    )
