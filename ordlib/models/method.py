"""What every trained method has in common, so that one loop trains and one format keeps them."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from ..clip import ClipBackbone
from ..data import ImageData
from ..prediction import Prediction
from ..serialization import read_component, write_component
from ..tasks import OrdinalTask
from .image_side import ImageOptions, ImageSide, Inputs


class Method(nn.Module, ABC):
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
        with _seeded(self.options.seed):
            self.image = ImageSide(clip, self.options)
            self._build()
        self.to(clip.device)
        self._trained = {name for name, p in self.named_parameters() if p.requires_grad}

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

    def after_step(self) -> None:
        """Put right what a step of training may have moved too far; nothing by default."""

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

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return what is trained now, as "tower", "adapter" and "rest", without empty groups."""
        groups: dict[str, list[nn.Parameter]] = {"tower": [], "adapter": [], "rest": []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups[_group(name)].append(parameter)
        return {name: group for name, group in groups.items() if group}

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
                parameter.requires_grad_(_group(name) not in groups)

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

    def trained_state(self) -> dict[str, Tensor]:
        """Return by name, not copied, the tensors that are trained in any stage."""
        return {name: p.detach() for name, p in self.named_parameters() if name in self._trained}

    @torch.no_grad()
    def load_trained(self, state: dict[str, Tensor]) -> None:
        """Put trained tensors back.

        Raises:
            ValueError: names or shapes differ from the method's own (says which).
        """
        own = self.trained_state()
        shapes = [{name: tuple(t.shape) for name, t in group.items()} for group in (own, state)]
        for name in sorted(shapes[0].keys() | shapes[1].keys()):
            ours, theirs = (group.get(name, "missing") for group in shapes)
            if ours != theirs:
                raise ValueError(f"the tensor {name} is {theirs} there and {ours} in the method")
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def save_pretrained(self, folder: str | os.PathLike, card: dict | None = None) -> None:
        """Keep what was trained: a few small tensors, the options, the task, and a card.

        Args:
            folder: made if missing; what a component left there is replaced.
            card: what is to be said of it.

        Example:
            >>> import tempfile
            >>> from ordlib import CoOp, load_clip, load_task
            >>> clip, folder = load_clip("pico-clip", "cpu"), tempfile.mkdtemp()
            >>> CoOp(clip, load_task("dating")).save_pretrained(folder)
            >>> CoOp.from_pretrained(folder, clip).task
            OrdinalTask('dating': 5 ranks from 1930s to 1970s, 5 bins, unit decades)
        """
        config = {
            "method": type(self).__name__,
            "options": asdict(self.options),
            "task": asdict(self.task),
            "backbone": {"name": self.clip.name, "sha256": self.clip.weights_hash},
        }
        write_component(folder, config, self.trained_state(), card or {})

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike, clip: ClipBackbone) -> Self:
        """Load what :meth:`save_pretrained` kept.

        Args:
            folder: of the component.
            clip: the backbone it was trained on.

        Returns:
            The method, ready to predict.

        Raises:
            FileNotFoundError: no component there.
            ValueError: a component of another method, for another backbone, or damaged.
        """
        config, state = read_component(folder)
        if config["method"] != cls.__name__:
            raise ValueError(f"{folder} holds a {config['method']}, not a {cls.__name__}")
        backbone = config["backbone"]
        if backbone["sha256"] != clip.weights_hash:
            raise ValueError(
                f"{folder} was trained on {backbone['name']!r} (weights "
                f"{backbone['sha256'][:8]}) and does not fit {clip.name!r} (weights "
                f"{clip.weights_hash[:8]}): load that backbone, or train anew on this one"
            )
        # JSON knows no tuples.
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in config["options"].items()}
        model = cls(clip, OrdinalTask(**config["task"]), **options)
        model.load_trained(state)
        return model


def _group(name: str) -> str:
    """Say which group a parameter is of, by its full name."""
    return name.split(".")[1] if name.startswith("image.") else "rest"


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw first weights from a seed, and leave everybody else's random numbers as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
