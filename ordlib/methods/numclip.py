"""NumCLIP: coarse classification into phrase bins, then regression within them."""

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data import ImageData
from ..losses import FCRCForm, FCRCNorm, fcrc, text_to_image_kl
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from ..utils.validation import check_choice, is_number
from .base import bin_targets
from .prompt_learner import RankEmbeddings
from .prompt_method import PromptConfig, PromptMethod
from .recipe import Recipe

BinAnchor = Literal["midpoint", "edge"]
# The released code's divisor 1 + tanh(.), from 0 to 2, can reach 0; clamped, it at most doubles an
# anchor. Below the clamp the gradient of the factor is 0.
MIN_DIVISOR = 0.5
MAX_REGRESSOR_BINS = 2000  # 16 million weights: their number grows with the square of the bins
INIT_STD = 0.001


@dataclass(frozen=True, kw_only=True)
class NumCLIPConfig(PromptConfig):
    """Options of :class:`NumCLIP`.

    Attributes:
        fcrc_form: form of the fine-grained cross-modal ranking-based contrastive (FCRC) loss:
            "paper", "released" or "plain"; see :func:`~ordlib.losses.fcrc`.
        fcrc_norm: normalization of each image's weights of the negative bins in the form "paper":
            to "mean_one" or to "sum_to_one".
        text_to_image_loss: whether to add :func:`~ordlib.losses.text_to_image_kl`.
        loss_weights: of FCRC, text-to-image KL and absolute error.
        regressor: whether to train a :class:`Regressor`; otherwise a prediction is the expectation
            of the numeric values of the bins (anchors; see ``bin_anchor``).
        scale_error: whether the absolute error is that of values scaled to 0-1, or in the task's
            unit (released code), which weighs it more.
        scale_anchors: whether the regressor divides anchors scaled to 0-1, or in the task's unit
            (released code); in either case it cannot move an anchor that is 0.
        min_divisor: lower limit of the regressor's divisor, 0 to below 1; 0 in the released code.
        bin_anchor: numeric value of a bin: its "midpoint" (as in YearCLIP's description of NumCLIP)
            or lower "edge" (released code).
        tune_bin_embeddings: whether to train the embeddings of the bin phrases.
        tune_context: whether to train the context; with ``n_ctx`` it is always trained. The
            released code trains it only on the image aesthetics data set.

    Raises:
        ValueError: an unknown form, norm or anchor, or a number out of its range.
    """

    fcrc_form: FCRCForm = "paper"
    fcrc_norm: FCRCNorm = "mean_one"
    text_to_image_loss: bool = True
    loss_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    regressor: bool = True
    scale_error: bool = True
    scale_anchors: bool = True
    min_divisor: float = MIN_DIVISOR
    bin_anchor: BinAnchor = "midpoint"
    tune_bin_embeddings: bool = True
    tune_context: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.loss_weights) != 3 or not all(
            is_number(w) and w >= 0 for w in self.loss_weights
        ):
            raise ValueError(f"loss_weights = {self.loss_weights}: must be three, each 0 or more")
        if not 0 <= self.min_divisor < 1:
            raise ValueError(f"min_divisor = {self.min_divisor}: must be 0 or more and below 1")


