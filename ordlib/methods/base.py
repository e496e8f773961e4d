"""Base classes of the methods: parameter groups, checkpoints, loss and prediction."""

import os
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from ..clip import ClipBackbone
from ..components.io import CONFIG, WEIGHTS, backbone_config, check_backbone, load_checkpoint
from ..data import ImageData
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from ..utils.device import seeded, torch_defaults
from ..utils.reading import build, errors_name, get_field
from ..utils.validation import check_batch_size
from .image_encoder import BatchLoader, ImageEncoder, ImageEncoderConfig
from .ood import MahalanobisOOD
from .predictor import Paths, Predictor, as_backbone, as_task
from .saving import SavedModel

if TYPE_CHECKING:
    from ..inference import FilePredictions

# Prefix of the parameter name -> parameter group ("adapter" is CLIP-Adapter); others: "head".
PARAM_GROUPS = {
    "image_encoder.encoder.": "image_encoder",
    "image_encoder.adapter.": "adapter",
    "prompt_learner.": "prompts",
    "rankformer.": "prompts",
    "text_encoder.": "text_encoder",
    "log_scale": "logit_scale",
    "net.": "ranking_adapter",
}


class TrainableModule(nn.Module, Predictor, SavedModel, ABC):
    """Base class: trainable parameters on top of a frozen CLIP. Checkpoints contain only these."""

    clip: ClipBackbone
    options: object  # frozen dataclass of the hyperparameters

    def _register_trainable(self) -> None:
        """Record the parameters that require a gradient; call it at the end of ``__init__``."""
        # Eval mode outside training steps: in training mode, attention kernels round differently.
        self.to(self.clip.device).eval()
        self._trainable_names = {name for name, p in self.named_parameters() if p.requires_grad}

    def on_after_step(self) -> None:
        """Hook after each optimizer step, e.g. to clamp parameters; does nothing by default."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters that require a gradient by group, without empty groups."""
        groups: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(param_group_of(name), []).append(parameter)
        return groups

    def trainable_state_dict(self) -> dict[str, Tensor]:
        """Return the trainable parameters by name, not copied, including those of frozen groups."""
        return {n: p.detach() for n, p in self.named_parameters() if n in self._trainable_names}

    @torch.no_grad()
    def load_trainable_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load tensors; raise ValueError if one is missing, unexpected or of another shape."""
        target = self.trainable_state_dict()
        shapes = [{name: tuple(t.shape) for name, t in group.items()} for group in (state, target)]
        for name in sorted(target.keys() | state.keys()):
            given, expected = (group.get(name, "missing") for group in shapes)
            if given != expected:
                raise ValueError(
                    f"the tensor {name} is {given} in the checkpoint and {expected} in the model; "
                    "load a checkpoint of the same method, task and options"
                )
        for name, tensor in target.items():
            tensor.copy_(state[name])

    def config(self) -> dict:
        """Return the config for :meth:`from_config`, JSON-serializable."""
        return {
            "method": type(self).__name__,
            "options": asdict(self.options),
            "backbone": backbone_config(self.clip),
            "calibrations": self.calibrations_config(),
        }

    def saved_state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that `save_pretrained` writes."""
        return self.trainable_state_dict()

    def load_saved_state_dict(self, state: dict[str, Tensor], config: dict) -> None:
        """Load the tensors of `saved_state_dict`, saved with this `config`."""
        self.load_trainable_state_dict(state)

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict, clip: ClipBackbone) -> Self:
        """Build an untrained model from a config."""

    @classmethod
    @torch_defaults()
    def from_pretrained(cls, folder: str | os.PathLike, clip: ClipBackbone) -> Self:
        """Load a model that `save_pretrained` wrote.

        Raises:
            FileNotFoundError: the folder contains no component.
            ValueError: the component belongs to another method or backbone, or is damaged.
        """
        config, state = load_checkpoint(folder)
        check_backbone(folder, config, clip)
        with errors_name(Path(folder) / CONFIG):
            if (method := get_field(config, "method", str)) != cls.__name__:
                raise ValueError(f"holds a {method}, not a {cls.__name__}; use load_component")
            # JSON turned tuples into lists.
            options = get_field(config, "options", dict).items()
            options = {name: tuple(v) if isinstance(v, list) else v for name, v in options}
            model = cls.from_config(config | {"options": options}, clip)
            model.load_calibrations(config)
            if unknown := config.keys() - model.config().keys() - {"sha256"}:
                raise ValueError(f"unknown field {min(unknown)!r}, perhaps of a newer ordlib")
        with errors_name(Path(folder) / WEIGHTS):
            model.load_saved_state_dict(state, config)
        return model


