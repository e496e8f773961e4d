"""The training loop: steps, looks at the loss, and states written on the way."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor
from transformers import CLIPModel

from ...training.checkpoint import load_unfinished, save_unfinished
from ...utils.device import pick_attention, pick_dtype
from .config import Plan
from .loader import Batch, Batches
from .model import TwoTowers, contrastive_loss
from .optimizers import make_optimizers

LARGEST_NORM = 1.0
# How often in a run the loss is looked at; on a GPU each look waits for it.
LOOKS = 200


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        step: batches trained on.
        seconds: spent training, over all sittings.
        waited: seconds of these spent waiting for data.
        counted: captions so far that stated the true count.
        losses: pairs of step and loss, some 200 over a run.
    """

    step: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    counted: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)


Watch = Callable[[Progress], None]


class Trainer:
    """Trains a model in place, as planned and from its last state on.

    Args:
        plan: of the run.
        model: untrained.
        accelerator: knows the device and the other processes.
        state: file that the unfinished run is kept in.
        run: what determines the result; a state of another run is refused.
    """

    def __init__(
        self, plan: Plan, model: CLIPModel, accelerator: Accelerator, state: Path, run: dict
    ) -> None:
        device = accelerator.device
        model.set_attn_implementation(pick_attention(device))
        towers = TwoTowers(model, pick_dtype(plan.precision, device))
        optimizers = make_optimizers(model, device)
        self.plan, self.accelerator, self._path, self._run = plan, accelerator, state, run
        states, progress = load_unfinished(state, run, optimizers) or ({}, {})
        if states:
            model.load_state_dict(states["model"])
        self.progress = Progress(**progress)
        self._towers, *self._optimizers = accelerator.prepare(towers, *optimizers)
        self._saved = time.monotonic()

    def fit(self, batches: Batches, save_minutes: float, watch: Watch | None = None) -> None:
        """Train to the end; where the loss is no longer a number, the last state stays."""
        progress, before = self.progress, (self.progress.seconds, self.progress.waited)
        began = time.perf_counter()
        for batch in batches.start(progress.step):
            loss = self._step(batch)
            progress.step += 1
            progress.counted += batch.counted
            progress.seconds = before[0] + time.perf_counter() - began
            progress.waited = before[1] + batches.waited
            late = time.monotonic() - self._saved >= 60 * save_minutes
            if late or self._is_look():
                self._look(loss)
            if late and progress.step < self.plan.steps:
                self.save()
            if watch:
                watch(progress)

    def save(self) -> None:
        """Write the state, from one process alone."""
        if self.accelerator.is_main_process:
            states = {"model": self.accelerator.unwrap_model(self._towers).clip.state_dict()}
            progress = asdict(self.progress)
            save_unfinished(self._path, self._run, states, self._optimizers, progress)
        self._saved = time.monotonic()

    def _step(self, batch: Batch) -> Tensor:
        for group in (g for optimizer in self._optimizers for g in optimizer.param_groups):
            group["lr"] = self.plan.rate(self.progress.step)
        device = self.accelerator.device
        images, ids = (part.to(device, non_blocking=True) for part in (batch.images, batch.ids))
        loss = contrastive_loss(*self._towers(images, ids))
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self._towers.parameters(), LARGEST_NORM)
        for optimizer in self._optimizers:
            optimizer.step()
        self.accelerator.unwrap_model(self._towers).limit_scale()
        return loss.detach()

    def _is_look(self) -> bool:
        return self.progress.step % max(self.plan.steps // LOOKS, 1) == 0

    def _look(self, loss: Tensor) -> None:
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} at step {self.progress.step}: lower --learning-rate. "
                f"{self._path} holds the last good state, if one was written"
            )
        if self._is_look():
            self.progress.losses.append((self.progress.step, round(value, 4)))
