"""Pretraining loop, optimizers and progress bar."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer
from tqdm.auto import tqdm
from transformers import CLIPModel

from ...training.checkpoint import load_training_state, save_training_state
from ...utils.device import pick_attention, pick_dtype
from .config import PretrainingConfig
from .loader import Batch, PairLoader
from .model import CLIPWithPreprocessing, contrastive_loss

MAX_GRAD_NORM = 1.0
# As for CLIP (Radford et al., 2021, table 18), with half its weight decay.
BETAS, EPSILON, WEIGHT_DECAY = (0.9, 0.98), 1e-6, 0.1
# Logging the loss synchronizes with the GPU, so it is done this many times per run.
NUM_LOG_POINTS = 200


@dataclass
class PretrainingState:
    """Progress of a run, JSON-serializable."""

    step: int = 0
    seconds: float = 0.0  # over all sessions
    data_wait_seconds: float = 0.0
    num_count_captions: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)  # of some steps


StepCallback = Callable[[PretrainingState], None]


class Trainer:
    """Trains a model in place; resumes from the last saved state.

    ``run`` is everything that determines the result; the state of another run is rejected.
    """

    def __init__(
        self, config: PretrainingConfig, model: CLIPModel, accelerator: Accelerator,
        state_file: Path, run: dict,
    ) -> None:  # fmt: skip
        device = accelerator.device
        model.set_attn_implementation(pick_attention(device))
        module = CLIPWithPreprocessing(model, pick_dtype(config.precision, device))
        optimizers = make_optimizers(model, device)
        self.config, self.accelerator = config, accelerator
        self._state_file, self._run = state_file, run
        tensors, progress = load_training_state(state_file, run, optimizers) or ({}, {})
        if tensors:
            model.load_state_dict(tensors["model"])
        self.state = PretrainingState(**progress)
        self._module, *self._optimizers = accelerator.prepare(module, *optimizers)
        self._last_save = time.monotonic()

    def fit(
        self, loader: PairLoader, checkpoint_minutes: float, on_step: StepCallback | None = None
    ) -> None:
        """Train to the last step; a non-finite loss raises and keeps the last saved state."""
        state, start = self.state, time.perf_counter()
        seconds_before, wait_before = state.seconds, state.data_wait_seconds
        for batch in loader.start(state.step):
            loss = self._step(batch)
            state.step += 1
            state.num_count_captions += batch.num_count_captions
            state.seconds = seconds_before + time.perf_counter() - start
            state.data_wait_seconds = wait_before + loader.data_wait_seconds
            is_save_due = time.monotonic() - self._last_save >= 60 * checkpoint_minutes
            if is_save_due or self._should_log():
                self._log_loss(loss)
            if is_save_due and state.step < self.config.steps:
                self.save()
            if on_step:
                on_step(state)

    def save(self) -> None:
        """Save the training state, in the main process only."""
        if self.accelerator.is_main_process:
            tensors = {"model": self.accelerator.unwrap_model(self._module).clip.state_dict()}
            progress = asdict(self.state)
            save_training_state(self._state_file, self._run, tensors, self._optimizers, progress)
        self._last_save = time.monotonic()

    def _step(self, batch: Batch) -> Tensor:
        for group in (g for optimizer in self._optimizers for g in optimizer.param_groups):
            group["lr"] = self.config.learning_rate_at(self.state.step)
        device = self.accelerator.device
        images, ids = (part.to(device, non_blocking=True) for part in (batch.images, batch.ids))
        loss = contrastive_loss(*self._module(images, ids))
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self._module.parameters(), MAX_GRAD_NORM)
        for optimizer in self._optimizers:
            optimizer.step()
        self.accelerator.unwrap_model(self._module).clamp_logit_scale()
        return loss.detach()

    def _should_log(self) -> bool:
        return self.state.step % max(self.config.steps // NUM_LOG_POINTS, 1) == 0

    def _log_loss(self, loss: Tensor) -> None:
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"loss = {value}: training diverged at step {self.state.step}; lower "
                f"--learning-rate. The last saved state, if any, is in {self._state_file}"
            )
        if self._should_log():
            self.state.losses.append((self.state.step, round(value, 4)))


def make_optimizers(model: CLIPModel, device: torch.device) -> list[Optimizer]:
    """Return Muon and AdamW for a model; the training loop sets their learning rate.

    In one run, Muon needed half of the samples that AdamW alone did. AdamW updates embeddings (with
    weight decay), norms, biases and the logit scale. Both share one learning rate, because their
    updates have the same root mean square.

    References:
        Jordan et al. (2024), Muon: An optimizer for hidden layers in neural networks.
        Liu et al. (2025), Muon is Scalable for LLM Training, arXiv:2502.16982 (matched updates).
    """
    named = dict(model.named_parameters())
    hidden = [p for name, p in named.items() if p.ndim == 2 and "embedding" not in name]
    embeddings = [p for name, p in named.items() if p.ndim >= 2 and "embedding" in name]
    vectors = [p for p in named.values() if p.ndim < 2]
    groups = [{"params": embeddings}, {"params": vectors, "weight_decay": 0.0}]
    fused = device.type in ("cpu", "cuda")
    muon = Muon(hidden, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
    return [muon, AdamW(groups, betas=BETAS, eps=EPSILON, weight_decay=WEIGHT_DECAY, fused=fused)]


class ProgressBar:
    """Progress bar over samples; ``bar`` is None until the first update."""

    def __init__(self, config: PretrainingConfig) -> None:
        self.config = config
        self.bar: tqdm | None = None

    def close(self) -> None:
        """Close the bar; for :func:`contextlib.closing`."""
        if self.bar is not None:
            self.bar.close()

    def update(self, state: PretrainingState) -> None:
        """Show the training state."""
        batch_size, seen = self.config.batch_size, state.step * self.config.batch_size
        if self.bar is None:
            style = {"desc": "pretraining", "unit": "sample", "unit_scale": True}
            total = self.config.steps * batch_size
            self.bar = tqdm(total=total, initial=seen - batch_size, **style)
        loss = f"{state.losses[-1][1]:.3f}" if state.losses else "?"
        waiting = f"{state.data_wait_seconds / state.seconds:.0%}"
        self.bar.set_postfix({"loss": loss, "waiting for data": waiting}, refresh=False)
        self.bar.update(seen - self.bar.n)
