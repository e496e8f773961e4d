"""Methods that compare pictures with one prompt for each rank."""

from abc import abstractmethod
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip import ClipBackbone
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from ..tasks.templates import placeholders
from .base import Method, ranks_of
from .image_encoder import ImageOptions


@dataclass(frozen=True, kw_only=True)
class PromptOptions(ImageOptions):
    """How a method's prompts start.

    Attributes:
        template: text with ``{rank}`` alone; None takes the task's, see :func:`plain_template`.
        context: number of random vectors to start the context from, instead of the template's
            words; None takes the words.

    Raises:
        ValueError: a negative context.
    """

    template: str | None = None
    context: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.context is not None and self.context < 0:
            raise ValueError(f"context = {self.context}: must be 0 or more, or None")


class Prompted(Method):
    """Cosines between pictures and the prompts of all ranks, and their cross-entropy."""

    def task_fields(self) -> dict:
        """Return the fields of the task, without the objects that its prompts never name."""
        return class_agnostic_fields(self.task)

    @abstractmethod
    def text_features(self) -> Tensor:
        """Return ``(M, D)`` features of the prompts, with gradient to what is tuned."""

    def logits(self, features: Tensor) -> Tensor:
        """Return ``(B, M)`` logits of ``(B, D)`` features: CLIP's own factor times cosines."""
        return cosine_logits(self.clip, features, self.text_features())

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats; arguments as in :meth:`Method.loss`."""
        return F.cross_entropy(self.logits(features), ranks_of(self.task, values))

    @torch.no_grad()
    def read(self, features: Tensor) -> Prediction:
        """Return predictions with probabilities, read as the task says."""
        probabilities = self.logits(features).double().softmax(1)
        return self.task.read(probabilities.cpu().numpy())


def class_agnostic_fields(task: OrdinalTask) -> dict:
    """Return a task's fields without what only prompts that name an object need."""
    if not task.fillers:
        return asdict(task)
    plain = {"templates": plain_template(task), "bin_templates": plain_template(task, bins=True)}
    return asdict(task) | {name: (template,) for name, template in plain.items()} | {"fillers": {}}


def cosine_logits(clip: ClipBackbone, features: Tensor, texts: Tensor) -> Tensor:
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


def plain_template(task: OrdinalTask, given: str | None = None, *, bins: bool = False) -> str:
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
        >>> plain_template(load_task("counting"))
        'a photo of {rank}'
    """
    templates = task.bin_templates if bins else task.templates
    if given is not None:
        return given
    for template in templates:
        if placeholders(template) == {"rank"}:
            return template
    words = templates[0]
    for name in placeholders(templates[0]) - {"rank"}:
        words = words.replace(f"{{{name}}}", "")
    return " ".join(words.split())
