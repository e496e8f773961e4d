"""Validation of the arguments of fit()."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

from ..data import ImageData
from ..methods.base import OrdinalMethod
from ..methods.checks import check_weights
from ..methods.ranking_adapter.model import RankingAdapter
from ..tasks.validation import check_same_ranks
from .config import TrainingConfig


def to_config(config: TrainingConfig | Mapping[str, object] | None) -> TrainingConfig:
    """Return a config; TypeError for anything else, or an unknown field."""
    if isinstance(config, TrainingConfig):
        return config
    if not isinstance(config, Mapping | None):
        raise TypeError(
            f"config = {config!r:.80}: must be a TrainingConfig or a dict of its fields"
        )
    known = [field.name for field in fields(TrainingConfig)]
    for name in config or {}:
        if name not in known:
            raise TypeError(f"config: has no field {name!r}; use {', '.join(known)}")
    return TrainingConfig(**config or {})


def to_list(name: str, data: ImageData | Sequence[ImageData]) -> list[ImageData]:
    """Return a list of data sets; TypeError for anything else."""
    is_data = isinstance(data, ImageData | str)
    if isinstance(data, Mapping):
        raise TypeError(
            f"{name} = dict of {[*data]}: must be one split; pass data['train'], data['val']"
        )
    datasets = list(data) if isinstance(data, Iterable) and not is_data else [data]
    if not datasets and name != "calibration":
        raise ValueError(f"{name}: is empty; pass an ImageData, as load_folder returns")
    for dataset in datasets:
        if not isinstance(dataset, ImageData):
            raise TypeError(
                f"{name} = {dataset!r:.80}: must be an ImageData, as load_folder returns"
            )
    return datasets


def check_model(model: object) -> None:
    """Raise if a model cannot be trained, or not so that it could be saved and loaded."""
    if not isinstance(model, OrdinalMethod | RankingAdapter):
        remedy = "call model.fit(train)" if hasattr(model, "fit") else "such as NumCLIP(clip, task)"
        raise TypeError(f"model = {model!r:.80}: fit trains a method or an adapter; {remedy}")
    check_weights(model)
    if any(p.requires_grad for p in model.clip.model.parameters()):
        raise ValueError(
            f"the weights of the backbone {model.clip.name} require gradients, but it is frozen: "
            "call clip.model.requires_grad_(False); image_encoder='lora' or 'full' tunes a copy"
        )
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name not in model.trainable_state_dict():
            raise ValueError(
                f"the parameter {name} requires a gradient, but a saved component does not contain "
                "it: build the model again, and choose what is trained by its options"
            )
    if not model.parameter_groups() and model.trainable_state_dict():
        raise ValueError(
            f"no parameter of this {type(model).__name__} requires a gradient: call "
            "model.set_frozen_groups(), or build it again"
        )


def check_tasks(model: OrdinalMethod | RankingAdapter, **datasets: list[ImageData]) -> None:
    """Raise ValueError if the tasks of the data are not those of the model."""
    is_adapter = isinstance(model, RankingAdapter)
    tasks = model.tasks if is_adapter else {model.task.name: model.task}
    for name, sets in datasets.items():
        if len(sets) > 1 and not is_adapter:
            raise ValueError(f"{name}: {len(sets)} data sets; {type(model).__name__} takes one")
        for data in sets:
            if data.task.name in tasks:
                check_same_ranks(tasks[data.task.name], data.task, f"the {data.split} data")
            elif name == "calibration":
                raise ValueError(
                    f"calibration: belongs to task {data.task.name!r}; the model was built for "
                    f"{', '.join(tasks)}"
                )


def check_config(
    model: OrdinalMethod | RankingAdapter, config: TrainingConfig, train: list[ImageData]
) -> None:
    """Raise ValueError if a hyperparameter does not go with the model or its task."""
    groups = [*model.parameter_groups()]
    for name in config.lr_multipliers:
        if name not in groups:
            raise ValueError(f"lr_multipliers: no group {name!r} is trained here; use {groups}")
    model_tasks = [model.task] if isinstance(model, OrdinalMethod) else [*model.tasks.values()]
    for name in config.augmentations:
        if "image_encoder" not in groups:
            raise ValueError(
                f"{name} = {getattr(config, name)!r}: augmentation requires a tuned image encoder, "
                "image_encoder='lora' or 'full'; the features of a frozen one are computed once"
            )
        # The tasks of model and data may differ in what they allow.
        for task in (*model_tasks, *(data.task for data in train)):
            if task.augmentations is not None and name not in task.augmentations:
                raise ValueError(
                    f"{name} = {getattr(config, name)!r}: changes the labels of task "
                    f"{task.name!r}, whose augmentations are {task.augmentations}"
                )
    if config.random_crop and model.clip.resize != "squash_crop":
        raise ValueError(
            f"random_crop = True: requires the enlarged images of load_clip({model.clip.name!r}, "
            f"resize='squash_crop'); this backbone has {model.clip.resize!r}"
        )
    if config.prompt_epochs and "image_encoder" not in groups:
        raise ValueError(
            f"prompt_epochs = {config.prompt_epochs}: two-stage training requires a trainable "
            "image encoder; set prompt_epochs=0, or image_encoder='lora' or 'full'"
        )
