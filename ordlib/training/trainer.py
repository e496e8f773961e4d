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
from ..methods.base import Trained
from ..metrics import score
from .checkpoint import load_unfinished, save_unfinished
from .config import TrainingPlan
from .distributed import gather
from .sampling import epoch_rows, prefetched


@dataclass
class Progress:
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


class _Step(nn.Module):
    """A method's loss as a module's forward, so that several processes can share it."""

    def __init__(self, method: Trained) -> None:
        super().__init__()
        self.method = method

    def forward(self, inputs: tuple[Tensor, ...], values: Tensor) -> Tensor:
        return self.method.loss(gather(self.method.encode(*inputs)), gather(values))


class Trainer:
    """One training of one model by one plan; :func:`~ordlib.training.fit` says what it does.

    What a step, and a look at val, are made of is said by its children.

    Args:
        model, train, val, plan: as for ``fit``.
        state: file that keeps the unfinished run, or None.
        start: what the run starts from, if not from nothing.
    """

    # What a child says: of which data, which batches, and how it is evaluated.
    _check: Callable[[], None]  # raise for a model and data that do not go together
    _count: Callable[[], int]  # number of training images
    _open: Callable[[], None]  # make ready to read them
    _batches: Callable[[int], Sequence]  # of an epoch; the seed and the epoch alone decide them
    _ready: Callable[..., tuple[tuple[Tensor, ...], Tensor]]  # a batch: inputs and labels
    _tell: Callable[..., str]  # which images are in a batch
    _measure: Callable[[], dict[str, float]]  # all metrics on val
    _optimizer: Callable[[], Optimizer]
    _about: Callable[[], str]  # what is learned
    _data_identity: Callable[[], dict]  # names tasks and data

    def __init__(
        self,
        model: Trained,
        train: ImageData | Sequence[ImageData],
        val: ImageData | Sequence[ImageData],
        plan: TrainingPlan,
        state: Path | None,
        start: Progress | None = None,
    ) -> None:
        self.model, self.train_data, self.val, self.plan = model, train, val, plan
        self._check()
        self.accelerator = _accelerator(model)
        self.batch = min(plan.batch, self._count())
        if self.batch % self.accelerator.num_processes:
            raise ValueError(
                f"batch = {self.batch}: must divide by {self.accelerator.num_processes}, the "
                "number of processes"
            )
        self.steps = plan.epochs * (self._count() // self.batch)
        self.state = state
        optimizer = self._optimizer()
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.best = _copy(model.trained_state())
        self.progress = self._resume(optimizer) or start or Progress()
        self.step, self.optimizer = self.accelerator.prepare(_Step(model), optimizer)

    def _own(self, rows: np.ndarray) -> np.ndarray:
        """Return this process's part of a batch; parts are equal, and what is over is left out."""
        share = len(rows) // self.accelerator.num_processes
        start = self.accelerator.process_index * share
        return rows[start : start + share]

    def train(self, bar: bool) -> None:
        """Train to the end of the plan, and put the best state into the model."""
        self._open()
        line = tqdm(
            total=self.plan.epochs,
            initial=self.progress.epoch,
            desc=f"{type(self.model).__name__} on {self._about()}",
            unit="epoch",
            disable=not (bar and self.accelerator.is_main_process),
            leave=False,
        )
        with line:
            while self.progress.epoch < self.plan.epochs and not self._is_out_of_patience():
                began = time.perf_counter()
                loss = self._epoch()
                self._look(loss)
                self.progress.seconds += time.perf_counter() - began
                self._save()
                seen = self.progress.history[-1]
                line.set_postfix({n: f"{seen[n]:.3f}" for n in ("loss", self.plan.metric)})
                line.update()
        if self.progress.best_epoch is None:
            warnings.warn(
                f"{self.plan.metric} on val was undefined in every epoch: the model is in its last "
                "state; watch another metric",
                stacklevel=3,
            )
        else:
            self.model.load_trained(self.best)

    def history(self) -> pd.DataFrame:
        """Return a row an epoch, as ``fit`` describes it."""
        table = pd.DataFrame(self.progress.history)
        table.attrs.update(
            seconds=round(self.progress.seconds, 2),
            steps=self.progress.epoch * (self.steps // self.plan.epochs),
            best_epoch=self.progress.best_epoch,
            device=str(self.model.clip.device),
        )
        return table

    def _epoch(self) -> float:
        epoch = self.progress.epoch
        batches = self._batches(epoch)
        torch.manual_seed(int(np.random.default_rng([self.plan.seed, epoch, 1]).integers(2**31)))
        losses: list[Tensor] = []
        self.model.train()
        for place, (_, (inputs, values)) in enumerate(prefetched(self._ready, batches)):
            self._set_rates(epoch * len(batches) + place)
            loss = self.step(inputs, values)
            self.accelerator.backward(loss)
            self.accelerator.clip_grad_norm_(self.step.parameters(), self.plan.largest_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.model.after_step()
            losses.append(loss.detach())
            # One step late: a look at the present loss would make a GPU wait for it.
            self._check_finite(losses, batches, place - 1)
        self.model.eval()
        self._check_finite(losses, batches, len(losses) - 1)
        self._check_weights(batches)
        return torch.stack(losses).mean().item()

    def _check_finite(self, losses: list[Tensor], batches: Sequence, place: int) -> None:
        if place >= 0 and not math.isfinite(losses[place].item()):
            self._stop(f"the loss is {losses[place].item()} at", batches, place)

    def _check_weights(self, batches: Sequence) -> None:
        """A last step may break them with no loss after it that would tell."""
        if not all(tensor.isfinite().all() for tensor in self.model.trained_state().values()):
            self._stop("weights are no longer numbers after", batches, len(batches) - 1)

    def _stop(self, what: str, batches: Sequence, place: int) -> NoReturn:
        self.model.load_trained(self.best)
        where = self._tell(batches[place])
        kept = "its first state" if self.progress.best_epoch is None else "the best state so far"
        raise FloatingPointError(
            f"{what} step {self.progress.epoch * len(batches) + place + 1} (epoch "
            f"{self.progress.epoch + 1}, batch {place + 1} of {len(batches)}, {where}, "
            f"...). The model is back in {kept}; lower the learning rate "
            f"({self.plan.learning_rate:g}), or look at these pictures"
        )

    def _set_rates(self, step: int) -> None:
        factor = self.plan.rate(step, self.steps)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def _look(self, loss: float) -> None:
        """Measure on val, and keep the state if it is the best so far."""
        progress = self.progress
        progress.epoch += 1
        found = self._measure()
        better = self.plan.better(found[self.plan.metric], progress.best)
        if better:
            progress.best, progress.best_epoch = found[self.plan.metric], progress.epoch
            self.best = _copy(self.model.trained_state())
        progress.history.append({"epoch": progress.epoch, "loss": loss, **found, "best": better})

    def _is_out_of_patience(self) -> bool:
        if self.plan.patience is None:
            return False
        return self.progress.epoch - (self.progress.best_epoch or 0) >= self.plan.patience

    def _identity(self) -> dict:
        """Return everything that determines the result."""
        model = self.model
        return {
            "method": type(model).__name__,
            "options": asdict(model.options),
            "backbone": model.clip.weights_hash,
            **self._data_identity(),
            "plan": asdict(self.plan),
            "trains": [*model.parameter_groups()],
            "processes": self.accelerator.num_processes,
        }

    def _save(self) -> None:
        if self.state is None:
            return
        if self.accelerator.is_main_process:
            states = {"model": self.model.trained_state(), "best": self.best}
            progress = asdict(self.progress)
            save_unfinished(self.state, self._identity(), states, [self.optimizer], progress)
        # Another process that read the folder too soon would go on from another epoch.
        self.accelerator.wait_for_everyone()

    def _resume(self, optimizer: Optimizer) -> Progress | None:
        found = self.state and load_unfinished(self.state, self._identity(), [optimizer])
        if not found:
            return None
        states, progress = found
        self.model.load_trained(states["model"])
        self.best = states["best"]
        return Progress(**progress)


def _accelerator(model: Trained) -> Accelerator:
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
    """One training of a :class:`~ordlib.methods.base.Method`."""

    def _check(self) -> None:
        for data in (self.train_data, self.val):
            if data.task.name != self.model.task.name:
                raise ValueError(
                    f"the model learns {self.model.task.name!r}, the pictures of {data.split!r} "
                    f"are labelled with {data.task.name!r}: give pictures of the model's task"
                )
        if not self.model.trained_state():
            raise ValueError(
                f"this {type(self.model).__name__} has nothing to train: take adapter=True, "
                "tower='lora', or words that are tuned"
            )
        self.model.check(self.train_data)

    def _count(self) -> int:
        return len(self.train_data)

    def _open(self) -> None:
        values = torch.as_tensor(self.train_data.values, dtype=torch.float32)
        self.values = values.to(self.model.clip.device)
        self.inputs = self.model.inputs(self.train_data)

    def _batches(self, epoch: int) -> np.ndarray:
        return epoch_rows(self._count(), self.batch, self.plan.seed, epoch)

    def _ready(self, batch: np.ndarray) -> tuple[tuple[Tensor], Tensor]:
        rows = self._own(batch)
        return (self.inputs(rows),), self.values[torch.as_tensor(rows, device=self.values.device)]

    def _tell(self, batch: np.ndarray) -> str:
        return f"pictures {', '.join(map(str, batch[:8].tolist()))}"

    def _measure(self) -> dict[str, float]:
        return score(self.model.task, self.val.values, self.model.predict(self.val))

    def _optimizer(self) -> Adam:
        rate, factors = self.plan.learning_rate, self.plan.rates
        groups = self.model.parameter_groups().items()
        return Adam([{"params": p, "lr": rate * factors.get(name, 1.0)} for name, p in groups])

    def _about(self) -> str:
        return self.model.task.name

    def _data_identity(self) -> dict:
        return {
            "task": asdict(self.model.task),
            "train": self.train_data.key,
            "val": self.val.key,
        }
