"""Training loop on accelerate: steps, validation, early stopping, checkpoints, resume."""

import math
import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.optim import Optimizer
from tqdm.auto import tqdm

from ..data import ImageData
from ..methods.base import TrainableModule
from ..metrics import compute_metrics
from ..utils.cache import delete_remains, file_signature
from ..utils.threads import prefetch
from .augmentation import Augmentation
from .checkpoint import damaged, load_training_state, save_training_state
from .config import TrainingConfig
from .distributed import LossModule, make_accelerator
from .optimizer import make_optimizer
from .sampling import epoch_batches

# Third number of a seed [seed, epoch, stream]: other streams than that of the batches.
DROPOUT_STREAM, AUGMENTATION_STREAM = 1, 2


@dataclass
class TrainerState:
    """Trainer state, JSON-serializable."""

    epoch: int = 0  # epochs done
    best_epoch: int | None = None  # 0: initial weights (stage 2); None: no defined metric
    best_metric: float | None = None  # best value of the monitored metric
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)  # one row per epoch


class Trainer(ABC):
    """Base trainer; subclasses define data, default optimizer and validation metrics.

    Args:
        model, train, val, config: as for :func:`~ordlib.training.fit`.
        checkpoint_path: training checkpoint to resume from and to save to, or None.
        state: initial state if there is no checkpoint.
        can_continue: whether a finished run may be continued with more epochs.
        start: summary of the weights that the run started from, for its checkpoints.
    """

    default_optimizer, default_weight_decay = "adam", 0.0
    num_samples: int
    task_name: str

    def __init__(
        self,
        model: TrainableModule,
        train: ImageData | Sequence[ImageData],
        val: ImageData | Sequence[ImageData],
        config: TrainingConfig,
        checkpoint_path: Path | None,
        state: TrainerState | None = None,
        can_continue: bool = True,
        start: Sequence[float] = (),
    ) -> None:
        self.model, self.train_data, self.val_data = model, train, val
        self.checkpoint_path, self.can_continue = checkpoint_path, can_continue
        self.start, self._written = start, ()
        self._setup()
        self.config = config = config.resolved(self.num_samples)
        self.accelerator = make_accelerator(model.clip)
        self.batch_size = size = min(config.batch_size, self.num_samples)
        if size % (count := self.accelerator.num_processes):
            raise ValueError(f"batch_size = {size}: must be divisible by {count} processes")
        self.steps_per_epoch = self.num_samples // self.batch_size
        defaults = self.default_optimizer, self.default_weight_decay
        optimizer = make_optimizer(model, config, *defaults)
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.best_weights = _clone(model.trainable_state_dict())
        self.state = self._load_checkpoint(optimizer) or state or TrainerState()
        self.loss_module, self.optimizer = self.accelerator.prepare(LossModule(model), optimizer)

    @abstractmethod
    def _setup(self) -> None: ...  # validate the data; set num_samples and task_name
    @abstractmethod
    def _load_data(self) -> None: ...  # called once, before the first epoch
    @abstractmethod
    def _batches(self, epoch: int) -> Sequence: ...  # determined by seed and epoch
    @abstractmethod
    def _collate(self, batch: object) -> tuple[tuple[Tensor, ...], Tensor]: ...  # inputs, targets
    @abstractmethod
    def _describe_batch(self, batch: object) -> str: ...  # for error messages
    @abstractmethod
    def _validate(self) -> dict[str, float]: ...  # all metrics on the validation split
    @abstractmethod
    def _data_fingerprint(self) -> dict: ...  # identifies tasks and data

    def train(self, progress: bool) -> pd.DataFrame:
        """Train the remaining epochs, load the best weights, and return the history."""
        state = self.state
        try:
            self._load_data()
            self._train_epochs(progress)
        except BaseException:  # Also Ctrl-C: the model can be used, and the same call resumes.
            self.model.eval()
            self.model.load_trainable_state_dict(self.best_weights)
            raise
        if state.best_epoch is None:
            warnings.warn(
                f"{self.config.monitor} on val was undefined in every epoch: the model keeps its "
                "last weights; choose another monitor",
                stacklevel=3,
            )
        else:
            self.model.load_trainable_state_dict(self.best_weights)
        history = pd.DataFrame(state.history)
        history.attrs.update(
            seconds=round(state.seconds, 2),
            steps=state.epoch * self.steps_per_epoch,
            best_epoch=state.best_epoch,
            device=str(self.model.clip.device),
        )
        return history

    def _train_epochs(self, progress: bool) -> None:
        """Train and validate until the last epoch, or early stopping."""
        name, state = f"{type(self.model).__name__} on {self.task_name}", self.state
        epochs, disable = self.config.epochs, not (progress and self.accelerator.is_main_process)
        with tqdm(
            desc=name, total=epochs, initial=state.epoch, unit="epoch", disable=disable, leave=False
        ) as bar:
            while state.epoch < epochs and not self._should_stop_early():
                start = time.perf_counter()
                loss = self._train_epoch()
                self._end_epoch(loss, self._validate_finite())
                state.seconds += time.perf_counter() - start
                self._save_checkpoint()
                row = state.history[-1]
                shown = {n: f"{row[n]:.3f}" for n in ("loss", self.config.monitor)}
                bar.set_postfix(shown, refresh="TQDM_MININTERVAL" not in os.environ)
                bar.update()

    def _train_epoch(self) -> float:
        """Train for one epoch and return the mean loss."""
        epoch, losses = self.state.epoch, []
        batches = self._batches(epoch)
        rng = np.random.default_rng([self.config.seed, epoch, DROPOUT_STREAM])
        torch.manual_seed(int(rng.integers(2**31)))
        self.model.train()
        for i, (inputs, targets) in enumerate(prefetch(self._collate, batches)):
            self._set_learning_rates(epoch * len(batches) + i)
            loss = self.loss_module(inputs, targets)
            self.accelerator.backward(loss)
            if self.config.max_grad_norm is not None:
                parameters = self.loss_module.parameters()
                self.accelerator.clip_grad_norm_(parameters, self.config.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.model.on_after_step()
            losses.append(loss.detach())
            if i:  # one step late, so that the host does not wait for the current GPU step
                self._check_loss(losses, batches, i - 1)
        self.model.eval()
        self._check_loss(losses, batches, len(losses) - 1)
        # No loss is computed after the last update, so check the weights themselves.
        if not all(t.isfinite().all() for t in self.model.trainable_state_dict().values()):
            self._raise_diverged("weights are not finite after", batches, len(batches) - 1)
        return torch.stack(losses).mean().item()

    def _set_learning_rates(self, step: int) -> None:
        factor = self.config.lr_factor(step, self.config.epochs * self.steps_per_epoch)
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr * factor

    def _check_loss(self, losses: list[Tensor], batches: Sequence, i: int) -> None:
        if not math.isfinite(loss := losses[i].item()):
            self._raise_diverged(f"the loss is {loss} at", batches, i)

    def _raise_diverged(self, problem: str, batches: Sequence, i: int) -> NoReturn:
        self.model.load_trainable_state_dict(self.best_weights)
        restored = "initial weights" if self.state.best_epoch is None else "best weights so far"
        raise FloatingPointError(
            f"{problem} step {self.state.epoch * len(batches) + i + 1} (epoch "
            f"{self.state.epoch + 1}, batch {i + 1} of {len(batches)}, "
            f"{self._describe_batch(batches[i])}, ...); the model is reset to its {restored}; "
            f"lower learning_rate = {self.config.learning_rate:g}, or check these images"
        )

    def _validate_finite(self) -> dict[str, float]:
        """Validate; finite weights may be so large that the predictions are not finite."""
        try:
            return self._validate()
        except ValueError as error:
            raise FloatingPointError(
                f"validation after epoch {self.state.epoch + 1}: {error}; if training diverged, "
                f"lower learning_rate = {self.config.learning_rate:g}"
            ) from error

    def _end_epoch(self, loss: float, metrics: dict[str, float]) -> None:
        """Record an epoch, and keep the weights if the monitored metric improved."""
        state, value = self.state, metrics[self.config.monitor]
        state.epoch += 1
        if better := self.config.is_better(value, state.best_metric):
            state.best_metric, state.best_epoch = value, state.epoch
            self.best_weights = _clone(self.model.trainable_state_dict())
        state.history.append({"epoch": state.epoch, "loss": loss, **metrics, "best": better})

    def _should_stop_early(self) -> bool:
        state, patience = self.state, self.config.patience
        return patience is not None and state.epoch - (state.best_epoch or 0) >= patience

    def _shard(self, rows: np.ndarray) -> np.ndarray:
        """Return this process's part of a batch; parts are equal, and a remainder is dropped."""
        size = len(rows) // self.accelerator.num_processes
        start = self.accelerator.process_index * size
        return rows[start : start + size]

    def _run_fingerprint(self) -> dict:
        """Return everything that determines the result."""
        return {
            "method": type(self.model).__name__,
            "options": asdict(self.model.options),
            "backbone": self.model.clip.weights_hash,
            "preprocessing": self.model.clip.preprocessor.key,
            "settings": self.model.clip.settings_hash,
            "precision": str(self.model.clip.dtype),
            **self._data_fingerprint(),
            "config": asdict(self.config),
            "trainable_groups": [*self.model.parameter_groups()],
            "processes": self.accelerator.num_processes,
            "initial_weights": [*self.start],
        }

    def _save_checkpoint(self) -> None:
        if self.checkpoint_path is None:
            return
        if self.accelerator.is_main_process:
            states = {"model": self.model.trainable_state_dict(), "best": self.best_weights}
            fingerprint, state = self._run_fingerprint(), asdict(self.state)
            try:
                path, optimizers = self.checkpoint_path, [self.optimizer]
                if (found := self._signature()) and found != self._written:
                    raise OSError("another run has written it: give each run a folder of its own")
                save_training_state(path, fingerprint, states, optimizers, state)
                self._written = self._signature()
            except OSError as error:  # such as a full disk: the run is worth more than its copy
                warnings.warn(
                    f"{self.checkpoint_path}: the checkpoint cannot be saved ({error}); training "
                    "goes on, but cannot be resumed from here until a later save succeeds",
                    stacklevel=3,
                )
        # Another process must not read the checkpoint before it is complete.
        self.accelerator.wait_for_everyone()

    def _load_checkpoint(self, optimizer: Optimizer) -> TrainerState | None:
        fingerprint = self._run_fingerprint()
        if self.checkpoint_path and self.accelerator.is_main_process:
            delete_remains(self.checkpoint_path.parent)  # of a save during which a run was killed
        checkpoint = self.checkpoint_path and load_training_state(
            self.checkpoint_path, fingerprint, [optimizer], can_continue=self.can_continue
        )
        if not checkpoint:
            return None
        states, trainer_state = checkpoint
        self._written = self._signature()
        try:
            for name in ("best", "model"):  # The last one stays.
                self.model.load_trainable_state_dict(states[name])
            self.best_weights = states["best"]
            return TrainerState(**trainer_state)
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self.checkpoint_path, f"perhaps of another version: {error}") from error

    def _signature(self) -> tuple:
        """Identifies the version of the checkpoint file; empty without a file."""
        return file_signature(self.checkpoint_path)[1:4]


