"""OrdinalCLIP: rank embeddings interpolated from a few learned base ranks."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..losses import text_to_image_kl
from ..utils.validation import check_choice
from .base import rank_targets
from .prompt_learner import InterpolatedRankEmbeddings, Interpolation
from .prompt_method import PromptConfig, PromptMethod
from .recipe import Recipe

NUM_BASE_RANKS = 3


@dataclass(frozen=True, kw_only=True)
class OrdinalCLIPConfig(PromptConfig):
    """Options of :class:`OrdinalCLIP`.

    Attributes:
        num_base_ranks: K', 1 to M; a task of two ranks has two in place of the default 3.
        interpolation_type: "linear", "inverse" or "normal".
        init_from_words: whether base ranks start from rank names, else at random.
        num_tokens_per_rank: tokens of each rank; None takes all tokens of the base ranks' names.
    """

    num_base_ranks: int = NUM_BASE_RANKS
    interpolation_type: Interpolation = "linear"
    init_from_words: bool = True
    num_tokens_per_rank: int | None = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_base_ranks < 1:
            raise ValueError(f"num_base_ranks = {self.num_base_ranks}: must be 1 or more")
        if self.num_tokens_per_rank is not None and self.num_tokens_per_rank < 1:
            raise ValueError(
                f"num_tokens_per_rank = {self.num_tokens_per_rank}: must be 1 or more, or None"
            )
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
        count = options.num_base_ranks
        if count == NUM_BASE_RANKS:
            count = min(count, len(names))
        if count > len(names):
            raise ValueError(f"num_base_ranks = {count}: must be 1 to num_ranks = {len(names)}")
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


_CONFIGS = "configs/base_cfgs/runner_cfg"
_DEFAULT, _COMPARE = "configs/default.yaml", "configs/meta_cfgs/morph_compare.yaml"
_PROMPTS = "ordinalclip/models/prompt_leaners/plain_prompt_learner.py"
RELEASED_TRAINING = {
    "optimizer": "radam",
    "learning_rate": 1e-4,
    "weight_decay": 5e-4,
    "epochs": 100,
    "batch_size": 32,
    "schedule": "cosine",
    "warmup_ratio": 0.0,
    "max_grad_norm": None,
    "flip": True,
    "random_crop": True,
}
RELEASED_SOURCES = {
    "image_encoder": f"{_CONFIGS}/optim_sched/image_encoder/tune-image.yaml",
    "adapter": "ordinalclip/models/ordinalclip.py, none",
    "suffix": _PROMPTS,
    "rank_specific_context": _DEFAULT,
    "text_encoder": _DEFAULT,
    "tune_logit_scale": _DEFAULT,
    **dict.fromkeys(("optimizer", "weight_decay", "epochs", "schedule"), _COMPARE),
    **dict.fromkeys(("learning_rate", "batch_size", "warmup_ratio"), _DEFAULT),
    "max_grad_norm": f"{_DEFAULT}, no clipping",
    **dict.fromkeys(("flip", "random_crop", "resize"), "ordinalclip/runner/utils.py"),
}
RELEASED_OPTIONS = {
    "image_encoder": "full",
    "adapter": False,
    "suffix": ".",
    "rank_specific_context": False,
    "text_encoder": "frozen",
    "tune_logit_scale": False,
}
RELEASED_UNKNOWN = (
    "the context's words: init-context-morph.yaml is named in morph_compare.yaml; we have not read "
    "it, and take the template of the task",
)
RELEASED_DIFFERENCES = (
    "image encoder: VGG-16, pretrained on IMDB-WIKI, beside the text encoder of CLIP's RN50",
    "image mean and standard deviation: ImageNet's; here those of the backbone",
    "images are squashed by bilinear interpolation; here by the backbone's",
    "half precision; here on CUDA only",
    "the last batch of an epoch may be smaller; here it is dropped",
    "val is the test list; here the best epoch is chosen on a val of your own",
)


def released_config(dataset: str = "morph") -> Recipe:
    """Return the recipe of OrdinalCLIP's released code: "morph", for the task "morph_101".

    References:
        Li et al. (2022), arXiv:2206.02338, and the released code, xk-huang/OrdinalCLIP.

    Example:
        >>> recipe = released_config()
        >>> recipe.options["suffix"], recipe.training["optimizer"], recipe.resize
        ('.', 'radam', 'squash_crop')
    """
    check_choice("dataset", dataset, ("morph",))
    options = {
        "num_base_ranks": 3,
        "interpolation_type": "linear",
        "init_from_words": False,
        "num_tokens_per_rank": 1,
    }
    return Recipe(
        method="OrdinalCLIP",
        options={**RELEASED_OPTIONS, **options},
        training=RELEASED_TRAINING,
        resize="squash_crop",
        sources={
            **RELEASED_SOURCES,
            **dict.fromkeys(("num_base_ranks", "interpolation_type"), _COMPARE),
            **dict.fromkeys(("init_from_words", "num_tokens_per_rank"), _DEFAULT),
        },
        unknown=RELEASED_UNKNOWN,
        differences=RELEASED_DIFFERENCES,
    )
