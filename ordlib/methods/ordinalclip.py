"""OrdinalCLIP: rank embeddings interpolated from a few learned base ranks."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..losses import text_to_image_kl
from .base import rank_targets
from .prompt_learner import InterpolatedRankEmbeddings, Interpolation
from .prompt_method import PromptConfig, PromptMethod

NUM_BASE_RANKS = 3


@dataclass(frozen=True, kw_only=True)
class OrdinalCLIPConfig(PromptConfig):
    """Options of :class:`OrdinalCLIP`.

    Attributes:
        num_base_ranks: K', 1 to M; None takes 3, or M if that is less.
        interpolation_type: "linear", "inverse" or "normal".
        init_from_words: whether base ranks start from rank names, else at random.
        num_tokens_per_rank: tokens of each rank; None takes all tokens of the base ranks' names.
    """

    num_base_ranks: int | None = None
    interpolation_type: Interpolation = "linear"
    init_from_words: bool = True
    num_tokens_per_rank: int | None = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_base_ranks", "num_tokens_per_rank"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} = {value}: must be 1 or more, or None")
        if self.num_tokens_per_rank is None and not self.init_from_words:
            raise ValueError("num_tokens_per_rank = None: needs init_from_words=True")


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
        count = options.num_base_ranks or min(NUM_BASE_RANKS, len(names))
        index = np.linspace(0, len(names) - 1, count).round().astype(int)
        rank_embeddings = InterpolatedRankEmbeddings(
            self.clip,
            self.task.num_ranks,
            [names[i] for i in index] if options.init_from_words else None,
            num_base_ranks=count,
            interpolation_type=options.interpolation_type,
            num_tokens_per_rank=options.num_tokens_per_rank,
            seed=options.seed,
        )
        self._build_prompts(rank_embeddings)

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return cross-entropy plus text-to-image KL divergence, unweighted, in nats."""
        logits, ranks = self.logits(features), rank_targets(self.task, values)
        return F.cross_entropy(logits, ranks) + text_to_image_kl(logits, ranks, weighted=False)
