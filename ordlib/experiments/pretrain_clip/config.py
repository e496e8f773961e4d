"""Pretraining hyperparameters and model sizes of pico-clip."""

import math
from dataclasses import dataclass, field

from ...utils.device import Precision
from ...utils.validation import check_choice, check_types

WARMUP_RATIO = 0.05


@dataclass(frozen=True)
class PicoCLIPConfig:
    """Architecture of a pico-clip; the defaults are those of the shipped checkpoints."""

    name: str = "small"
    image_size: int = 96  # pixels
    patch: int = 12  # pixels
    vision_width: int = 96
    vision_layers: int = 3
    text_width: int = 96
    text_layers: int = 2
    embed_dim: int = 96  # joint embedding space


SIZES = {"small": PicoCLIPConfig()}


def find_size(name: str) -> PicoCLIPConfig:
    """Return a model size by name; raises ``ValueError`` for an unknown one."""
    check_choice("size", name, tuple(SIZES))
    return SIZES[name]


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """Hyperparameters that determine the result of a pretraining run.

    Example:
        >>> config = PretrainingConfig(samples_seen=2000, batch_size=100)
        >>> config.steps, [round(config.learning_rate_at(step) * 1000, 2) for step in (0, 10, 19)]
        (20, [2.0, 1.0, 0.01])
        >>> PretrainingConfig(count_caption_fraction=50)
        Traceback (most recent call last):
        ValueError: count_caption_fraction = 50.0: must be between 0 and 1
    """

    count_caption_fraction: float = 0.0  # of counting captions that state the true count
    # Of captions with a number about something else; None for that of the caption grammar.
    distractor_number_fraction: float | None = None
    seed: int = 0
    size: PicoCLIPConfig = field(default_factory=PicoCLIPConfig)
    num_images: int = 384_000  # of the pool
    samples_seen: int = 3_840_000  # total number of pairs; images are repeated with new captions
    batch_size: int = 512  # pairs per step, over all processes
    learning_rate: float = 2e-3  # peak, after the linear warm-up
    precision: Precision = "auto"  # of matrix products; bfloat16 where the hardware supports it

    def __post_init__(self) -> None:
        check_types(self)
        distractors = self.distractor_number_fraction
        in_unit_interval = "must be between 0 and 1"
        one_batch = f"must be >= batch_size = {self.batch_size}"
        for name, valid, rule in (
            ("count_caption_fraction", 0 <= self.count_caption_fraction <= 1, in_unit_interval),
            ("distractor_number_fraction", 0 <= (distractors or 0) <= 1, in_unit_interval),
            ("seed", self.seed >= 0, "must be >= 0"),
            ("batch_size", self.batch_size >= 2, "must be >= 2; a single pair has no contrast"),
            ("num_images", self.num_images >= self.batch_size, one_batch),
            ("samples_seen", self.samples_seen >= self.batch_size, one_batch),
            ("learning_rate", self.learning_rate > 0, "must be > 0"),
            ("size", isinstance(self.size, PicoCLIPConfig), "must be that of find_size()"),
        ):
            if not valid:
                raise ValueError(f"{name} = {getattr(self, name)}: {rule}")

    @property
    def steps(self) -> int:
        """Total number of steps."""
        return self.samples_seen // self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps before images repeat."""
        return self.num_images // self.batch_size

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then cosine decay towards 0."""
        warmup_steps = max(round(WARMUP_RATIO * self.steps), 1)
        if step < warmup_steps:
            return self.learning_rate * (step + 1) / warmup_steps
        progress = (step + 1 - warmup_steps) / (self.steps + 1 - warmup_steps)
        return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2
