"""OrdinalCLIP: a few base ranks are learned, and the others stand between them."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..losses import text_to_image_kl
from .base import rank_targets
from .prompt_learner import InterpolatedRankEmbeddings, Interpolation, PromptLearner
from .prompt_method import PromptConfig, PromptMethod, class_agnostic_template


@dataclass(frozen=True, kw_only=True)
class OrdinalCLIPConfig(PromptConfig):
    """Options of :class:`OrdinalCLIP`.

    Attributes:
        num_base_ranks: K', 1 to M.
        interpolation_type: "linear" or "inverse".
        init_from_words: whether base ranks start from the words of the ranks they stand at, each the
            mean of its tokens; else from random vectors.

    Raises:
        ValueError: no base ranks.
    """

    num_base_ranks: int = 3
    interpolation_type: Interpolation = "linear"
    init_from_words: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_base_ranks < 1:
            raise ValueError(f"num_base_ranks = {self.num_base_ranks}: must be 1 or more")


class OrdinalCLIP(PromptMethod):
    """Learned context and base ranks; cross-entropy, and every rank finds its pictures.

    Args:
        clip, task: as in :class:`~ordlib.methods.base.OrdinalMethod`.
        options: fields of :class:`OrdinalCLIPConfig`.

    Raises:
        ValueError: more base ranks than ranks, or none.

    Source:
        Li et al. (2022), OrdinalCLIP, arXiv 2206.02338, and the released code, for the loss and
        the rows of weights. The adapter is ours, for equal terms.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = OrdinalCLIP(load_clip("pico-clip", "cpu"), load_task("ageing"), num_base_ranks=5)
        >>> model.text_features().shape
        torch.Size([90, 96])
    """

    Config = OrdinalCLIPConfig

    def _build(self) -> None:
        options = self.options
        ranks = InterpolatedRankEmbeddings(
            self.clip,
            self.task.num_ranks,
            self._base_words() if options.init_from_words else None,
            num_base_ranks=options.num_base_ranks,
            interpolation_type=options.interpolation_type,
            seed=options.seed,
        )
        template = class_agnostic_template(self.task, options.template)
        self.prompt_learner = PromptLearner(
            self.clip, template, ranks, n_ctx=options.n_ctx, seed=options.seed
        )

    def _base_words(self) -> list[str]:
        count, last = self.options.num_base_ranks, self.task.num_ranks - 1
        return [
            self.task.rank_names[place] for place in np.linspace(0, last, count).round().astype(int)
        ]

    def text_features(self) -> Tensor:
        """Return ``(M, D)`` features of the prompts, with gradient to what is tuned."""
        return self.prompt_learner()

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return cross-entropy plus the text-to-image divergence, unweighted, in nats."""
        logits, ranks = self.logits(features), rank_targets(self.task, values)
        return F.cross_entropy(logits, ranks) + text_to_image_kl(logits, ranks, ranking=False)
