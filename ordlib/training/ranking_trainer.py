"""Trainer of the ranking adapter."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..data import ImageData
from ..metrics import compute_metrics, pairwise_accuracy, pearson, spearman
from .sampling import RankingBatch, sample_ranking_batches
from .trainer import Trainer


class RankingTrainer(Trainer):
    """Trainer of a :class:`~ordlib.RankingAdapter`, with AdamW (AMSGrad).

    Metrics are means over tasks; MAE is in standard deviations of each task's labels (for raw
    targets, in its unit), and ``mae_<task>`` in the task's unit.
    """

    # As in the released code.
    default_optimizer, default_weight_decay = "adamw_amsgrad", 0.01

    def train(self, progress: bool) -> pd.DataFrame:
        """Train, then calibrate the scores and fit the OOD detectors."""
        try:
            history = super().train(progress)
        except KeyboardInterrupt:
            self.model.calibrate(self.val_data.values())
            raise
        self.model.calibrate(self.val_data.values())
        self.model.fit_ood_detectors(self.train_data.values(), self.val_data.values())
        return history

    def _setup(self) -> None:
        self.train_data = self._datasets_by_task("train", self.train_data)
        self.val_data = self._datasets_by_task("val", self.val_data)
        self.task_name = ", ".join(self.model.tasks)
        self.num_samples = sum(map(len, self.train_data.values()))
        for data in self.train_data.values():
            if np.ptp(data.values) == 0:
                raise ValueError(f"all labels of {data!r} are equal: there is no order to learn")
            self.model.prompts(data)  # raises if a column is missing
        self.model.fit_label_scalers(self.train_data.values())

    def _datasets_by_task(
        self, split: str, data: ImageData | Sequence[ImageData]
    ) -> dict[str, ImageData]:
        """Return the data sets in the order of ``model.tasks``, because sampling depends on it."""
        datasets = [data] if isinstance(data, ImageData) else list(data)
        by_task = {dataset.task.name: dataset for dataset in datasets}
        if len(by_task) < len(datasets) or by_task.keys() != self.model.tasks.keys():
            raise ValueError(
                f"{split}: got data of the tasks {', '.join(d.task.name for d in datasets)}; need "
                f"exactly one data set for each of {', '.join(self.model.tasks)}"
            )
        return {task: by_task[task] for task in self.model.tasks}

    def _load_data(self) -> None:
        train = self.train_data.items()
        self.read_tokens = {name: self.model.open_tokens(data) for name, data in train}

    def _batches(self, epoch: int) -> list[RankingBatch]:
        steps, size, seed = self.steps_per_epoch, self.batch_size, self.config.seed
        return sample_ranking_batches(self.model, self.train_data, steps, size, seed, epoch)

    def _collate(self, batch: RankingBatch) -> tuple[tuple[Tensor, Tensor], Tensor]:
        device = self.model.clip.device
        tokens = self.read_tokens[batch.task](self._shard(batch.rows))
        targets = torch.as_tensor(self._shard(batch.targets), device=device)
        return (tokens.to(device).float(), self.model.encode_prompt(batch.prompt)), targets

    def _describe_batch(self, batch: RankingBatch) -> str:
        rows = ", ".join(map(str, batch.rows[:8].tolist()))
        return f"{batch.task}, {batch.prompt!r}, images {rows}"

    def _validate(self) -> dict[str, float]:
        rows = {name: self._task_metrics(data) for name, data in self.val_data.items()}
        names = next(iter(rows.values()))
        means = {name: float(np.mean([row[name] for row in rows.values()])) for name in names}
        scalers = self.model.label_scalers
        return means | {f"mae_{n}": row["mae"] * scalers[n].std for n, row in rows.items()}

    def _task_metrics(self, data: ImageData) -> dict[str, float]:
        """Calibrate the scores of a validation set, and compute its metrics."""
        scores = self.model.predict_scores(data, self.model.prompts(data))
        scaler = self.model.label_scalers[data.task.name].calibrated(scores, data.values)
        self.model.label_scalers[data.task.name] = scaler
        predictions = self.model.predict_from_scores(data.task, scores)
        metrics = compute_metrics(data.task, data.values, predictions)
        std = scaler.std
        # Correlation and ranking metrics use scores: clipping or a slope of 0 ties predictions.
        return metrics | {
            **{name: metrics[name] / std for name in ("mae", "macro_mae", "max_mae")},
            "spearman": spearman(data.values, scores),
            "pearson": pearson(data.values, scores),
            "pairwise": pairwise_accuracy(data.ranks, scores),
        }

    def _data_fingerprint(self) -> dict:
        return {
            "tasks": {name: asdict(task) for name, task in self.model.tasks.items()},
            "prompt_templates": self.model.prompt_templates,
            "train": {name: data.fingerprint for name, data in self.train_data.items()},
            "val": {name: data.fingerprint for name, data in self.val_data.items()},
        }
