"""OrdinalCLIP: rank embeddings interpolated from a few learned base ranks."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..losses import text_to_image_kl
from .base import rank_targets
from .prompt_learner import InterpolatedRankEmbeddings, Interpolation, PromptLearner
from .prompt_method import PromptConfig, PromptMethod, rank_only_template


@dataclass(frozen=True, kw_only=True)
class OrdinalCLIPConfig(PromptConfig):
    """Options of :class:`OrdinalCLIP`.

    Attributes:
        num_base_ranks: K', 1 to M.
        interpolation_type: "linear" or "inverse".
        init_from_words: whether base ranks start from rank names, else at random.
    """

    num_base_ranks: int = 3
    interpolation_type: Interpolation = "linear"
    init_from_words: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_base_ranks < 1:
            raise ValueError(f"num_base_ranks = {self.num_base_ranks}: must be 1 or more")


class OrdinalCLIP(PromptMethod):
    """OrdinalCLIP (Li et al., 2022): interpolated rank embeddings, contrastive loss both ways.

    Arguments as in `OrdinalMethod`, with the options of `OrdinalCLIPConfig`.

    References:
        Li et al. (2022), OrdinalCLIP, arXiv:2206.02338. The loss and the normalized interpolation
        weights are those of the released code. CLIP-Adapter is our addition.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = OrdinalCLIP(load_clip("pico-clip", "cpu"), load_task("ageing"))
        >>> model.text_features().shape
        torch.Size([90, 96])
    """

    Config = OrdinalCLIPConfig

    def _build(self) -> None:
        options, names = self.options, self.task.rank_names
        index = np.linspace(0, len(names) - 1, options.num_base_ranks).round().astype(int)
        rank_embeddings = InterpolatedRankEmbeddings(
            self.clip,
            self.task.num_ranks,
            [names[i] for i in index] if options.init_from_words else None,
            num_base_ranks=options.num_base_ranks,
            interpolation_type=options.interpolation_type,
            seed=options.seed,
        )
        template = rank_only_template(self.task, options.template)
        self.prompt_learner = PromptLearner(
            self.clip, template, rank_embeddings, n_ctx=options.n_ctx, seed=options.seed
        )

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return cross-entropy plus text-to-image KL divergence, unweighted, in nats."""
        logits, ranks = self.logits(features), rank_targets(self.task, values)
        return F.cross_entropy(logits, ranks) + text_to_image_kl(logits, ranks, weighted=False)