class NumCLIP(PromptMethod):
    """NumCLIP: bins described by phrases, then a regressor (Du et al., 2024).

    ``loss = FCRC + text-to-image KL + L1(regressor)``, each term times its weight. There is one
    prompt per bin; logits and text features are those of the bins. If every rank is a bin of its
    own, predictions are decoded from the bin probabilities and the regressor is used in training
    only.
    Derived in notebook 02.

    Args:
        clip, task: as in :class:`~ordlib.methods.base.OrdinalMethod`; the task defines the bins.
        options: fields of :class:`NumCLIPConfig`.

    References:
        Du et al. (2024), Teach CLIP to develop a number sense for ordinal regression,
        arXiv:2408.03574: bins, their phrases, FCRC. Released code: CLIP-Adapter, regressor, term
        weights, text-to-image KL. YearCLIP, arXiv:2512.21337, which restates NumCLIP:
        midpoints, the form "paper" of FCRC. Ours: the clamped divisor, values scaled to 0-1, LoRA.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = NumCLIP(load_clip("pico-clip", "cpu"), load_task("counting"))
        >>> model.text_features().shape, model.predict_from_features(torch.ones(3, 96)).value.shape
        (torch.Size([5, 96]), (3,))
    """

    Config = NumCLIPConfig

    def _build(self) -> None:
        options = self.options
        bins = RankEmbeddings(self.clip, self.task.bin_phrases, tune=options.tune_bin_embeddings)
        tune_context = options.tune_context or options.n_ctx is not None
        self._build_prompts(bins, bins=True, tune_context=tune_context)
        self.register_buffer("anchors", _anchors(self.task, options), persistent=False)
        self.regressor = None
        if options.regressor:
            self.regressor = Regressor(self.task.num_bins, options.min_divisor)

    def check_training_data(self, train: ImageData) -> None:
        """Warn about bins without training images."""
        counts = np.bincount(self.task.bin_index(train.values), minlength=self.task.num_bins)
        empty = [self.task.bin_phrases[i] for i in np.flatnonzero(counts == 0)]
        if empty:
            warnings.warn(
                f"{train.task.name}/{train.split} has no images in the bins "
                f"{', '.join(map(repr, empty))}: the model cannot learn them; add images, or use "
                "wider bins",
                stacklevel=3,
            )

    def _names(self) -> tuple[str, ...]:
        return self.task.bin_phrases

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return FCRC plus the enabled terms; arguments as in `OrdinalMethod.loss`."""
        options, logits = self.options, self.logits(features)
        bins = bin_targets(self.task, values)
        fcrc_weight, kl_weight, error_weight = options.loss_weights
        loss = fcrc_weight * fcrc(logits, bins, options.fcrc_form, options.fcrc_norm)
        if options.text_to_image_loss:
            loss = loss + kl_weight * text_to_image_kl(logits, bins)
        if self.regressor is not None:
            low, high = self.task.range
            targets = (values - low) / (high - low)
            unit = 1.0 if options.scale_error else high - low
            error = F.l1_loss(self._predict_normalized(logits), targets)
            loss = loss + error_weight * unit * error
        return loss

    @torch.no_grad()
    def predict_from_features(self, features: Tensor) -> Prediction:
        """Predict with the regressor (or expected bin value); one bin per rank: decode the bins."""
        if self._bins_are_ranks:
            return super().predict_from_features(features)
        return self.task.decode_values(self.decode_logits(self.logits(features)).cpu().numpy())

    def decode_logits(self, logits: Tensor) -> Tensor:
        """Return ``(N,)`` float64 values; one bin per rank: ``(N, M)`` probabilities."""
        if self._bins_are_ranks:
            return super().decode_logits(logits)
        low, high = self.task.range
        return (low + (high - low) * self._predict_normalized(logits).double()).clamp(low, high)

    @torch.no_grad()
    def predict_bins(self, data: ImageData) -> np.ndarray:
        """Return the most probable bin of every image, ``(N,)`` int64, 0 to K - 1."""
        return self.logits(self.extract_features(data)).argmax(1).cpu().numpy()

    @property
    def _bins_are_ranks(self) -> bool:
        # num_bins == num_ranks is not enough: a bin may hold two ranks, and another none.
        bins = self.task.bin_index(self.task.rank_values)
        return np.array_equal(bins, np.arange(self.task.num_bins))

    def _predict_normalized(self, logits: Tensor) -> Tensor:
        """Return ``(B,)`` predictions, where the lowest rank is 0 and the highest 1."""
        if self.regressor is None:
            value = logits.softmax(1) @ self.anchors
        else:
            value = self.regressor(logits, self.anchors)
        if self.options.scale_anchors:
            return value
        low, high = self.task.range
        return (value - low) / (high - low)


class Regressor(nn.Module):
    """NumCLIP's regressor: expectation of the bin anchors, each divided by a predicted factor.

    ``y = sum_j p_j a_j / max(1 + tanh(MLP(s))_j, c)`` with logits s, ``p = softmax(s)``, anchors
    a and c = ``min_divisor``, for K = ``num_bins`` bins: an MLP predicts the factors from the
    logits. Derived in notebook 02.

    References:
        NumCLIP's released code, including layer sizes and initialization. Ours: the clamp.

    Raises:
        ValueError: more than 2,000 bins.

    Example:
        >>> regressor = Regressor(3)
        >>> value = regressor(torch.tensor([[9.0, 0, 0]]), torch.tensor([0.2, 0.5, 0.8]))
        >>> round(value.item(), 2)
        0.2
    """

    def __init__(self, num_bins: int, min_divisor: float = MIN_DIVISOR) -> None:
        super().__init__()
        if num_bins > MAX_REGRESSOR_BINS:
            count = 4 * num_bins**2
            raise ValueError(
                f"regressor = True: {num_bins:,} bins would need {count:,} weights "
                f"({4e-9 * count:.1f} GB); give the task up to {MAX_REGRESSOR_BINS:,} bins "
                "(bin_edges, bin_phrases), or set regressor=False"
            )
        self.min_divisor = min_divisor
        self.layers = nn.Sequential(
            nn.Linear(num_bins, 2 * num_bins), nn.ReLU(), nn.Linear(2 * num_bins, num_bins)
        )
        for layer in (self.layers[0], self.layers[2]):
            nn.init.normal_(layer.weight, std=INIT_STD)
            nn.init.zeros_(layer.bias)

    def forward(self, logits: Tensor, anchors: Tensor) -> Tensor:
        """Map ``(B, K)`` logits to ``(B,)`` predictions on the scale of the ``(K,)`` anchors."""
        divisor = 1 + self.layers(logits).tanh()
        return (logits.softmax(1) * anchors / divisor.clamp(min=self.min_divisor)).sum(1)


def _anchors(task: OrdinalTask, options: NumCLIPConfig) -> Tensor:
    """Return the ``(K,)`` float32 values of the bins; scaled, from 0 to 1 over the task's range."""
    is_midpoint = options.bin_anchor == "midpoint"
    anchors = task.bin_midpoints() if is_midpoint else np.array(task.bin_edges)
    if options.scale_anchors:
        low, high = task.range
        anchors = (anchors - low) / (high - low)
    return torch.tensor(anchors, dtype=torch.float32)


