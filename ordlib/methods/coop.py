"""CoOp: learned context and rank embeddings, cross-entropy."""

from dataclasses import dataclass

from ..utils.validation import check_choice
from .ordinalclip import (
    RELEASED_DIFFERENCES,
    RELEASED_OPTIONS,
    RELEASED_SOURCES,
    RELEASED_TRAINING,
    RELEASED_UNKNOWN,
)
from .prompt_learner import RankEmbeddings
from .prompt_method import PromptConfig, PromptMethod
from .recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class CoOpConfig(PromptConfig):
    """Options of :class:`CoOp`.

    Attributes:
        tune_rank_embeddings: whether to train the rank embeddings; the CoOp paper does not.
        tune_context: whether to train the context.
    """

    tune_rank_embeddings: bool = True
    tune_context: bool = True


class CoOp(PromptMethod):
    """CoOp, context optimization (Zhou et al., 2022), with one independent prompt per rank.

    Arguments as in `OrdinalMethod`, with the options of `CoOpConfig`.

    References:
        Zhou et al. (2022), Learning to prompt for vision-language models, arXiv:2109.01134.
        Learned rank embeddings follow the comparison of OrdinalCLIP. CLIP-Adapter is our addition.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = CoOp(load_clip("pico-clip", "cpu"), load_task("counting"), n_ctx=4)
        >>> model.text_features().shape
        torch.Size([20, 96])
    """

    Config = CoOpConfig

    def _build(self) -> None:
        options = self.options
        ranks = RankEmbeddings(self.clip, self.task.rank_names, tune=options.tune_rank_embeddings)
        self._build_prompts(ranks, tune_context=options.tune_context)


def released_config(dataset: str = "morph") -> Recipe:
    """Return the recipe of CoOp in OrdinalCLIP's released code: "morph", for "morph_101".

    References:
        Li et al. (2022), arXiv:2206.02338, and the released code, xk-huang/OrdinalCLIP.

    Example:
        >>> released_config().options["tune_rank_embeddings"]
        True
    """
    check_choice("dataset", dataset, ("morph",))
    options = {"tune_rank_embeddings": True, "tune_context": True}
    source = "configs/base_cfgs/runner_cfg/optim_sched/prompt_learner/tune-ctx-rank.yaml"
    return Recipe(
        method="CoOp",
        options={**RELEASED_OPTIONS, **options},
        training=RELEASED_TRAINING,
        resize="squash_crop",
        sources={**RELEASED_SOURCES, **dict.fromkeys(options, source)},
        unknown=RELEASED_UNKNOWN,
        differences=RELEASED_DIFFERENCES,
    )
