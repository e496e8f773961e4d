"""NumCLIP: first which kind of number, in common words, then where inside."""

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data import ImageData
from ..losses import Form, Norm, fcrc, text_to_image_kl
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from ..utils.validation import check_choice
from .base import OrdinalMethod, bin_targets
from .prompt_learner import PromptLearner, RankEmbeddings
from .prompt_method import PromptConfig, class_agnostic_fields, class_agnostic_template, clip_logits

Anchor = Literal["midpoint", "edge"]
# The released divisor can reach 0; between these a bin's value at most doubles or halves.
DIVISOR_CLAMP = (0.5, 2.0)
INIT_STD = 0.001


@dataclass(frozen=True, kw_only=True)
class NumCLIPConfig(PromptConfig):
    """Options of :class:`NumCLIP`.

    Attributes:
        fcrc_form: of the ranking regularisation: "paper", "released", or "plain" cross-entropy.
        fcrc_norm: of the paper form's weights, "mean_one" or "sum_to_one".
        text_to_image_loss: whether words find pictures, too: the released code's other direction.
        regressor: whether a small network moves the bins' values; else a value is the mean of
            the bins' anchors by their probabilities.
        bin_anchor: where a bin stands: its "midpoint", as restated, or its lower "edge", as in the
            released code.
        tune_bin_embeddings: whether the words of the bins are tuned.
        tune_context: whether the context is; the released code does so on aesthetics only.

    Raises:
        ValueError: an unknown form, norm or anchor.
    """

    fcrc_form: Form = "paper"
    fcrc_norm: Norm = "mean_one"
    text_to_image_loss: bool = True
    regressor: bool = True
    bin_anchor: Anchor = "midpoint"
    tune_bin_embeddings: bool = True
    tune_context: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = {
            "fcrc_form": ("plain", "paper", "released"),
            "fcrc_norm": ("mean_one", "sum_to_one"),
            "bin_anchor": ("midpoint", "edge"),
        }
        for name, known in choices.items():
            check_choice(name, getattr(self, name), known)


