"""L2RCLIP: prompts that look at each other, and a loss that pulls and pushes by rank."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ..losses import Pairwise, l2rclip_loss
from ..prompts import PromptLearner, RankWords
from ..rankformer import Positions, RankFormer, check_choices
from .prompted import Prompted, PromptOptions, plain_template
from .ranks import ranks_of

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
        if self.attend not in get_args(Attention):
            known = ", ".join(get_args(Attention))
            raise ValueError(f"attend = {self.attend!r}: must be one of {known}")
        attend = "ranks" if self.attend == "off" else self.attend
        check_choices(attend=attend, alpha=self.alpha, positions=self.positions)
        if self.pairwise not in get_args(Pairwise):
            known = ", ".join(get_args(Pairwise))
            raise ValueError(f"pairwise = {self.pairwise!r}: must be one of {known}")
        for name in ("pairwise_weight", "gamma", "contrastive_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be 0 or more")
        if not self.tune_words and self.attend != "off":
            raise ValueError(
                f"attend = {self.attend!r}: RankFormer is trained with the words; say "
                "attend='off', or tune_words=True"
            )


class L2RCLIP(Prompted):
    """CoOp's prompts, ordered by :class:`~ordlib.rankformer.RankFormer`, and a pairwise loss.

    Meant for two stages: words on cached features, then the picture tower with the words held;
    ``TrainingPlan(words_first=...)`` says how long the first one is. Either stage alone works:
    ``tower="frozen"``, or ``tower="lora", tune_words=False, attend="off"``.

    Args:
        clip, task: as in :class:`~ordlib.models.method.Method`.
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
