"""CoOp: the words of the prompts are learned; every rank on its own."""

from dataclasses import dataclass

from torch import Tensor

from .prompt_learner import PromptLearner, RankWords
from .prompted import Prompted, PromptOptions, plain_template


@dataclass(frozen=True, kw_only=True)
class CoOpOptions(PromptOptions):
    """Options of :class:`CoOp`.

    Attributes:
        tune_ranks: whether the words of the ranks are tuned as well as the context, as the
            ordinal papers use CoOp; else the context alone, as CoOp's paper has it.
        tune_context: whether the context is tuned.
    """

    tune_ranks: bool = True
    tune_context: bool = True


class CoOp(Prompted):
    """Learned context and rank words, cross-entropy; no rank knows its neighbours.

    Args:
        clip, task: as in :class:`~ordlib.methods.base.Method`.
        options: fields of :class:`CoOpOptions`.

    Source:
        Zhou et al. (2022), Learning to prompt for vision-language models, arXiv 2109.01134. That
        rank words are tuned, too, follows OrdinalCLIP's comparison; the adapter is ours, for
        equal terms.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = CoOp(load_clip("pico-clip", "cpu"), load_task("counting"), tune_ranks=False)
        >>> model.text_features().shape
        torch.Size([20, 96])
    """

    Options = CoOpOptions

    def _build(self) -> None:
        options = self.options
        ranks = RankWords(self.clip, self.task.words, tune=options.tune_ranks)
        self.prompts = PromptLearner(
            self.clip,
            plain_template(self.task, options.template),
            ranks,
            context=options.context,
            tune_context=options.tune_context,
            seed=options.seed,
        )

    def text_features(self) -> Tensor:
        """Return ``(M, D)`` features of the prompts, with gradient to what is tuned."""
        return self.prompts()
