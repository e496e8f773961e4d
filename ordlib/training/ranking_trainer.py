"""Training a ranking adapter: batches of one sentence each, several tasks in turn."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW

from ..data import ImageData
from ..metrics import compute_metrics, pairwise_accuracy, pearson, spearman
from .sampling import RankBatch, rank_batches
from .trainer import Trainer

# As released.
WEIGHT_DECAY = 0.01


class RankingTrainer(Trainer):
    """One training of a :class:`~ordlib.RankingAdapter`.

    Its metrics are means over tasks, and errors are in standard deviations of each task's labels.
    """

    def train(self, progress: bool) -> None:
        """Train to the end of the config, then calibrate and remember what was seen."""
        super().train(progress)
        self.model.calibrate(self.val.values())
        self.model.fit_ood_detectors(self.train_data.values(), self.val.values())

    def _check(self) -> None:
        sets = {}
        for name, data in (("train", self.train_data), ("val", self.val)):
            sets[name] = group_by_task(data)
            if sets[name].keys() != self.model.tasks.keys():
                raise ValueError(
                    f"{name} has pictures of {', '.join(sets[name])}; the adapter learns "
                    f"{', '.join(self.model.tasks)}: give one set for each"
                )
        # In the adapter's own order, whatever the caller's: it decides the draw.
        self.train_data, self.val = (
            {task: sets[name][task] for task in self.model.tasks} for name in ("train", "val")
        )
        for data in self.train_data.values():
            if np.ptp(data.values) == 0:
                raise ValueError(f"all labels of {data!r} are equal: there is no order to learn")
            self.model.prompts(data)  # complains of missing columns
        self.model.fit_label_scalers(self.train_data.values())

    def _num_samples(self) -> int:
        return sum(map(len, self.train_data.values()))

    def _setup_data(self) -> None:
        self.tokens = {
            name: self.model.image_tokens(data) for name, data in self.train_data.items()
        }

    def _batches(self, epoch: int) -> list[RankBatch]:
        steps = self.steps // self.config.epochs
        return rank_batches(self.model, self.train_data, steps, self.batch, self.config.seed, epoch)

    def _collate(self, batch: RankBatch) -> tuple[tuple[Tensor, Tensor], Tensor]:
        device = self.model.clip.device
        tokens = self.tokens[batch.task][torch.as_tensor(self._shard(batch.rows))]
        targets = torch.as_tensor(self._shard(batch.targets), device=device)
        return (tokens.to(device).float(), self.model.encode_prompt(batch.prompt)), targets

    def _describe_batch(self, batch: RankBatch) -> str:
        rows = ", ".join(map(str, batch.rows[:8].tolist()))
        return f"{batch.task}, {batch.prompt!r}, pictures {rows}"

    def _validate(self) -> dict[str, float]:
        model, rows = self.model, []
        model.calibrate(self.val.values())
        for name, data in self.val.items():
            scores = model.predict_scores(data, model.prompts(data))
            found = compute_metrics(
                data.task, data.values, model.predict_from_scores(data.task, scores)
            )
            # Of the scores themselves: where the line is flat, predictions have no order.
            found |= {"spearman": spearman(data.values, scores)}
            found |= {"pearson": pearson(data.values, scores)}
            found |= {"pairwise": pairwise_accuracy(data.ranks, scores)}
            rows.append(found | {"mae": found["mae"] / model.label_scalers[name].std})
        return {metric: float(np.mean([row[metric] for row in rows])) for metric in rows[0]}

    def _optimizer(self) -> AdamW:
        rate = self.config.learning_rate * self.config.lr_multipliers.get("adapter", 1.0)
        groups = self.model.parameter_groups().values()
        params = [{"params": group, "lr": rate} for group in groups]
        return AdamW(params, weight_decay=WEIGHT_DECAY, amsgrad=True)

    def _task_name(self) -> str:
        return ", ".join(self.model.tasks)

    def _data_fingerprint(self) -> dict:
        return {
            "tasks": {name: asdict(task) for name, task in self.model.tasks.items()},
            "prompt_templates": self.model.prompt_templates,
            "train": {name: data.fingerprint for name, data in self.train_data.items()},
            "val": {name: data.fingerprint for name, data in self.val.items()},
        }


def group_by_task(data: ImageData | Sequence[ImageData]) -> dict[str, ImageData]:
    """Return one set, or several of different tasks, by name of the task.

    Raises:
        ValueError: two of one task.
    """
    sets = [data] if isinstance(data, ImageData) else list(data)
    found = {each.task.name: each for each in sets}
    if len(found) < len(sets):
        raise ValueError(f"two sets are of one task: {', '.join(e.task.name for e in sets)}")
    return found
