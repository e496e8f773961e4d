"""What a training run is asked to do: everything that determines its result."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

LOWER_IS_BETTER = ("mae",)
METRICS = ("mae", "accuracy", "off_by_one", "kappa", "spearman", "pearson", "pairwise")
WARMUP_RATIO = 0.1


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How `fit` trains.

    Attributes:
        epochs: passes over the training pictures.
        batch_size: images in a step, over all processes; never more than there are.
        learning_rate: of Adam, at its highest.
        lr_multipliers: factors on it by group of parameters, "image_encoder", "adapter" or "prompts" (words, heads).
        max_grad_norm: gradients are clipped to it.
        monitor: what is watched on val, and decides which epoch's state is kept.
        patience: epochs without a better metric before training stops; None never stops early.
        prompt_epochs: of the epochs, those in a first stage that leaves a tuned picture tower out
            and works on cached features; in a second one tower and adapter are trained, and all
            else is held. 0 trains everything together.
        seed: of the order of the pictures.

    Raises:
        ValueError: names the field, its value and what it must be.

    Example:
        >>> TrainingConfig(monitor="loss")
        Traceback (most recent call last):
        ValueError: monitor = 'loss': must be one of mae, accuracy, off_by_one, ...
    """

    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 3e-3
    lr_multipliers: Mapping[str, float] = field(default_factory=dict, hash=False)
    max_grad_norm: float = 1.0
    monitor: str = "mae"
    patience: int | None = None
    prompt_epochs: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "max_grad_norm"):
            self._check(name, getattr(self, name) > 0, "must be above 0")
        self._check(
            "lr_multipliers",
            all(rate >= 0 for rate in self.lr_multipliers.values()),
            "must not be negative",
        )
        self._check("seed", self.seed >= 0, "must not be negative")
        early = 0 <= self.prompt_epochs < self.epochs
        self._check("prompt_epochs", early, f"must be 0 to {self.epochs - 1}, below epochs")
        self._check("monitor", self.monitor in METRICS, f"must be one of {', '.join(METRICS)}")
        patient = self.patience is None or self.patience >= 1
        self._check("patience", patient, "must be 1 or more, or None")

    def _check(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"{name} = {getattr(self, name)!r}: {rule}")

    def lr_factor(self, step: int, steps: int) -> float:
        """Return the factor of the learning rates: a linear warm-up, then half a cosine."""
        warm = max(round(WARMUP_RATIO * steps), 1)
        if step < warm:
            return (step + 1) / warm
        return (1 + math.cos(math.pi * (step + 1 - warm) / (steps + 1 - warm))) / 2

    def is_better(self, one: float, other: float | None) -> bool:
        """Return whether a value of the metric beats another; a first one does, NaN never."""
        if math.isnan(one):
            return False
        if other is None:
            return True
        return one < other if self.monitor in LOWER_IS_BETTER else one > other
