"""What a pretraining run is asked to do: everything that determines its result."""

import math
from dataclasses import dataclass, field
from typing import get_args

from ...utils.device import Precision
from .model_sizes import PicoCLIPConfig

WARMUP_RATIO = 0.05


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """One pretraining run.

    Attributes:
        count_caption_fraction: share, 0 to 1, of counting captions that state the true count.
        distractor_number_fraction: share of captions with a numeral about something else; None takes the captions'
            own table.
        seed: of the first weights, the order of pictures, and the words of captions.
        size: geometry of the model.
        num_images: how many of the pool's pictures to use.
        samples_seen: how many picture-caption pairs to see in all. Beyond ``pictures`` every picture is
            seen again, with another caption.
        batch_size: pairs contrasted at once, over all processes.
        learning_rate: at its highest, after the warm-up.
        precision: of matrix products; "auto" takes bfloat16 where the hardware has it.

    Raises:
        ValueError: names the field, its value and what it must be.

    Example:
        >>> config = PretrainingConfig(samples_seen=2000, batch_size=100)
        >>> config.steps, [round(config.learning_rate_at(step) * 1000, 2) for step in (0, 10, 19)]
        (20, [2.0, 1.0, 0.01])
        >>> PretrainingConfig(count_caption_fraction=50)
        Traceback (most recent call last):
        ValueError: count_caption_fraction = 50: must be a share, 0 to 1
    """

    count_caption_fraction: float = 0.0
    distractor_number_fraction: float | None = None
    seed: int = 0
    size: PicoCLIPConfig = field(default_factory=PicoCLIPConfig)
    num_images: int = 384_000
    samples_seen: int = 3_840_000
    batch_size: int = 512
    learning_rate: float = 2e-3
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        share = "must be a share, 0 to 1"
        self._check("count_caption_fraction", 0 <= self.count_caption_fraction <= 1, share)
        self._check(
            "distractor_number_fraction",
            self.distractor_number_fraction is None or 0 <= self.distractor_number_fraction <= 1,
            share,
        )
        self._check("seed", self.seed >= 0, "must not be negative")
        self._check(
            "batch_size", self.batch_size >= 2, "must be 2 or more: there is no contrast in one"
        )
        self._check(
            "num_images",
            self.num_images >= self.batch_size,
            f"is below the batch of {self.batch_size}",
        )
        self._check(
            "samples_seen",
            self.samples_seen >= self.batch_size,
            f"is below the batch of {self.batch_size}",
        )
        self._check("learning_rate", self.learning_rate > 0, "must be above 0")
        known = get_args(Precision)
        self._check("precision", self.precision in known, f"must be one of {', '.join(known)}")

    def _check(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"{name} = {getattr(self, name)}: {rule}")

    @property
    def steps(self) -> int:
        """Number of batches in all."""
        return self.samples_seen // self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches before pictures come again."""
        return self.num_images // self.batch_size

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step: a linear warm-up, then half a cosine towards 0."""
        warm = max(round(WARMUP_RATIO * self.steps), 1)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        done = (step + 1 - warm) / (self.steps + 1 - warm)
        return self.learning_rate * (1 + math.cos(math.pi * done)) / 2
