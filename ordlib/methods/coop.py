"""CoOp: learned context and rank embeddings, cross-entropy."""

from dataclasses import dataclass

from .prompt_learner import RankEmbeddings
from .prompt_method import PromptConfig, PromptMethod


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