class NumCLIP(OrdinalMethod):
    """Coarse bins in common language, and a regressor that reads the number from them.

    The bins are the task's. Where every rank is a bin of its own, predictions are read from the
    bins' probabilities as the task says, and the regressor only adds to training.

    Args:
        clip, task: as in :class:`~ordlib.methods.base.OrdinalMethod`.
        options: fields of :class:`NumCLIPConfig`.

    Source:
        Du et al. (2024), Teach CLIP to develop a number sense for ordinal regression, arXiv
        2408.03574: binning, words, ranking regularisation. Released code: adapter, regressor,
        weights of the terms, the other direction. Restated by YearCLIP, arXiv 2512.21337:
        midpoints, the paper form. Ours: the clamped divisor, values rescaled to 0 to 1, LoRA.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = NumCLIP(load_clip("pico-clip", "cpu"), load_task("counting"))
        >>> model.text_features().shape, model.predict_from_features(torch.ones(3, 96)).value.shape
        (torch.Size([5, 96]), (3,))
    """

    Config = NumCLIPConfig

    def _build(self) -> None:
        options = self.options
        bin_embeddings = RankEmbeddings(
            self.clip, self.task.bin_phrases, tune=options.tune_bin_embeddings
        )
        self.prompt_learner = PromptLearner(
            self.clip,
            class_agnostic_template(self.task, options.template, bins=True),
            bin_embeddings,
            n_ctx=options.n_ctx,
            tune_context=options.tune_context or options.n_ctx is not None,
            seed=options.seed,
        )
        self.register_buffer("anchors", _anchors(self.task, options.bin_anchor), persistent=False)
        self.regressor = Regressor(self.task.num_bins) if options.regressor else None

    def check_training_data(self, train: ImageData) -> None:
        """Warn of bins that no training picture is in: their words learn nothing of their own."""
        counts = np.bincount(self.task.bin_index(train.values), minlength=self.task.num_bins)
        empty = [self.task.bin_phrases[i] for i in np.flatnonzero(counts == 0)]
        if empty:
            warnings.warn(
                f"{train.task.name}/{train.split} has no picture in the bin{'s'[: len(empty) > 1]} "
                f"{', '.join(map(repr, empty))}: what is predicted there rests on the other bins",
                stacklevel=3,
            )

    def task_fields(self) -> dict:
        """Return the fields of the task, without the objects that its prompts never name."""
        return class_agnostic_fields(self.task)

    def text_features(self) -> Tensor:
        """Return ``(d, D)`` features of the bins' prompts, with gradient to what is tuned."""
        return self.prompt_learner()

    def logits(self, features: Tensor) -> Tensor:
        """Return ``(B, d)`` logits over bins of ``(B, D)`` features."""
        return clip_logits(self.clip, features, self.text_features())

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return the total of the terms chosen, each with weight 1; as in `OrdinalMethod.loss`."""
        options, logits = self.options, self.logits(features)
        bins = bin_targets(self.task, values)
        total = fcrc(logits, bins, options.fcrc_form, options.fcrc_norm)
        if options.text_to_image_loss:
            total = total + text_to_image_kl(logits, bins)
        if self.regressor is not None:
            low, high = self.task.range
            total = total + F.l1_loss(
                self._predict_normalized(logits), (values - low) / (high - low)
            )
        return total

    @torch.no_grad()
    def predict_from_features(self, features: Tensor) -> Prediction:
        """Return predictions: of the regressor, or, with a bin for each rank, of the bins."""
        logits = self.logits(features)
        if self._bins_are_ranks:
            return self.task.decode_probabilities(logits.double().softmax(1).cpu().numpy())
        low, high = self.task.range
        value = low + (high - low) * self._predict_normalized(logits).double().cpu().numpy()
        return self.task.decode_values(value.clip(low, high))

    @torch.no_grad()
    def predict_bins(self, data: ImageData) -> np.ndarray:
        """Return the likeliest bin of every picture, ``(N,)`` int64, 0 to d - 1."""
        return self.logits(self.extract_features(data)).argmax(1).cpu().numpy()

    @property
    def _bins_are_ranks(self) -> bool:
        # Equal numbers do not say it: a bin may hold two ranks, and another none.
        bins = self.task.bin_index(self.task.rank_values)
        return np.array_equal(bins, np.arange(self.task.num_bins))

    def _predict_normalized(self, logits: Tensor) -> Tensor:
        """Return ``(B,)`` positions, 0 to 1 over the range of the ranks."""
        if self.regressor is None:
            return logits.softmax(1) @ self.anchors
        return self.regressor(logits, self.anchors)


class Regressor(nn.Module):
    """Read a number from the logits of the bins: each bin's anchor, moved, by its probability.

    Args:
        num_bins: d.

    Source:
        NumCLIP's released code, for sizes and first weights; the clamp of the divisor is ours.

    Example:
        >>> regressor = Regressor(3)
        >>> value = regressor(torch.tensor([[9.0, 0, 0]]), torch.tensor([0.2, 0.5, 0.8]))
        >>> round(value.item(), 2)
        0.2
    """

    def __init__(self, num_bins: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_bins, 2 * num_bins), nn.ReLU(), nn.Linear(2 * num_bins, num_bins)
        )
        for layer in (self.layers[0], self.layers[2]):
            nn.init.normal_(layer.weight, std=INIT_STD)
            nn.init.zeros_(layer.bias)

    def forward(self, logits: Tensor, anchors: Tensor) -> Tensor:
        """Return ``(B,)`` values of ``(B, d)`` logits, on the line of the ``(d,)`` anchors."""
        divisor = 1 + self.layers(logits).tanh()
        return (logits.softmax(1) * anchors / divisor.clamp(*DIVISOR_CLAMP)).sum(1)


def _anchors(task: OrdinalTask, anchor: Anchor) -> Tensor:
    """Return ``(d,)`` float32: where the bins stand, the range of the ranks being 0 to 1."""
    low, high = task.range
    bin_values = task.bin_midpoints() if anchor == "midpoint" else np.array(task.bin_edges, float)
    return torch.tensor((bin_values - low) / (high - low), dtype=torch.float32)
