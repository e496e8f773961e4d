"""What the methods for one task have in common: a picture side, and something to set it against."""

from abc import abstractmethod
from dataclasses import asdict
from typing import ClassVar, Self

import torch
from torch import Tensor

from ..clip import ClipBackbone
from ..data import ImageData
from ..prediction import Prediction
from ..tasks import OrdinalTask
from .image_side import ImageOptions, ImageSide, Inputs
from .trained import Trained, group_of, seeded


class Method(Trained):
    """A picture side, something to compare it with, and a loss.

    Args:
        clip: the backbone; it stays as it was loaded.
        task: what is learned.
        options: fields of the class's ``Options``.

    Attributes:
        clip, task: as given.
        options: a frozen dataclass of everything else that was chosen.
        image: the picture side.

    Raises:
        TypeError: an option that the method does not have.
        ValueError: an option out of its range.
    """

    Options: ClassVar[type[ImageOptions]] = ImageOptions

    def __init__(self, clip: ClipBackbone, task: OrdinalTask, **options: object) -> None:
        super().__init__()
        self.clip, self.task, self.options = clip, task, self.Options(**options)
        with seeded(self.options.seed):
            self.image = ImageSide(clip, self.options)
            self._build()
        self._note_trained()

    @abstractmethod
    def _build(self) -> None:
        """Make what pictures are compared with; random numbers are seeded."""

    @abstractmethod
    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return what is to be made small.

        Args:
            features: ``(B, D)`` of the picture side.
            values: ``(B,)`` float32 labels on the task's number line.

        Returns:
            A scalar.
        """

    @abstractmethod
    def read(self, features: Tensor) -> Prediction:
        """Return predictions of ``(N, D)`` features of the picture side."""

    def check(self, train: ImageData) -> None:
        """Complain of training pictures that the method cannot learn from; nothing by default."""

    def inputs(self, data: ImageData) -> Inputs:
        """Return a function from rows of the data to what :meth:`encode` takes."""
        return self.image.inputs(data)

    def encode(self, inputs: Tensor) -> Tensor:
        """Return ``(B, D)`` features of the picture side, with gradient to what is tuned."""
        return self.image(inputs)

    @torch.no_grad()
    def predict(self, data: ImageData, batch_size: int = 256) -> Prediction:
        """Predict the label of every picture; whatever is of text is computed once.

        Args:
            data: N pictures; their labels are not looked at.
            batch_size: pictures in memory at once.

        Returns:
            Values and labels on the task's number line, with ``(N, M)`` probabilities where the
            method has a say on every rank.
        """
        return self.read(self.features(data, batch_size))

    @torch.no_grad()
    def features(self, data: ImageData, batch_size: int = 256) -> Tensor:
        """Return ``(N, D)`` features of the picture side, on the device."""
        inputs = self.inputs(data)
        starts = range(0, len(data), batch_size)
        batches = [range(start, min(start + batch_size, len(data))) for start in starts]
        return torch.cat([self.encode(inputs(rows)) for rows in batches])

    def config(self) -> dict:
        """Return what rebuilds the method around its tensors."""
        return super().config() | {"task": asdict(self.task)}

    @classmethod
    def from_config(cls, config: dict, clip: ClipBackbone) -> Self:
        """Build the method that a config describes, not yet with its tensors."""
        return cls(clip, OrdinalTask(**config["task"]), **config["options"])

    def hold(self, *groups: str) -> None:
        """Train all groups but these from now on; what is held still belongs to the result.

        Args:
            groups: of "tower", "adapter" and "rest".

        Example:
            >>> from ordlib import CoOp, load_clip, load_task
            >>> model = CoOp(load_clip("pico-clip", "cpu"), load_task("dating"))
            >>> model.hold("rest")
            >>> [*model.parameter_groups()]
            ['adapter']
        """
        for name, parameter in self.named_parameters():
            if name in self._trained:
                parameter.requires_grad_(group_of(name) not in groups)

    def without_tower(self) -> Self:
        """Return the same method on the backbone's own features, with copies of all the rest."""
        options = asdict(self.options) | {"tower": "frozen"}
        model = type(self)(self.clip, self.task, **options)
        model.take(self)
        return model

    @torch.no_grad()
    def take(self, other: "Method") -> None:
        """Copy the trained tensors that another model has, too."""
        theirs = other.trained_state()
        for name, tensor in self.trained_state().items():
            if name in theirs:
                tensor.copy_(theirs[name])
