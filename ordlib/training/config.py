"""Training hyperparameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self, get_args

from ..tasks.validation import AUGMENTATIONS
from ..utils.validation import check_choice, check_types, is_number

OptimizerName = Literal["adam", "adamw", "radam", "sgd"]
Schedule = Literal["cosine", "constant", "multi_step"]

LOWER_IS_BETTER = ("mae", "macro_mae", "max_mae", "rps", "ece")
METRICS = (
    *("mae", "accuracy", "off_by_one", "kappa", "spearman", "pearson", "pairwise"),
    *("macro_mae", "max_mae", "rps", "ece"),
)
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
        optimizer: "adam", "adamw", "radam" (OrdinalCLIP, NumCLIP) or "sgd" (with momentum 0.9), as
            in torch.optim. None is Adam, and for a RankingAdapter AdamW with AMSGrad.
        weight_decay: AdamW decouples it from the gradient; for the others it is an L2 penalty that
            torch adds to the clipped gradient. None is 0, and 0.01 for a RankingAdapter.
        schedule: of the learning rate after the warmup: "cosine" decay to 0, "constant", or
            "multi_step", which multiplies it by ``gamma`` at each of the ``milestones``.
        warmup_ratio: share of the steps in which the learning rate grows linearly to its peak.
        cooldown_ratio: share of the steps, at the end of a constant schedule, in which the
            learning rate falls linearly to 0 (ranking-aware adapter).
        milestones: epochs of a multi-step schedule, counted from 0 over both stages; with a single
            one it is a step schedule. Requires ``epochs``.
        gamma: factor of a multi-step schedule.
        max_grad_norm: maximum gradient norm, for clipping; None does not clip, like the releases.
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
        random_crop: whether each training image is a random part of the enlarged square, of which
            evaluation sees the center; for a tuned image encoder, and a backbone that is loaded
            with ``resize="squash_crop"``.
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
    optimizer: OptimizerName | None = None
    weight_decay: float | None = None
    schedule: Schedule = "cosine"
    warmup_ratio: float = 0.1
    cooldown_ratio: float = 0.0
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    max_grad_norm: float | None = 1.0
    monitor: str = "mae"
    patience: int | None = None
    prompt_epochs: int = 0
    balanced_sampling: bool = False
    flip: bool = False
    crop_scale: float | None = None
    random_crop: bool = False
    jitter: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("batch_size", "learning_rate", "gamma"):
            self._check(name, getattr(self, name) > 0, "must be above 0")
        self._check("gamma", self.gamma <= 1, "must be at most 1: it lowers the learning rate")
        for name in ("epochs", "max_grad_norm"):
            value = getattr(self, name)
            self._check(name, value is None or value > 0, "must be above 0, or None")
        valid = isinstance(self.lr_multipliers, Mapping)
        valid = valid and all(is_number(f) and f >= 0 for f in self.lr_multipliers.values())
        self._check("lr_multipliers", valid, "must map parameter groups to numbers, 0 or more")
        for name in ("seed", "weight_decay"):
            valid = getattr(self, name) is None or getattr(self, name) >= 0
            self._check(name, valid, "must not be negative")
        self._check("seed", self.seed < 2**63, "must be below 2**63")
        limit = math.inf if self.epochs is None else self.epochs
        rule = f"must be 0 or more, and below epochs = {self.epochs}"
        self._check("prompt_epochs", 0 <= self.prompt_epochs < limit, rule)
        self._check("monitor", self.monitor in METRICS, f"must be one of {', '.join(METRICS)}")
        valid = self.patience is None or self.patience >= 1
        self._check("patience", valid, "must be 1 or more, or None")
        valid = self.crop_scale is None or 0 < self.crop_scale <= 1
        self._check("crop_scale", valid, "must be above 0 and at most 1, or None")
        self._check("jitter", 0 <= self.jitter < 1, "must be 0 or more and below 1")
        self._check_schedule()

    def _check_schedule(self) -> None:
        check_choice("optimizer", self.optimizer, (*get_args(OptimizerName), None))
        check_choice("schedule", self.schedule, get_args(Schedule))
        valid = 0 <= self.warmup_ratio < 1
        self._check("warmup_ratio", valid, "must be 0 or more and below 1")
        valid = 0 <= self.cooldown_ratio <= 1 - self.warmup_ratio
        self._check("cooldown_ratio", valid, "must be 0 or more, and with warmup_ratio at most 1")
        valid = self.schedule == "constant" or not self.cooldown_ratio
        self._check("cooldown_ratio", valid, "only for schedule='constant'")
        is_multi_step = self.schedule == "multi_step"
        valid = isinstance(self.milestones, list | tuple)
        valid = valid and all(is_number(m) and m == int(m) > 0 for m in self.milestones)
        valid = valid and list(self.milestones) == sorted(set(self.milestones))
        self._check("milestones", valid, "must be epochs in increasing order, from 1")
        object.__setattr__(self, "milestones", tuple(map(int, self.milestones)))
        valid = is_multi_step == bool(self.milestones)
        self._check("milestones", valid, "required by schedule='multi_step', and only there")
        valid = not is_multi_step or (self.epochs or 0) > self.milestones[-1]
        self._check("milestones", valid, f"must be below epochs = {self.epochs}")

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
        return tuple(name for name in AUGMENTATIONS if getattr(self, name))

    def lr_factor(self, step: int, num_steps: int) -> float:
        """Return the learning-rate factor of a step, counted from 0.

        Example:
            >>> config = TrainingConfig(epochs=3, schedule="multi_step", milestones=(2,))
            >>> [config.lr_factor(step, 6) for step in range(6)]
            [1.0, 1.0, 1.0, 1.0, 0.1, 0.1]
        """
        warmup = max(round(self.warmup_ratio * num_steps), 1)
        factor = (step + 1) / warmup if step < warmup else 1.0
        if self.schedule == "multi_step":
            epoch = step * self.epochs // num_steps
            return factor * self.gamma ** sum(epoch >= m for m in self.milestones)
        if step < warmup:
            return factor
        if self.schedule == "constant":
            cooldown = round(self.cooldown_ratio * num_steps)
            return min((num_steps - step) / cooldown, 1.0) if cooldown else 1.0
        return (1 + math.cos(math.pi * (step + 1 - warmup) / (num_steps + 1 - warmup))) / 2

    def is_better(self, value: float, best: float | None) -> bool:
        """Return whether a value of ``monitor`` improves on the best one; NaN never does."""
        if math.isnan(value) or best is None:
            return not math.isnan(value)
        return value < best if self.monitor in LOWER_IS_BETTER else value > best