_MODEL, _RUNNER, _SCRIPT = "regclip_ssr.py", "runner_ssr.py", "run_regclipssr.sh"
_RELEASED_OPTIONS = {
    "image_encoder": ("full", "configs/base_cfgs/runner_cfg/optim_sched/image_encoder"),
    "adapter": (True, _MODEL),
    "suffix": (".", "OrdinalCLIP: plain_prompt_learner.py"),
    "text_encoder": ("frozen", "configs/default_morph.yaml"),
    "tune_logit_scale": (False, "configs/default_morph.yaml"),
    "tune_bin_embeddings": (True, _SCRIPT),
    "fcrc_form": ("released", _RUNNER),
    "text_to_image_loss": (True, _RUNNER),
    "loss_weights": ((1.0, 1.0, 1.0), "configs/default_morph.yaml"),
    "regressor": (True, _MODEL),
    "bin_anchor": ("edge", _MODEL),
    "scale_anchors": (False, _MODEL),
    "min_divisor": (0.0, _MODEL),
    "scale_error": (False, _RUNNER),
}
_RELEASED_TRAINING = {
    "optimizer": ("radam", "configs/default_morph.yaml"),
    "learning_rate": (1e-5, "configs/base_cfgs/runner_cfg/optim_sched, and default_morph.yaml"),
    "weight_decay": (0.0, "configs/default_morph.yaml"),
    "batch_size": (32, "configs/default_morph.yaml"),
    "schedule": ("multi_step", "configs/default_morph.yaml"),
    "milestones": ((60,), "configs/default_morph.yaml"),
    "gamma": (0.1, "configs/default_morph.yaml"),
    "warmup_ratio": (0.0, "configs/default_morph.yaml"),
    "max_grad_norm": (None, "configs/default_morph.yaml, no clipping"),
    "flip": (True, "OrdinalCLIP: ordinalclip/runner/utils.py"),
    "random_crop": (True, "OrdinalCLIP: ordinalclip/runner/utils.py"),
}
# Data set of `load_published`: template, whether the context is trained, epochs.
_RELEASED_DATASETS = {
    "morph": ("age estimation: the person is a {rank}", False, 200),
    "hci": ("a photo taken in the {rank}", False, 100),
    "aesthetics": ("aesthetics assessment: the quality of the photo is {rank}", True, 100),
}
_RELEASED_DIFFERENCES = (
    "labels start at 0 and bins at 0, 1, ... where each rank is a bin; here at the task's values",
    "ages are not clipped to the task's range",
    "image mean and standard deviation: ImageNet's; here those of the backbone",
    "images are squashed by bilinear interpolation; here by the backbone's",
    "half precision; here on CUDA only",
    "about half of the regressor's layers are used by nothing; here they do not exist",
    "val is the test list for MORPH and aesthetics; here the best epoch is chosen on val",
)


def released_config(dataset: str) -> Recipe:
    """Return the recipe of NumCLIP's released code: "morph", "hci" or "aesthetics".

    The backbone is CLIP's ViT-B/16; the task of "morph" is "morph_101".

    References:
        Du et al. (2024), arXiv:2408.03574, and the released code, xmed-lab/NumCLIP.

    Example:
        >>> recipe = released_config("morph")
        >>> recipe.options["bin_anchor"], recipe.training["epochs"], recipe.resize
        ('edge', 200, 'squash_crop')
    """
    check_choice("dataset", dataset, _RELEASED_DATASETS)
    template, tune_context, epochs = _RELEASED_DATASETS[dataset]
    context = "configs/base_cfgs/runner_cfg/model/prompt_learner/init_context"
    options = _RELEASED_OPTIONS | {
        "template": (template, context),
        "tune_context": (tune_context, _SCRIPT),
    }
    name = {"aesthetics": "default_aesthetics", "hci": "configs/default_historical"}
    training = _RELEASED_TRAINING | {
        "epochs": (epochs, f"{name.get(dataset, 'configs/default_morph')}.yaml")
    }
    settings = options | training
    words = "the words of the bins: their file was not released"
    return Recipe(
        method="NumCLIP",
        options={option: value for option, (value, _) in options.items()},
        training={field: value for field, (value, _) in training.items()},
        resize="squash_crop",
        sources={key: source for key, (_, source) in settings.items()}
        | {"resize": "OrdinalCLIP: ordinalclip/runner/utils.py"},
        unknown=() if dataset == "morph" else (words,),
        differences=_RELEASED_DIFFERENCES,
    )