class OrdinalTrainer(Trainer):
    """Trainer of a :class:`~ordlib.methods.base.OrdinalMethod`."""

    def _setup(self) -> None:
        self.task_name, self.num_samples = self.model.task.name, len(self.train_data)
        for data in (self.train_data, self.val_data):
            if data.task.name != self.task_name:
                raise ValueError(
                    f"the {data.split} data belong to task {data.task.name!r}, but the model was "
                    f"built for task {self.task_name!r}"
                )
        if not self.model.trainable_state_dict():
            raise ValueError(
                f"this {type(self.model).__name__} has nothing to train: set adapter=True, "
                "image_encoder='lora', or an option that trains the prompts"
            )
        self.model.check_training_data(self.train_data)
        self.model.warn_about_text_features()

    def _load_data(self) -> None:
        targets = torch.as_tensor(self.train_data.values, dtype=torch.float32)
        self.targets = targets.to(self.model.clip.device)
        self.loader = self.model.make_loader(self.train_data, self.config.random_crop)
        # Once: to look up the cached features takes longer than to use them.
        self.val_loader = self.model.make_loader(self.val_data)

    def _batches(self, epoch: int) -> np.ndarray:
        ranks = self.train_data.ranks if self.config.balanced_sampling else None
        return epoch_batches(self.num_samples, self.batch_size, self.config.seed, epoch, ranks)

    def _collate(self, batch: np.ndarray) -> tuple[tuple[Tensor], Tensor]:
        rows = self._shard(batch)
        inputs = self.loader(rows)
        if self.config.augmentations:
            # The first image identifies the batch within an epoch.
            seed = [self.config.seed, self.state.epoch, AUGMENTATION_STREAM, int(batch[0])]
            rng, preprocessor = np.random.default_rng(seed), self.model.clip.preprocessor
            augment = Augmentation(self.config, preprocessor, rng, len(batch))
            inputs = augment(inputs, self._shard(np.arange(len(batch))))
        return (inputs,), self.targets[torch.as_tensor(rows, device=self.targets.device)]

    def _describe_batch(self, batch: np.ndarray) -> str:
        return f"images {', '.join(map(str, batch[:8].tolist()))}"

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        features = self.model.extract_features(self.val_data, loader=self.val_loader)
        predictions = self.model.predict_from_features(features)
        return compute_metrics(self.model.task, self.val_data.values, predictions)

    def _data_fingerprint(self) -> dict:
        return {
            "task": asdict(self.model.task),
            "train": self.train_data.fingerprint,
            "val": self.val_data.fingerprint,
        }


def _clone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}