def param_group_of(name: str) -> str:
    """Return the parameter group of a full parameter name."""
    return next((g for prefix, g in PARAM_GROUPS.items() if name.startswith(prefix)), "head")


def rank_targets(task: OrdinalTask, values: Tensor) -> Tensor:
    """Return the ``(B,)`` index of the rank nearest to each value: ``task.rank_index`` in torch.

    Example:
        >>> from ordlib import load_task
        >>> rank_targets(load_task("quality"), torch.tensor([1.2, 2.5, 4.9]))
        tensor([0, 2, 4])
    """
    rank_values = torch.as_tensor(task.rank_values)
    # Midpoints in float64, as in rank_index: a label on a midpoint belongs to the upper rank.
    edges = ((rank_values[:-1] + rank_values[1:]) / 2).to(values.dtype)
    return torch.bucketize(values, edges.to(values.device), right=True)


def bin_targets(task: OrdinalTask, values: Tensor) -> Tensor:
    """Return the ``(B,)`` index of the coarse bin of each value: ``task.bin_index`` in torch.

    Example:
        >>> from ordlib import load_task
        >>> bin_targets(load_task("ageing"), torch.tensor([4.0, 13.0, 90.0]))
        tensor([0, 1, 4])
    """
    edges = torch.tensor(task.bin_edges[1:], dtype=values.dtype)
    return torch.bucketize(values, edges.to(values.device), right=True)


