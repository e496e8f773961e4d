"""OrdinalCLIP: a few base ranks are learned, and the others stand between them."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..losses import text_to_image_kl
from .base import ranks_of
from .prompt_learner import InterpolatedRanks, Interpolation, PromptLearner
from .prompted import Prompted, PromptOptions, plain_template


@dataclass(frozen=True, kw_only=True)
class OrdinalCLIPOptions(PromptOptions):
    """Options of :class:`OrdinalCLIP`.

    Attributes:
        base_ranks: K', 1 to M.
        interpolation: "linear" or "inverse".
        rank_words: whether base ranks start from the words of the ranks they stand at, each the
            mean of its tokens; else from random vectors.

    Raises:
        ValueError: no base ranks.
    """

    base_ranks: int = 3
    interpolation: Interpolation = "linear"
    rank_words: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base_ranks < 1:
            raise ValueError(f"base_ranks = {self.base_ranks}: must be 1 or more")


class OrdinalCLIP(Prompted):
    """Learned context and base ranks; cross-entropy, and every rank finds its pictures.

    Args:
        clip, task: as in :class:`~ordlib.methods.base.Method`.
        options: fields of :class:`OrdinalCLIPOptions`.

    Raises:
        ValueError: more base ranks than ranks, or none.

    Source:
        Li et al. (2022), OrdinalCLIP, arXiv 2206.02338, and the released code, for the loss and
        the rows of weights. The adapter is ours, for equal terms.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = OrdinalCLIP(load_clip("pico-clip", "cpu"), load_task("ageing"), base_ranks=5)
        >>> model.text_features().shape
        torch.Size([90, 96])
    """

    Options = OrdinalCLIPOptions

    def _build(self) -> None:
        options = self.options
        ranks = InterpolatedRanks(
            self.clip,
            self.task.num_ranks,
            self._base_words() if options.rank_words else None,
            base_ranks=options.base_ranks,
            interpolation=options.interpolation,
            seed=options.seed,
        )
        template = plain_template(self.task, options.template)
        self.prompts = PromptLearner(
            self.clip, template, ranks, context=options.context, seed=options.seed
        )

    def _base_words(self) -> list[str]:
        count, last = self.options.base_ranks, self.task.num_ranks - 1
        return [self.task.words[place] for place in np.linspace(0, last, count).round().astype(int)]

    def text_features(self) -> Tensor:
        """Return ``(M, D)`` features of the prompts, with gradient to what is tuned."""
        return self.prompts()

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return cross-entropy plus the text-to-image divergence, unweighted, in nats."""
        logits, ranks = self.logits(features), ranks_of(self.task, values)
        return F.cross_entropy(logits, ranks) + text_to_image_kl(logits, ranks, ranking=False)
