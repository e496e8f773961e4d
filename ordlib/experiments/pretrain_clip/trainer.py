"""The training loop: steps, looks at the loss, and states written on the way."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor
from transformers import CLIPModel

from ...utils.device import pick_attention, pick_dtype
from .config import Plan
from .loader import Batch, Batches
from .loss import contrastive_loss
from .optimizers import make_optimizers
from .training_state import Progress, load_state, save_state
from .two_encoders import TwoTowers

LARGEST_NORM = 1.0
# How often in a run the loss is looked at; on a GPU each look waits for it.
LOOKS = 200

Watch = Callable[[Progress], None]


class Trainer:
    """Trains a model as planned, from its last state on.

    Args:
        plan: of the run.
        model: untrained; trained in place.
        accelerator: knows the device and the other processes.
        state: file that the unfinished run is kept in.
        run: what determines the result; a state of another run is refused.

    Attributes:
        progress: how far the run has come.
    """

    def __init__(
        self, plan: Plan, model: CLIPModel, accelerator: Accelerator, state: Path, run: dict
    ) -> None:
        device = accelerator.device
        model.set_attn_implementation(pick_attention(device))
        towers = TwoTowers(model, pick_dtype(plan.precision, device))
        optimizers = make_optimizers(model, device)
        self.plan, self.accelerator, self._path, self._run = plan, accelerator, state, run
        self.progress = load_state(state, run, model, optimizers)
        self._towers, *self._optimizers = accelerator.prepare(towers, *optimizers)
        self._saved = time.monotonic()

    def fit(self, batches: Batches, save_minutes: float, watch: Watch | None = None) -> None:
        """Train to the end.

        Args:
            batches: of the same plan.
            save_minutes: time between two states.
            watch: called after each step.

        Raises:
            FloatingPointError: the loss is no longer a number; the last state stays.
        """
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
            model = self.accelerator.unwrap_model(self._towers).clip
            save_state(self._path, self._run, model, self._optimizers, self.progress)
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
