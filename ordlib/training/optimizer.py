"""Optimizers of the papers' recipes, one learning rate per parameter group."""

from functools import partial

from torch.optim import SGD, Adam, AdamW, Optimizer, RAdam

from ..methods.base import TrainableModule
from .config import TrainingConfig

OPTIMIZERS = {
    "adam": Adam,
    "adamw": AdamW,
    "adamw_amsgrad": partial(AdamW, amsgrad=True),
    "radam": RAdam,
    "sgd": partial(SGD, momentum=0.9),
}


def make_optimizer(
    model: TrainableModule, config: TrainingConfig, default: str, default_weight_decay: float
) -> Optimizer:
    """Return the optimizer of the config, or the default one of the method.

    Example:
        >>> from ordlib import CoOp, load_clip, load_task
        >>> model = CoOp(load_clip("pico-clip", "cpu"), load_task("dating"))
        >>> config = TrainingConfig(optimizer="sgd", lr_multipliers={"prompts": 0.5})
        >>> [group["lr"] for group in make_optimizer(model, config, "adam", 0.0).param_groups]
        [0.003, 0.0015]
    """
    lr, factors, decay = config.learning_rate, config.lr_multipliers, config.weight_decay
    groups = model.parameter_groups().items()
    return OPTIMIZERS[config.optimizer or default](
        [{"params": p, "lr": lr * factors.get(name, 1.0)} for name, p in groups],
        weight_decay=default_weight_decay if decay is None else decay,
    )
