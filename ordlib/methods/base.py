"""The base of all methods: trained parameters beside a frozen CLIP, learned from one task."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from ..clip import ClipBackbone
from ..components.io import read_component, write_component
from ..data import ImageData
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from .image_encoder import ImageOptions, ImageSide, Inputs


class Trained(nn.Module, ABC):
    """Parameters in groups beside a frozen CLIP, kept in a folder without it.

    Attributes:
        clip: the backbone; it stays as it was loaded.
        options: a frozen dataclass of everything that was chosen.
    """

    clip: ClipBackbone
    options: object

    def _note_trained(self) -> None:
        """Take what needs a gradient now for what is trained; to be called once all is built.

        All but a step of training is done in eval mode: attention rounds otherwise in the other.
        """
        self.to(self.clip.device).eval()
        self._trained = {name for name, p in self.named_parameters() if p.requires_grad}

    def after_step(self) -> None:
        """Put right what a step of training may have moved too far; nothing by default."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return what is trained now, as "tower", "adapter" and "rest", without empty groups."""
        groups: dict[str, list[nn.Parameter]] = {"tower": [], "adapter": [], "rest": []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups[group_of(name)].append(parameter)
        return {name: group for name, group in groups.items() if group}

    def trained_state(self) -> dict[str, Tensor]:
        """Return by name, not copied, the tensors that are trained in any stage."""
        return {name: p.detach() for name, p in self.named_parameters() if name in self._trained}

    @torch.no_grad()
    def load_trained(self, state: dict[str, Tensor]) -> None:
        """Put trained tensors back.

        Raises:
            ValueError: names or shapes differ from its own (says which).
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
        write_component(folder, self.config(), self.kept_state(), card or {})

    def config(self) -> dict:
        """Return what rebuilds the thing around its tensors."""
        return {
            "method": type(self).__name__,
            "options": asdict(self.options),
            "backbone": {"name": self.clip.name, "sha256": self.clip.weights_hash},
        }

    def kept_state(self) -> dict[str, Tensor]:
        """Return the tensors as they are kept in a folder."""
        return self.trained_state()

    def load_kept(self, state: dict[str, Tensor], config: dict) -> None:
        """Put back what :meth:`kept_state` and :meth:`config` gave; raises as `load_trained`."""
        self.load_trained(state)

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict, clip: ClipBackbone) -> Self:
        """Build the thing that a config describes, not yet with its tensors."""

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike, clip: ClipBackbone) -> Self:
        """Load what :meth:`save_pretrained` kept.

        Args:
            folder: of the component.
            clip: the backbone it was trained on.

        Returns:
            It, ready to predict.

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
        model = cls.from_config(config | {"options": options}, clip)
        model.load_kept(state, config)
        return model


def group_of(name: str) -> str:
    """Say which group a parameter is of, by its full name."""
    return name.split(".")[1] if name.startswith("image.") else "rest"


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode for the length of a block, whatever comes of it."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw first weights from a seed, and leave everybody else's random numbers as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def ranks_of(task: OrdinalTask, values: Tensor) -> Tensor:
    """Return the index of the rank nearest to each value, as ``task.nearest_rank`` does.

    Args:
        task: gives the ranks.
        values: ``(B,)`` float32 on the task's number line.

    Returns:
        ``(B,)`` int64, on the same device.

    Example:
        >>> from ordlib import load_task
        >>> ranks_of(load_task("quality"), torch.tensor([1.2, 2.5, 4.9]))
        tensor([0, 2, 4])
    """
    levels = torch.as_tensor(task.levels)
    # Halved in double precision, as the task does: a label halfway must not fall below it.
    edges = ((levels[:-1] + levels[1:]) / 2).to(values.dtype)
    return torch.bucketize(values, edges.to(values.device), right=True)


def bins_of(task: OrdinalTask, values: Tensor) -> Tensor:
    """Return the coarse bin of each value, as ``task.bin_of`` does.

    Args:
        task, values: as for :func:`ranks_of`.

    Returns:
        ``(B,)`` int64, on the same device.

    Example:
        >>> from ordlib import load_task
        >>> bins_of(load_task("ageing"), torch.tensor([4.0, 13.0, 90.0]))
        tensor([0, 1, 4])
    """
    edges = torch.tensor(task.bin_edges[1:], dtype=values.dtype)
    return torch.bucketize(values, edges.to(values.device), right=True)


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
        return super().config() | {"task": self.task_fields()}

    def task_fields(self) -> dict:
        """Return the fields of the task, as far as the method uses them."""
        return asdict(self.task)

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
