"""Training a method for one task: pictures shuffled into batches."""

from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam

from ..metrics import score
from .batches import epoch_rows
from .loop import Run


class ShuffledRun(Run):
    """One training of a :class:`~ordlib.models.method.Method`."""

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
