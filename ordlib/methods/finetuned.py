"""CLIP fine-tuning with fixed text prompts (baseline)."""

from dataclasses import asdict, dataclass

from torch import Tensor

from .image_encoder import ImageEncoderConfig
from .prompt_method import PromptMethod
from .zero_shot import ZeroShot


@dataclass(frozen=True, kw_only=True)
class FineTunedConfig(ImageEncoderConfig):
    """Options of :class:`FineTuned`."""

    templates: tuple[int, ...] = (0,)  # indices of the task's templates to average


class FineTuned(PromptMethod):
    """CLIP fine-tuned with cross-entropy over fixed rank prompts.

    With a frozen image encoder only CLIP-Adapter is trained. Text features as in `ZeroShot`.
    Arguments as in `OrdinalMethod`, with the options of `FineTunedConfig`.

    References:
        Radford et al. (2021), CLIP, arXiv:2103.00020; Hu et al. (2021), LoRA, arXiv:2106.09685.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = FineTuned(load_clip("pico-clip", "cpu"), load_task("dating"))
        >>> model.text_features().shape
        torch.Size([5, 96])
    """

    Config = FineTunedConfig

    def _build(self) -> None:
        zero_shot = ZeroShot(self.clip, self.task, templates=self.options.templates)
        self.register_buffer("_text_features", zero_shot.text_features(), persistent=False)

    def task_fields(self) -> dict:
        """Return all fields of the task."""
        return asdict(self.task)

    def text_features(self) -> Tensor:
        """Return ``(M, D)`` normalized text features of the rank prompts, without gradient."""
        return self._text_features
