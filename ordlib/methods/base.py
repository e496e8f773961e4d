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
from ..components.io import load_checkpoint, save_checkpoint
from ..data import ImageData
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from .image_encoder import BatchLoader, ImageEncoder, ImageEncoderConfig

# Parameters by the start of their names; all others are a "head".
PARAM_GROUPS = {
    "image_encoder.encoder.": "image_encoder",
    "image_encoder.adapter.": "adapter",
    "prompt_learner.": "prompts",
    "rankformer.": "prompts",
    "net.": "adapter",
}


class TrainableModule(nn.Module, ABC):
    """Parameters in groups beside a frozen CLIP, kept in a folder without it.

    Attributes:
        clip: the backbone; it stays as it was loaded.
        options: a frozen dataclass of everything that was chosen.
    """

    clip: ClipBackbone
    options: object

    def _register_trainable(self) -> None:
        """Take what needs a gradient now for what is trained; to be called once all is built.

        All but a step of training is done in eval mode: attention rounds otherwise in the other.
        """
        self.to(self.clip.device).eval()
        self._trained = {name for name, p in self.named_parameters() if p.requires_grad}

    def on_after_step(self) -> None:
        """Put right what a step of training may have moved too far; nothing by default."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the trained parameters by group, without empty groups."""
        groups: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(param_group_of(name), []).append(parameter)
        return groups

    def trainable_state_dict(self) -> dict[str, Tensor]:
        """Return by name, not copied, the tensors that are trained in any stage."""
        return {name: p.detach() for name, p in self.named_parameters() if name in self._trained}

    @torch.no_grad()
    def load_trainable_state_dict(self, state: dict[str, Tensor]) -> None:
        """Put trained tensors back.

        Raises:
            ValueError: names or shapes differ from its own (says which).
        """
        own = self.trainable_state_dict()
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
        save_checkpoint(folder, self.config(), self.saved_state_dict(), card or {})

    def config(self) -> dict:
        """Return what rebuilds the thing around its tensors."""
        return {
            "method": type(self).__name__,
            "options": asdict(self.options),
            "backbone": {"name": self.clip.name, "sha256": self.clip.weights_hash},
        }

    def saved_state_dict(self) -> dict[str, Tensor]:
        """Return the tensors as they are kept in a folder."""
        return self.trainable_state_dict()

    def load_saved_state_dict(self, state: dict[str, Tensor], config: dict) -> None:
        """Put back what :meth:`saved_state_dict` and :meth:`config` gave; raises as `load_trainable_state_dict`."""
        self.load_trainable_state_dict(state)

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
        config, state = load_checkpoint(folder)
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
        model.load_saved_state_dict(state, config)
        return model


def param_group_of(name: str) -> str:
    """Return the group of a parameter, by its full name."""
    for prefix, group in PARAM_GROUPS.items():
        if name.startswith(prefix):
            return group
    return "head"


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


def rank_targets(task: OrdinalTask, values: Tensor) -> Tensor:
    """Return the index of the rank nearest to each value, as ``task.rank_index`` does.

    Args:
        task: gives the ranks.
        values: ``(B,)`` float32 on the task's number line.

    Returns:
        ``(B,)`` int64, on the same device.

    Example:
        >>> from ordlib import load_task
        >>> rank_targets(load_task("quality"), torch.tensor([1.2, 2.5, 4.9]))
        tensor([0, 2, 4])
    """
    rank_values = torch.as_tensor(task.rank_values)
    # Halved in double precision, as the task does: a label halfway must not fall below it.
    edges = ((rank_values[:-1] + rank_values[1:]) / 2).to(values.dtype)
    return torch.bucketize(values, edges.to(values.device), right=True)


def bin_targets(task: OrdinalTask, values: Tensor) -> Tensor:
    """Return the coarse bin of each value, as ``task.bin_index`` does.

    Args:
        task, values: as for :func:`rank_targets`.

    Returns:
        ``(B,)`` int64, on the same device.

    Example:
        >>> from ordlib import load_task
        >>> bin_targets(load_task("ageing"), torch.tensor([4.0, 13.0, 90.0]))
        tensor([0, 1, 4])
    """
    edges = torch.tensor(task.bin_edges[1:], dtype=values.dtype)
    return torch.bucketize(values, edges.to(values.device), right=True)


class OrdinalMethod(TrainableModule):
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

    Config: ClassVar[type[ImageEncoderConfig]] = ImageEncoderConfig

    def __init__(self, clip: ClipBackbone, task: OrdinalTask, **options: object) -> None:
        super().__init__()
        self.clip, self.task, self.options = clip, task, self.Config(**options)
        with seeded(self.options.seed):
            self.image_encoder = ImageEncoder(clip, self.options)
            self._build()
        self._register_trainable()

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
    def predict_from_features(self, features: Tensor) -> Prediction:
        """Return predictions of ``(N, D)`` features of the picture side."""

    def check_training_data(self, train: ImageData) -> None:
        """Complain of training pictures that the method cannot learn from; nothing by default."""

    def make_loader(self, data: ImageData) -> BatchLoader:
        """Return a function from rows of the data to what :meth:`encode` takes."""
        return self.image_encoder.make_loader(data)

    def encode(self, inputs: Tensor) -> Tensor:
        """Return ``(B, D)`` features of the picture side, with gradient to what is tuned."""
        return self.image_encoder(inputs)

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
        return self.predict_from_features(self.extract_features(data, batch_size))

    @torch.no_grad()
    def extract_features(self, data: ImageData, batch_size: int = 256) -> Tensor:
        """Return ``(N, D)`` features of the picture side, on the device."""
        inputs = self.make_loader(data)
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

    def freeze(self, *groups: str) -> None:
        """Train all groups but these from now on; what is held still belongs to the result.

        Args:
            groups: of "image_encoder", "adapter", "prompts" and "head".

        Example:
            >>> from ordlib import CoOp, load_clip, load_task
            >>> model = CoOp(load_clip("pico-clip", "cpu"), load_task("dating"))
            >>> model.freeze("prompts")
            >>> [*model.parameter_groups()]
            ['adapter']
        """
        for name, parameter in self.named_parameters():
            if name in self._trained:
                parameter.requires_grad_(param_group_of(name) not in groups)

    def with_frozen_encoder(self) -> Self:
        """Return the same method on the backbone's own features, with copies of all the rest."""
        options = asdict(self.options) | {"image_encoder": "frozen"}
        model = type(self)(self.clip, self.task, **options)
        model.copy_trainable_from(self)
        return model

    @torch.no_grad()
    def copy_trainable_from(self, other: "OrdinalMethod") -> None:
        """Copy the trained tensors that another model has, too."""
        theirs = other.trainable_state_dict()
        for name, tensor in self.trainable_state_dict().items():
            if name in theirs:
                tensor.copy_(theirs[name])
