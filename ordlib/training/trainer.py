"""The one loop that trains every method."""

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from tqdm.auto import tqdm

from ..data import ImageData
from ..methods.base import TrainableModule
from ..metrics import compute_metrics
from .checkpoint import load_training_state, save_training_state
from .config import TrainingConfig
from .distributed import all_gather_with_grad
from .sampling import epoch_batches, prefetch


@dataclass
class TrainerState:
    """How far a run has come, and what it has seen: all that JSON can hold of it.

    Attributes:
        epoch: epochs done.
        best_epoch: the one whose metric was best; 0 if what it started from is; None if the metric
            was never defined.
        best: that metric.
        seconds: spent.
        history: a dict an epoch.
    """

    epoch: int = 0
    best_epoch: int | None = None
    best: float | None = None
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)


class _LossModule(nn.Module):
    """A method's loss as a module's forward, so that several processes can share it."""

    def __init__(self, method: TrainableModule) -> None:
        super().__init__()
        self.method = method

    def forward(self, inputs: tuple[Tensor, ...], values: Tensor) -> Tensor:
        return self.method.loss(
            all_gather_with_grad(self.method.encode(*inputs)), all_gather_with_grad(values)
        )


class Trainer:
    """One training of one model by one config; :func:`~ordlib.training.fit` says what it does.

    What a step, and a look at val, are made of is said by its children.

    Args:
        model, train, val, config: as for ``fit``.
        state: file that keeps the unfinished run, or None.
        start: what the run starts from, if not from nothing.
    """

    # What a child says: of which data, which batches, and how it is evaluated.
    _check: Callable[[], None]  # raise for a model and data that do not go together
    _num_samples: Callable[[], int]  # number of training images
    _setup_data: Callable[[], None]  # make ready to read them
    _batches: Callable[[int], Sequence]  # of an epoch; the seed and the epoch alone decide them
    _collate: Callable[..., tuple[tuple[Tensor, ...], Tensor]]  # a batch: inputs and labels
    _describe_batch: Callable[..., str]  # which images are in a batch
    _validate: Callable[[], dict[str, float]]  # all metrics on val
    _optimizer: Callable[[], Optimizer]
    _task_name: Callable[[], str]  # what is learned
    _data_fingerprint: Callable[[], dict]  # names tasks and data

    def __init__(
        self,
        model: TrainableModule,
        train: ImageData | Sequence[ImageData],
        val: ImageData | Sequence[ImageData],
        config: TrainingConfig,
        state: Path | None,
        start: TrainerState | None = None,
    ) -> None:
        self.model, self.train_data, self.val, self.config = model, train, val, config
        self._check()
        self.accelerator = _accelerator(model)
        self.batch = min(config.batch_size, self._num_samples())
        if self.batch % self.accelerator.num_processes:
            raise ValueError(
                f"batch_size = {self.batch}: must divide by {self.accelerator.num_processes}, the "
                "number of processes"
            )
        self.steps = config.epochs * (self._num_samples() // self.batch)
        self.checkpoint_path = state
        optimizer = self._optimizer()
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.best = _copy(model.trainable_state_dict())
        self.state = self._resume(optimizer) or start or TrainerState()
        self.step, self.optimizer = self.accelerator.prepare(_LossModule(model), optimizer)

    def _shard(self, rows: np.ndarray) -> np.ndarray:
        """Return this process's part of a batch; parts are equal, and what is over is left out."""
        share = len(rows) // self.accelerator.num_processes
        start = self.accelerator.process_index * share
        return rows[start : start + share]

    def train(self, progress: bool) -> None:
        """Train to the end of the config, and put the best state into the model."""
        self._setup_data()
        line = tqdm(
            total=self.config.epochs,
            initial=self.state.epoch,
            desc=f"{type(self.model).__name__} on {self._task_name()}",
            unit="epoch",
            disable=not (progress and self.accelerator.is_main_process),
            leave=False,
        )
        with line:
            while self.state.epoch < self.config.epochs and not self._should_stop_early():
                began = time.perf_counter()
                loss = self._epoch()
                self._validation_step(loss)
                self.state.seconds += time.perf_counter() - began
                self._save()
                seen = self.state.history[-1]
                line.set_postfix({n: f"{seen[n]:.3f}" for n in ("loss", self.config.monitor)})
                line.update()
        if self.state.best_epoch is None:
            warnings.warn(
                f"{self.config.monitor} on val was undefined in every epoch: the model is in its last "
                "state; watch another metric",
                stacklevel=3,
            )
        else:
            self.model.load_trainable_state_dict(self.best)

    def history(self) -> pd.DataFrame:
        """Return a row an epoch, as ``fit`` describes it."""
        table = pd.DataFrame(self.state.history)
        table.attrs.update(
            seconds=round(self.state.seconds, 2),
            steps=self.state.epoch * (self.steps // self.config.epochs),
            best_epoch=self.state.best_epoch,
            device=str(self.model.clip.device),
        )
        return table

    def _epoch(self) -> float:
        epoch = self.state.epoch
        batches = self._batches(epoch)
        torch.manual_seed(int(np.random.default_rng([self.config.seed, epoch, 1]).integers(2**31)))
        losses: list[Tensor] = []
        self.model.train()
        for place, (_, (inputs, values)) in enumerate(prefetch(self._collate, batches)):
            self._set_learning_rates(epoch * len(batches) + place)
            loss = self.step(inputs, values)
            self.accelerator.backward(loss)
            self.accelerator.clip_grad_norm_(self.step.parameters(), self.config.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.model.on_after_step()
            losses.append(loss.detach())
            # One step late: a look at the present loss would make a GPU wait for it.
            self._check_finite(losses, batches, place - 1)
        self.model.eval()
        self._check_finite(losses, batches, len(losses) - 1)
        self._check_weights(batches)
        return torch.stack(losses).mean().item()

    def _check_finite(self, losses: list[Tensor], batches: Sequence, place: int) -> None:
        if place >= 0 and not math.isfinite(losses[place].item()):
            self._raise_diverged(f"the loss is {losses[place].item()} at", batches, place)

    def _check_weights(self, batches: Sequence) -> None:
        """A last step may break them with no loss after it that would tell."""
        if not all(
            tensor.isfinite().all() for tensor in self.model.trainable_state_dict().values()
        ):
            self._raise_diverged("weights are no longer numbers after", batches, len(batches) - 1)

    def _raise_diverged(self, what: str, batches: Sequence, place: int) -> NoReturn:
        self.model.load_trainable_state_dict(self.best)
        where = self._describe_batch(batches[place])
        kept = "its first state" if self.state.best_epoch is None else "the best state so far"
        raise FloatingPointError(
            f"{what} step {self.state.epoch * len(batches) + place + 1} (epoch "
            f"{self.state.epoch + 1}, batch {place + 1} of {len(batches)}, {where}, "
            f"...). The model is back in {kept}; lower the learning rate "
            f"({self.config.learning_rate:g}), or look at these pictures"
        )

    def _set_learning_rates(self, step: int) -> None:
        factor = self.config.lr_factor(step, self.steps)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def _validation_step(self, loss: float) -> None:
        """Measure on val, and keep the state if it is the best so far."""
        state = self.state
        state.epoch += 1
        found = self._validate()
        better = self.config.is_better(found[self.config.monitor], state.best)
        if better:
            state.best, state.best_epoch = found[self.config.monitor], state.epoch
            self.best = _copy(self.model.trainable_state_dict())
        state.history.append({"epoch": state.epoch, "loss": loss, **found, "best": better})

    def _should_stop_early(self) -> bool:
        if self.config.patience is None:
            return False
        return self.state.epoch - (self.state.best_epoch or 0) >= self.config.patience

    def _run_fingerprint(self) -> dict:
        """Return everything that determines the result."""
        model = self.model
        return {
            "method": type(model).__name__,
            "options": asdict(model.options),
            "backbone": model.clip.weights_hash,
            **self._data_fingerprint(),
            "config": asdict(self.config),
            "trains": [*model.parameter_groups()],
            "processes": self.accelerator.num_processes,
        }

    def _save(self) -> None:
        if self.checkpoint_path is None:
            return
        if self.accelerator.is_main_process:
            states = {"model": self.model.trainable_state_dict(), "best": self.best}
            progress = asdict(self.state)
            save_training_state(
                self.checkpoint_path, self._run_fingerprint(), states, [self.optimizer], progress
            )
        # Another process that read the folder too soon would go on from another epoch.
        self.accelerator.wait_for_everyone()

    def _resume(self, optimizer: Optimizer) -> TrainerState | None:
        found = self.checkpoint_path and load_training_state(
            self.checkpoint_path, self._run_fingerprint(), [optimizer]
        )
        if not found:
            return None
        states, progress = found
        self.model.load_trainable_state_dict(states["model"])
        self.best = states["best"]
        return TrainerState(**progress)


def _accelerator(model: TrainableModule) -> Accelerator:
    device = model.clip.device
    # accelerate holds one device and precision for a whole Python process; models may differ. It
    # would also choose the device; a model, and all that it computes, stays where its CLIP is.
    AcceleratorState._reset_state(reset_partial_state=True)
    if device.type != "cuda":
        return Accelerator(device_placement=False, cpu=device.type == "cpu", mixed_precision="no")
    # A frozen half in float16 passes gradients on only if the loss is scaled, as "fp16" does.
    half = model.clip.dtype == torch.float16 or not torch.cuda.is_bf16_supported(False)
    return Accelerator(device_placement=False, mixed_precision="fp16" if half else "bf16")


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


class OrdinalTrainer(Trainer):
    """One training of a :class:`~ordlib.methods.base.OrdinalMethod`."""

    def _check(self) -> None:
        for data in (self.train_data, self.val):
            if data.task.name != self.model.task.name:
                raise ValueError(
                    f"the model learns {self.model.task.name!r}, the pictures of {data.split!r} "
                    f"are labelled with {data.task.name!r}: give pictures of the model's task"
                )
        if not self.model.trainable_state_dict():
            raise ValueError(
                f"this {type(self.model).__name__} has nothing to train: take adapter=True, "
                "image_encoder='lora', or words that are tuned"
            )
        self.model.check_training_data(self.train_data)

    def _num_samples(self) -> int:
        return len(self.train_data)

    def _setup_data(self) -> None:
        values = torch.as_tensor(self.train_data.values, dtype=torch.float32)
        self.values = values.to(self.model.clip.device)
        self.inputs = self.model.make_loader(self.train_data)

    def _batches(self, epoch: int) -> np.ndarray:
        return epoch_batches(self._num_samples(), self.batch, self.config.seed, epoch)

    def _collate(self, batch: np.ndarray) -> tuple[tuple[Tensor], Tensor]:
        rows = self._shard(batch)
        return (self.inputs(rows),), self.values[torch.as_tensor(rows, device=self.values.device)]

    def _describe_batch(self, batch: np.ndarray) -> str:
        return f"pictures {', '.join(map(str, batch[:8].tolist()))}"

    def _validate(self) -> dict[str, float]:
        return compute_metrics(self.model.task, self.val.values, self.model.predict(self.val))

    def _optimizer(self) -> Adam:
        rate, factors = self.config.learning_rate, self.config.lr_multipliers
        groups = self.model.parameter_groups().items()
        return Adam([{"params": p, "lr": rate * factors.get(name, 1.0)} for name, p in groups])

    def _task_name(self) -> str:
        return self.model.task.name

    def _data_fingerprint(self) -> dict:
        return {
            "task": asdict(self.model.task),
            "train": self.train_data.fingerprint,
            "val": self.val.fingerprint,
        }
