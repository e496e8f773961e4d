"""Check, before the work, that a model can be trained and saved such that it loads again."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..components.io import check_replaceable
from ..utils.output import folder_path

if TYPE_CHECKING:
    from .base import TrainableModule
    from .saving import SavedModel


def check_saving(model: "SavedModel", folder: str | os.PathLike) -> Path:
    """Return the path of the folder of a component, where ``~`` is the home folder.

    Raises:
        ValueError: see :func:`check_weights`; or the folder has anything else than an earlier
            component of the same method and tasks.
        NotADirectoryError: not a folder.
    """
    if hasattr(model, "trainable_state_dict"):  # a probe has none
        check_weights(model)
    path = folder_path("folder", folder)
    check_replaceable(path, model.config())
    return path


def check_weights(model: "TrainableModule") -> None:
    """Raise ValueError unless the weights are those of a model that could be saved and loaded.

    The model's are finite and float32, and the backbone's are as they were loaded.
    """
    for name, tensor in model.trainable_state_dict().items():
        problem = "contains NaN or infinite values; build the model again"
        if tensor.dtype != torch.float32 or tensor.is_meta:
            problem = (
                f"is {tensor.dtype} on {tensor.device}: call model.float(), or build the model "
                "again; load_clip(dtype=...) sets the precision of the backbone"
            )
        elif tensor.isfinite().all():
            continue
        raise ValueError(f"{type(model).__name__}: the parameter {name} {problem}")
    if not model.clip.weights_unchanged:
        raise ValueError(
            f"the weights of the backbone {model.clip.name} have changed since it was loaded: the "
            "model would fit no backbone that can be loaded. Load it again with load_clip; "
            "image_encoder='lora' or 'full' tunes a copy"
        )
