"""The training loop: steps, looks at the loss, and states written on the way."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor
from transformers import CLIPModel

from ...training.checkpoint import load_training_state, save_training_state
from ...utils.device import pick_attention, pick_dtype
from .config import PretrainingConfig
from .loader import Batch, PairLoader
from .model import CLIPWithPreprocessing, contrastive_loss
from .optimizers import make_optimizers

MAX_GRAD_NORM = 1.0
# How often in a run the loss is looked at; on a GPU each look waits for it.
NUM_LOG_POINTS = 200


@dataclass
class PretrainingState:
    """How far a run has come.

    Attributes:
        step: batches trained on.
        seconds: spent training, over all sittings.
        data_wait_seconds: seconds of these spent waiting for data.
        counted: captions so far that stated the true count.
        losses: pairs of step and loss, some 200 over a run.
    """

    step: int = 0
    seconds: float = 0.0
    data_wait_seconds: float = 0.0
    counted: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)


Watch = Callable[[PretrainingState], None]


class Trainer:
    """Trains a model in place, as planned and from its last state on.

    Args:
        config: of the run.
        model: untrained.
        accelerator: knows the device and the other processes.
        state: file that the unfinished run is kept in.
        run: what determines the result; a state of another run is refused.
    """

    def __init__(
        self,
        config: PretrainingConfig,
        model: CLIPModel,
        accelerator: Accelerator,
        state: Path,
        run: dict,
    ) -> None:
        device = accelerator.device
        model.set_attn_implementation(pick_attention(device))
        towers = CLIPWithPreprocessing(model, pick_dtype(config.precision, device))
        optimizers = make_optimizers(model, device)
        self.config, self.accelerator, self._path, self._run = config, accelerator, state, run
        states, progress = load_training_state(state, run, optimizers) or ({}, {})
        if states:
            model.load_state_dict(states["model"])
        self.progress = PretrainingState(**progress)
        self._towers, *self._optimizers = accelerator.prepare(towers, *optimizers)
        self._saved = time.monotonic()

    def fit(self, batches: PairLoader, save_minutes: float, watch: Watch | None = None) -> None:
        """Train to the end; where the loss is no longer a number, the last state stays."""
        progress, before = self.progress, (self.progress.seconds, self.progress.data_wait_seconds)
        began = time.perf_counter()
        for batch in batches.start(progress.step):
            loss = self._step(batch)
            progress.step += 1
            progress.counted += batch.counted
            progress.seconds = before[0] + time.perf_counter() - began
            progress.data_wait_seconds = before[1] + batches.data_wait_seconds
            late = time.monotonic() - self._saved >= 60 * save_minutes
            if late or self._should_log():
                self._log_loss(loss)
            if late and progress.step < self.config.steps:
                self.save()
            if watch:
                watch(progress)

    def save(self) -> None:
        """Write the state, from one process alone."""
        if self.accelerator.is_main_process:
            states = {"model": self.accelerator.unwrap_model(self._towers).clip.state_dict()}
            progress = asdict(self.progress)
            save_training_state(self._path, self._run, states, self._optimizers, progress)
        self._saved = time.monotonic()

    def _step(self, batch: Batch) -> Tensor:
        for group in (g for optimizer in self._optimizers for g in optimizer.param_groups):
            group["lr"] = self.config.learning_rate_at(self.progress.step)
        device = self.accelerator.device
        images, ids = (part.to(device, non_blocking=True) for part in (batch.images, batch.ids))
        loss = contrastive_loss(*self._towers(images, ids))
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self._towers.parameters(), MAX_GRAD_NORM)
        for optimizer in self._optimizers:
            optimizer.step()
        self.accelerator.unwrap_model(self._towers).clamp_logit_scale()
        return loss.detach()

    def _should_log(self) -> bool:
        return self.progress.step % max(self.config.steps // NUM_LOG_POINTS, 1) == 0

    def _log_loss(self, loss: Tensor) -> None:
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} at step {self.progress.step}: lower --learning-rate. "
                f"{self._path} holds the last good state, if one was written"
            )
        if self._should_log():
            self.progress.losses.append((self.progress.step, round(value, 4)))
