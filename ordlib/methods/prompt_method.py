"""Methods that compare pictures with one prompt for each rank."""

from abc import abstractmethod
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip import ClipBackbone
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from ..tasks.templates import placeholder_names
from .base import OrdinalMethod, rank_targets
from .image_encoder import ImageEncoderConfig


@dataclass(frozen=True, kw_only=True)
class PromptConfig(ImageEncoderConfig):
    """How a method's prompts start.

    Attributes:
        template: text with ``{rank}`` alone; None takes the task's, see :func:`class_agnostic_template`.
        n_ctx: number of random vectors to start the context from, instead of the template's
            words; None takes the words.

    Raises:
        ValueError: a negative context.
    """

    template: str | None = None
    n_ctx: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_ctx is not None and self.n_ctx < 0:
            raise ValueError(f"n_ctx = {self.n_ctx}: must be 0 or more, or None")


class PromptMethod(OrdinalMethod):
    """Cosines between pictures and the prompts of all ranks, and their cross-entropy."""

    def task_fields(self) -> dict:
        """Return the fields of the task, without the objects that its prompts never name."""
        return class_agnostic_fields(self.task)

    @abstractmethod
    def text_features(self) -> Tensor:
        """Return ``(M, D)`` features of the prompts, with gradient to what is tuned."""

    def logits(self, features: Tensor) -> Tensor:
        """Return ``(B, M)`` logits of ``(B, D)`` features: CLIP's own factor times cosines."""
        return clip_logits(self.clip, features, self.text_features())

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats; arguments as in :meth:`OrdinalMethod.loss`."""
        return F.cross_entropy(self.logits(features), rank_targets(self.task, values))

    @torch.no_grad()
    def predict_from_features(self, features: Tensor) -> Prediction:
        """Return predictions with probabilities, read as the task says."""
        probabilities = self.logits(features).double().softmax(1)
        return self.task.decode_probabilities(probabilities.cpu().numpy())


def class_agnostic_fields(task: OrdinalTask) -> dict:
    """Return a task's fields without what only prompts that name an object need."""
    if not task.placeholders:
        return asdict(task)
    plain = {
        "templates": class_agnostic_template(task),
        "bin_templates": class_agnostic_template(task, bins=True),
    }
    return (
        asdict(task)
        | {name: (template,) for name, template in plain.items()}
        | {"placeholders": {}}
    )


def clip_logits(clip: ClipBackbone, features: Tensor, texts: Tensor) -> Tensor:
    """Return CLIP's logits, in single precision also where autocast rounds products.

    Args:
        clip: gives the factor.
        features: ``(B, D)`` of pictures.
        texts: ``(M, D)`` of prompts.

    Returns:
        ``(B, M)`` float32.
    """
    with torch.autocast(features.device.type, enabled=False):
        one, other = (F.normalize(side.float(), dim=-1) for side in (features, texts))
        return clip.logit_scale * one @ other.T


def class_agnostic_template(
    task: OrdinalTask, given: str | None = None, *, bins: bool = False
) -> str:
    """Return a template with ``{rank}`` alone: learned prompts are not told a picture's object.

    Args:
        task: gives the templates.
        given: a template of the caller's own, returned as it is.
        bins: whether to look at the templates of bins instead of ranks.

    Returns:
        The first of the task's templates without other placeholders; if all have some, the
        first one with those left out.

    Example:
        >>> from ordlib import load_task
        >>> class_agnostic_template(load_task("counting"))
        'a photo of {rank}'
    """
    templates = task.bin_templates if bins else task.templates
    if given is not None:
        return given
    for template in templates:
        if placeholder_names(template) == {"rank"}:
            return template
    words = templates[0]
    for name in placeholder_names(templates[0]) - {"rank"}:
        words = words.replace(f"{{{name}}}", "")
    return " ".join(words.split())
