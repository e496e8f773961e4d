"""Training hyperparameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from ..utils.validation import check_integers

LOWER_IS_BETTER = ("mae", "macro_mae", "max_mae", "rps", "ece")
METRICS = (
    *("mae", "accuracy", "off_by_one", "kappa", "spearman", "pearson", "pairwise"),
    *("macro_mae", "max_mae", "rps", "ece"),
)
WARMUP_RATIO = 0.1
# Default length of training in steps, so that small data sets train long enough. Selected on val of
# three rendered tasks and on a validation fold of photographs, with 180 to 1,000 training images.
NUM_STEPS, PATIENCE_STEPS = 2000, 300
MIN_EPOCHS, MIN_PATIENCE = 20, 5


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Training hyperparameters of :func:`~ordlib.fit`.

    Attributes:
        epochs: total number of epochs, including ``prompt_epochs``; None takes as many as make
            2,000 steps, at least 20, with early stopping.
        batch_size: images per step, over all processes; capped at the number of images.
        learning_rate: peak learning rate.
        lr_multipliers: factor on ``learning_rate`` for each parameter group: "image_encoder",
            "adapter" (CLIP-Adapter), "prompts" (context, rank embeddings, RankFormer),
            "text_encoder", "logit_scale", "ranking_adapter" or "head" (all other parameters, such
            as NumCLIP's regressor).
        max_grad_norm: maximum gradient norm, for clipping.
        monitor: validation metric that selects the best epoch; "off_by_one" is accuracy within one
            rank, "kappa" quadratic weighted kappa, "pairwise" pairwise accuracy, "macro_mae" the
            mean of the MAE of each rank, for skewed labels; see
            :func:`~ordlib.metrics.compute_metrics`. "mae" is in the
            unit of the labels; of a RankingAdapter in standard deviations, averaged over tasks.
        patience: epochs without improvement before early stopping; None disables it, but with
            ``epochs=None`` takes as many as make 300 steps, at least 5.
        prompt_epochs: epochs of a first stage with a frozen image encoder and cached features; a
            second stage trains image encoder and CLIP-Adapter only. 0 trains everything jointly.
        balanced_sampling: whether each epoch draws images of all ranks equally often, with
            replacement; for skewed labels. A RankingAdapter always does.
        flip: whether half of the training images are mirrored, for a tuned image encoder.
        crop_scale: smallest fraction of an image's area that a random crop keeps, in (0, 1]; None
            does not crop. For a tuned image encoder.
        jitter: largest relative change of brightness and of contrast, 0 to below 1; for a tuned
            image encoder.
        seed: random seed of the batches, dropout and augmentation.

    Raises:
        ValueError: a field out of its range.

    Example:
        >>> TrainingConfig(monitor="loss")
        Traceback (most recent call last):
        ValueError: monitor = 'loss': must be one of mae, accuracy, off_by_one, ...
    """

    epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 3e-3
    lr_multipliers: Mapping[str, float] = field(default_factory=dict, hash=False)
    max_grad_norm: float = 1.0
    monitor: str = "mae"
    patience: int | None = None
    prompt_epochs: int = 0
    balanced_sampling: bool = False
    flip: bool = False
    crop_scale: float | None = None
    jitter: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_integers(self)
        for name in ("batch_size", "learning_rate", "max_grad_norm"):
            self._check(name, getattr(self, name) > 0, "must be above 0")
        self._check("epochs", self.epochs is None or self.epochs > 0, "must be above 0, or None")
        factors = self.lr_multipliers.values()
        self._check("lr_multipliers", all(f >= 0 for f in factors), "must not be negative")
        self._check("seed", self.seed >= 0, "must not be negative")
        limit = math.inf if self.epochs is None else self.epochs
        rule = f"must be 0 or more, and below epochs = {self.epochs}"
        self._check("prompt_epochs", 0 <= self.prompt_epochs < limit, rule)
        self._check("monitor", self.monitor in METRICS, f"must be one of {', '.join(METRICS)}")
        valid = self.patience is None or self.patience >= 1
        self._check("patience", valid, "must be 1 or more, or None")
        valid = self.crop_scale is None or 0 < self.crop_scale <= 1
        self._check("crop_scale", valid, "must be above 0 and at most 1, or None")
        self._check("jitter", 0 <= self.jitter < 1, "must be 0 or more and below 1")

    def _check(self, name: str, valid: bool, rule: str) -> None:
        if not valid:
            raise ValueError(f"{name} = {getattr(self, name)!r}: {rule}")

    def resolved(self, num_images: int) -> Self:
        """Return the config with epochs and patience for a number of training images.

        Example:
            >>> config = TrainingConfig().resolved(200)
            >>> config.epochs, config.patience
            (667, 100)
        """
        if self.epochs is not None:
            return self
        steps_per_epoch = num_images // min(self.batch_size, num_images)
        patience = max(math.ceil(PATIENCE_STEPS / steps_per_epoch), MIN_PATIENCE)
        return replace(
            self,
            epochs=max(math.ceil(NUM_STEPS / steps_per_epoch), MIN_EPOCHS),
            patience=patience if self.patience is None else self.patience,
        )

    @property
    def augmentations(self) -> tuple[str, ...]:
        """Names of the augmentations in use."""
        values = {"flip": self.flip, "crop_scale": self.crop_scale, "jitter": self.jitter}
        return tuple(name for name, value in values.items() if value)

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