class OrdinalMethod(TrainableModule):
    """Base class of the single-task methods: image encoder, own parameters, loss, prediction.

    Args:
        clip: the backbone, or its name; its weights are never modified.
        task: defines ranks, bins and prompt templates; or the name of a built-in task.
        options: fields of the class's ``Config``.

    Raises:
        TypeError, ValueError: an option is unknown or out of range.
    """

    Config: ClassVar[type[ImageEncoderConfig]] = ImageEncoderConfig

    def __init__(
        self,
        clip: ClipBackbone | str | os.PathLike,
        task: OrdinalTask | str,
        **options: object,
    ) -> None:
        super().__init__()
        self.options = self.Config(**options)
        self.clip, self.task = as_backbone(clip), as_task(task)
        self.calibrations = {}
        self.ood_detector: MahalanobisOOD | None = None
        with torch_defaults(), seeded(self.options.seed):
            self.image_encoder = ImageEncoder(self.clip, self.options)
            self._build()
        self._register_trainable()

    @abstractmethod
    def _build(self) -> None:
        """Create the parameters other than the image encoder; the RNG is seeded."""

    @abstractmethod
    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return the scalar training loss of ``(B, D)`` image features and ``(B,)`` labels."""

    @abstractmethod
    def predict_from_features(self, features: Tensor) -> Prediction:
        """Return predictions for ``(N, D)`` image features."""

    def check_training_data(self, train: ImageData) -> None:
        """Validate the training split; a hook for subclasses."""

    def warn_about_text_features(self) -> None:
        """Warn of rank prompts that CLIP cannot distinguish; a hook for subclasses."""

    def make_loader(self, data: ImageData, random_crop: bool = False) -> BatchLoader:
        """Return a function that maps row indices to the input of `encode`."""
        return self.image_encoder.make_loader(data, random_crop)

    def encode(self, inputs: Tensor) -> Tensor:
        """Return ``(B, D)`` features, differentiable with respect to the trainable parameters."""
        return self.image_encoder(inputs)

    @torch.no_grad()
    def predict(
        self, images: ImageData | Paths, batch_size: int = 256
    ) -> "Prediction | FilePredictions":
        """Predict labels; methods that classify into ranks also return ``(N, M)`` probabilities.

        Args:
            images: an ImageData, whose labels are not used; or a folder or paths of image files,
                see :func:`~ordlib.inference.predict_files`.
        """
        if not isinstance(images, ImageData):
            return self.predict_files(images, batch_size=batch_size)
        return self.predict_from_features(self.extract_features(images, batch_size))

    def predict_with_ood(
        self, data: ImageData, batch_size: int = 256
    ) -> tuple[Prediction, np.ndarray | None]:
        """Return predictions and ``(N,)`` OOD scores, None without a detector; above 1 is OOD."""
        features = self.extract_features(data, batch_size)
        scores = None
        if self.ood_detector is not None:
            scores = self.ood_detector.scores(features.double().cpu().numpy())
        return self.predict_from_features(features), scores

    def fit_ood_detector(self, train: ImageData, val: ImageData) -> None:
        """Fit an OOD detector to image features; its threshold to those of validation images."""
        features = (self.extract_features(data).double().cpu().numpy() for data in (train, val))
        self.ood_detector = MahalanobisOOD.fit(*features)

    @torch.no_grad()
    def extract_features(
        self, data: ImageData, batch_size: int = 256, loader: BatchLoader | None = None
    ) -> Tensor:
        """Return ``(N, D)`` image features on the model's device; ``loader`` is the data's."""
        check_batch_size(batch_size)
        loader, rows = loader or self.make_loader(data), range(len(data))
        batches = [rows[start : start + batch_size] for start in rows[::batch_size]]
        return torch.cat([self.encode(loader(batch)) for batch in batches])

    def config(self) -> dict:
        """Return the config of :class:`TrainableModule` with the task and the OOD threshold."""
        threshold = self.ood_detector.threshold if self.ood_detector else None
        return super().config() | {"task": self.task_fields(), "ood_threshold": threshold}

    def saved_state_dict(self) -> dict[str, Tensor]:
        """Return the trainable parameters and the OOD detector."""
        state = self.trainable_state_dict()
        return state if self.ood_detector is None else state | self.ood_detector.state_dict()

    def load_saved_state_dict(self, state: dict[str, Tensor], config: dict) -> None:
        """Load what `saved_state_dict` and `config` returned."""
        parameters = {name: t for name, t in state.items() if not name.startswith("ood.")}
        super().load_saved_state_dict(parameters, config)
        threshold = config.get("ood_threshold")
        if len(parameters) < len(state) or threshold is not None:
            width = self.clip.embed_dim
            self.ood_detector = MahalanobisOOD.from_state_dict(state, threshold, width)

    def task_fields(self) -> dict:
        """Return the fields of the task that the method uses."""
        return asdict(self.task)

    @classmethod
    def from_config(cls, config: dict, clip: ClipBackbone) -> Self:
        """Build an untrained model from a config."""
        return cls(clip, build(OrdinalTask, config.get("task"), "task"), **config["options"])

    def set_frozen_groups(self, *groups: str) -> None:
        """Freeze exactly these groups; all other groups become trainable.

        Example:
            >>> from ordlib import CoOp, load_clip, load_task
            >>> model = CoOp(load_clip("pico-clip", "cpu"), load_task("dating"))
            >>> model.set_frozen_groups("prompts")
            >>> [*model.parameter_groups()]
            ['adapter']
        """
        for name, parameter in self.named_parameters():
            if name in self._trainable_names:
                parameter.requires_grad_(param_group_of(name) not in groups)

    def with_frozen_encoder(self) -> Self:
        """Return a copy of the model with CLIP's frozen image encoder in place of a tuned one."""
        options = asdict(self.options) | {"image_encoder": "frozen"}
        model = type(self)(self.clip, self.task, **options)
        model.copy_trainable_from(self)
        return model

    @torch.no_grad()
    def copy_trainable_from(self, source: "OrdinalMethod") -> None:
        """Copy the trainable parameters whose names both models have."""
        state = source.trainable_state_dict()
        for name, tensor in self.trainable_state_dict().items():
            if name in state:
                tensor.copy_(state[name])
