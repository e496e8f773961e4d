"""Training hyperparameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

LOWER_IS_BETTER = ("mae",)
METRICS = ("mae", "accuracy", "off_by_one", "kappa", "spearman", "pearson", "pairwise")
WARMUP_RATIO = 0.1


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Training hyperparameters of :func:`~ordlib.fit`.

    Attributes:
        epochs: total number of epochs, including ``prompt_epochs``.
        batch_size: images per step, over all processes; capped at the number of images.
        learning_rate: peak learning rate.
        lr_multipliers: factor on ``learning_rate`` for each parameter group: "image_encoder",
            "adapter" (CLIP-Adapter), "prompts" (context, rank embeddings, RankFormer),
            "ranking_adapter" or "head" (all other parameters, such as NumCLIP's regressor).
        max_grad_norm: maximum gradient norm, for clipping.
        monitor: validation metric that selects the best epoch; "off_by_one" is accuracy within one
            rank, "kappa" quadratic weighted kappa, "pairwise" pairwise accuracy. "mae" is in the
            unit of the labels; of a RankingAdapter in standard deviations, averaged over tasks.
        patience: epochs without improvement before early stopping; None disables it.
        prompt_epochs: epochs of a first stage with a frozen image encoder and cached features; a
            second stage trains image encoder and CLIP-Adapter only. 0 trains everything jointly.
        seed: random seed of the batches and dropout.

    Raises:
        ValueError: a field out of its range.

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
        factors = self.lr_multipliers.values()
        self._check("lr_multipliers", all(f >= 0 for f in factors), "must not be negative")
        self._check("seed", self.seed >= 0, "must not be negative")
        valid = 0 <= self.prompt_epochs < self.epochs
        self._check("prompt_epochs", valid, f"must be 0 to {self.epochs - 1}, below epochs")
        self._check("monitor", self.monitor in METRICS, f"must be one of {', '.join(METRICS)}")
        valid = self.patience is None or self.patience >= 1
        self._check("patience", valid, "must be 1 or more, or None")

    def _check(self, name: str, valid: bool, rule: str) -> None:
        if not valid:
            raise ValueError(f"{name} = {getattr(self, name)!r}: {rule}")

    def lr_factor(self, step: int, num_steps: int) -> float:
        """Return the learning-rate factor: linear warmup, then cosine decay."""
        warmup = max(round(WARMUP_RATIO * num_steps), 1)
        if step < warmup:
            return (step + 1) / warmup
        return (1 + math.cos(math.pi * (step + 1 - warmup) / (num_steps + 1 - warmup))) / 2

    def is_better(self, value: float, best: float | None) -> bool:
        """Return whether a value of ``monitor`` improves on the best one; NaN never does."""
        if math.isnan(value) or best is None:
            return not math.isnan(value)
        return value < best if self.monitor in LOWER_IS_BETTER else value > best
