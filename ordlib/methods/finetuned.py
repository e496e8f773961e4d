"""Fine-tuned CLIP: the prompts stay as they are, the picture side learns."""

from dataclasses import asdict, dataclass

from torch import Tensor

from .image_encoder import ImageEncoderConfig
from .prompt_method import PromptMethod
from .zero_shot import ZeroShot


@dataclass(frozen=True, kw_only=True)
class FineTunedConfig(ImageEncoderConfig):
    """Options of :class:`FineTuned`.

    Attributes:
        templates: which of the task's templates to average, by index.
    """

    templates: tuple[int, ...] = (0,)


class FineTuned(PromptMethod):
    """Plain cross-entropy over fixed label prompts: what "just fine-tune it" gives.

    Words for placeholders other than ``{rank}`` are averaged over.

    Args:
        clip, task: as in :class:`~ordlib.methods.base.OrdinalMethod`.
        options: fields of :class:`FineTunedConfig`; ``image_encoder="lora"`` or ``"full"`` tunes the
            picture tower, else the adapter alone learns.

    Source:
        Radford et al. (2021), arXiv 2103.00020, for the prompts; Hu et al. (2021), LoRA, arXiv
        2106.09685.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = FineTuned(load_clip("pico-clip", "cpu"), load_task("dating"))
        >>> model.text_features().shape
        torch.Size([5, 96])
    """

    Config = FineTunedConfig

    def _build(self) -> None:
        words = ZeroShot(self.clip, self.task, templates=self.options.templates)
        self.register_buffer("_texts", words.text_features(), persistent=False)

    def task_fields(self) -> dict:
        """Return all fields of the task: its prompts average over objects."""
        return asdict(self.task)

    def text_features(self) -> Tensor:
        """Return ``(M, D)`` features of the prompts, of length 1; they have no gradient."""
        return self._texts
