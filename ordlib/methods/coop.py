"""CoOp: the words of the prompts are learned; every rank on its own."""

from dataclasses import dataclass

from torch import Tensor

from .prompt_learner import PromptLearner, RankEmbeddings
from .prompt_method import PromptConfig, PromptMethod, class_agnostic_template


@dataclass(frozen=True, kw_only=True)
class CoOpConfig(PromptConfig):
    """Options of :class:`CoOp`.

    Attributes:
        tune_rank_embeddings: whether the words of the ranks are tuned as well as the context, as the
            ordinal papers use CoOp; else the context alone, as CoOp's paper has it.
        tune_context: whether the context is tuned.
    """

    tune_rank_embeddings: bool = True
    tune_context: bool = True


class CoOp(PromptMethod):
    """Learned context and rank words, cross-entropy; no rank knows its neighbours.

    Args:
        clip, task: as in :class:`~ordlib.methods.base.OrdinalMethod`.
        options: fields of :class:`CoOpConfig`.

    Source:
        Zhou et al. (2022), Learning to prompt for vision-language models, arXiv 2109.01134. That
        rank words are tuned, too, follows OrdinalCLIP's comparison; the adapter is ours, for
        equal terms.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = CoOp(load_clip("pico-clip", "cpu"), load_task("counting"), tune_rank_embeddings=False)
        >>> model.text_features().shape
        torch.Size([20, 96])
    """

    Config = CoOpConfig

    def _build(self) -> None:
        options = self.options
        ranks = RankEmbeddings(self.clip, self.task.rank_names, tune=options.tune_rank_embeddings)
        self.prompt_learner = PromptLearner(
            self.clip,
            class_agnostic_template(self.task, options.template),
            ranks,
            n_ctx=options.n_ctx,
            tune_context=options.tune_context,
            seed=options.seed,
        )

    def text_features(self) -> Tensor:
        """Return ``(M, D)`` features of the prompts, with gradient to what is tuned."""
        return self.prompt_learner()
