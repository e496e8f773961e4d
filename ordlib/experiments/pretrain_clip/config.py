"""What a pretraining run is asked to do: everything that determines its result."""

import math
from dataclasses import dataclass, field
from typing import get_args

from ...utils.device import Precision
from .model_sizes import PicoSize

WARM_UP = 0.05


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One pretraining run.

    Attributes:
        dose: share, 0 to 1, of counting captions that state the true count.
        spurious: share of captions with a numeral about something else; None takes the captions'
            own table.
        seed: of the first weights, the order of pictures, and the words of captions.
        size: geometry of the model.
        pictures: how many of the pool's pictures to use.
        pairs: how many picture-caption pairs to see in all. Beyond ``pictures`` every picture is
            seen again, with another caption.
        batch: pairs contrasted at once, over all processes.
        learning_rate: at its highest, after the warm-up.
        precision: of matrix products; "auto" takes bfloat16 where the hardware has it.

    Raises:
        ValueError: names the field, its value and what it must be.

    Example:
        >>> plan = Plan(pairs=2000, batch=100)
        >>> plan.steps, [round(plan.rate(step) * 1000, 2) for step in (0, 10, 19)]
        (20, [2.0, 1.0, 0.01])
        >>> Plan(dose=50)
        Traceback (most recent call last):
        ValueError: dose = 50: must be a share, 0 to 1
    """

    dose: float = 0.0
    spurious: float | None = None
    seed: int = 0
    size: PicoSize = field(default_factory=PicoSize)
    pictures: int = 384_000
    pairs: int = 3_840_000
    batch: int = 512
    learning_rate: float = 2e-3
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        share = "must be a share, 0 to 1"
        self._check("dose", 0 <= self.dose <= 1, share)
        self._check("spurious", self.spurious is None or 0 <= self.spurious <= 1, share)
        self._check("seed", self.seed >= 0, "must not be negative")
        self._check("batch", self.batch >= 2, "must be 2 or more: there is no contrast in one")
        self._check("pictures", self.pictures >= self.batch, f"is below the batch of {self.batch}")
        self._check("pairs", self.pairs >= self.batch, f"is below the batch of {self.batch}")
        self._check("learning_rate", self.learning_rate > 0, "must be above 0")
        known = get_args(Precision)
        self._check("precision", self.precision in known, f"must be one of {', '.join(known)}")

    def _check(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"{name} = {getattr(self, name)}: {rule}")

    @property
    def steps(self) -> int:
        """Number of batches in all."""
        return self.pairs // self.batch

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches before pictures come again."""
        return self.pictures // self.batch

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: a linear warm-up, then half a cosine towards 0."""
        warm = max(round(WARM_UP * self.steps), 1)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        done = (step + 1 - warm) / (self.steps + 1 - warm)
        return self.learning_rate * (1 + math.cos(math.pi * done)) / 2
