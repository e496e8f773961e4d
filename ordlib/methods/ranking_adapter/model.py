"""Ranking-aware adapter (Yu et al., 2025): text-conditioned image ranking with a frozen CLIP."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from ...clip import ClipBackbone
from ...clip.feature_cache import open_image_tokens
from ...data import ImageData
from ...losses import dual_loss
from ...metrics.prediction import Prediction
from ...tasks import OrdinalTask
from ...utils.device import eval_mode, seeded, torch_defaults
from ...utils.reading import build, get_field
from ...utils.validation import check_batch_size
from ..base import TrainableModule
from ..ood import MahalanobisOOD, read_ood_detectors
from ..predictor import Paths, as_backbone, as_task
from .cls_token import resolve_cls_token
from .config import RankingAdapterConfig
from .label_scaler import LabelScaler, read_label_scalers
from .network import NUM_LAYERS, RankingAdapterNetwork
from .prompts import broadcast_prompts, fill_template, merge_templates
from .recipe import RELEASED_TRAINING, released_network
from .released import check_backbone, read_released

if TYPE_CHECKING:
    from ...inference import FilePredictions

# Reads the tokens of given rows.
TokenReader = Callable[[Sequence[int]], Tensor]
# Image encoders with fewer layers, such as pico-clip's, get an adapter of one layer.
MIN_LAYERS_FOR_FULL_ADAPTER = 6


class RankingAdapter(TrainableModule):
    """Ranking-aware adapter (Yu et al., 2025) for one or several tasks, conditioned on a prompt.

    A small network on the token features of a frozen CLIP scores images. Derived in notebook 04.

    Args:
        clip: frozen backbone, or its name.
        tasks: one or several tasks, or names of built-in ones.
        prompt_templates: training templates by task name; the default is
            :func:`~ordlib.tasks.ranking_prompts.prompt_templates_for`.
        options: fields of :class:`RankingAdapterConfig`.

    Attributes:
        tasks, prompt_templates: by task name.
        label_scalers: :class:`~.label_scaler.LabelScaler` by task name.
        ood_detectors: :class:`~..ood.MahalanobisOOD` by task name; empty before training.
        net: the :class:`~.network.RankingAdapterNetwork`.

    Raises:
        ValueError: no task, two tasks with the same name, or an invalid option or template.

    References:
        Yu et al. (2025), Ranking-aware adapter for text-driven image ordering with CLIP,
        arXiv:2412.06760, and the released code. Several templates per task, calibration and
        OOD detection are ours.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> data = load_data("dating", "val", image_size=96, num_images=20)
        >>> adapter = RankingAdapter(load_clip("pico-clip", "cpu"), data.task)
        >>> adapter.predict_scores(data, "Rank from oldest to newest photograph.").shape
        (20,)
    """

    def __init__(
        self,
        clip: ClipBackbone | str | os.PathLike,
        tasks: OrdinalTask | str | Sequence[OrdinalTask | str],
        *,
        prompt_templates: Mapping[str, Sequence[str]] | None = None,
        **options: object,
    ) -> None:
        super().__init__()
        config = RankingAdapterConfig(**options)
        self.clip = clip = as_backbone(clip)
        self.options, self.calibrations = resolve_cls_token(config, clip), {}
        tasks = [tasks] if isinstance(tasks, OrdinalTask | str) else list(tasks)
        tasks = [as_task(task) for task in tasks]
        self.tasks = {task.name: task for task in tasks}
        if len(self.tasks) < max(len(tasks), 1):
            names = [task.name for task in tasks]
            raise ValueError(f"tasks = {names}: must be one or more tasks with different names")
        self.prompt_templates = merge_templates(prompt_templates or {}, self.tasks)
        raw = None if self.options.standardize_targets else LabelScaler.identity()
        self.label_scalers = {t.name: raw or LabelScaler.from_task_range(t) for t in tasks}
        self.ood_detectors: dict[str, MahalanobisOOD] = {}
        self._encoded_prompts: dict[str, Tensor] = {}
        with torch_defaults(), seeded(self.options.seed):
            self.net = self._build_network()
        self._register_trainable()

    def _build_network(self) -> RankingAdapterNetwork:
        options, clip = self.options, self.clip
        if not options.project_text and clip.embed_dim != clip.text_width:
            raise ValueError(
                f"project_text = False: {clip.name} has image tokens of width {clip.embed_dim} and "
                f"text tokens of width {clip.text_width}; take a CLIP whose widths are equal, or "
                "project_text=True"
            )
        depth = clip.image_encoder.num_layers
        default_layers = 1 if depth < MIN_LAYERS_FOR_FULL_ADAPTER else NUM_LAYERS
        network = RankingAdapterNetwork(
            clip.embed_dim,
            clip.text_width,
            num_layers=options.num_layers or default_layers,
            learnable_tokens=options.learnable_tokens,
            pairwise_head=options.pairwise_head,
            num_learnable_tokens=options.num_learnable_tokens,
            num_relational_tokens=options.num_relational_tokens,
            project_text=options.project_text,
            projection_bias=options.projection_bias,
        )
        if options.project_text:
            network.init_from_clip_projection(clip.text_encoder.projection_weight.float())
        return network

    def image_tokens(self, data: ImageData, batch_size: int = 64) -> Tensor:
        """Return cached ``(N, P, D)`` image tokens, float16 on the CPU, the class token first.

        All of them pass through CLIP's final layer norm and visual projection.
        """
        return self.open_tokens(data, batch_size)(range(len(data)))

    def open_tokens(self, data: ImageData, batch_size: int = 64) -> TokenReader:
        """Return a function that reads the tokens of given rows, ``(B, P, D)``, from the cache."""
        tokens = open_image_tokens(self.clip, data, batch_size)
        first = 0 if self.options.use_cls_token else self.clip.image_encoder.num_cls_tokens
        return lambda rows: tokens[rows][:, first:]

    def encode_prompt(self, prompt: str) -> Tensor:
        """Return the ``(T, W)`` text tokens of a prompt; cached.

        Last hidden states, before the projection, at the positions of ``options.text_positions``.
        """
        if prompt not in self._encoded_prompts:
            arguments = [prompt], self.options.text_positions == "all"
            with torch_defaults(), torch.no_grad():
                (tokens,), _ = self.clip.text_token_features(*arguments)
            self._encoded_prompts[prompt] = tokens
        return self._encoded_prompts[prompt]

    def encode(self, image_tokens: Tensor, text_tokens: Tensor) -> Tensor:
        """Return ``(B, P, D)`` image tokens conditioned on ``(T, W)`` text tokens."""
        return self.net(image_tokens, text_tokens)

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return the dual loss (regression of the scores plus pairwise ranking).

        Args:
            tokens: ``(B, P, D)``, from `encode`.
            targets: ``(B,)`` labels, standardized unless the options say otherwise.
        """
        scores, logits, options = self.net.scores(tokens).float(), None, self.options
        if options.pairwise_head != "none":
            logits = self.net.pair_logits(tokens).float()
        terms = {"tie_handling": options.tie_handling, "components": options.loss_components}
        return dual_loss(scores, logits, targets, **terms)

    def prompts(self, data: ImageData, template: str | None = None) -> list[str]:
        """Return a prompt per image: the template, filled from the columns of ``data.metadata``.

        ``template=None`` uses the task's first template for which all columns exist.

        Raises:
            ValueError: the adapter was not built for the task, or ``data.metadata`` lacks a column.
        """
        if (name := data.task.name) not in self.tasks:
            raise ValueError(f"task = {name!r}: this adapter was built for {', '.join(self.tasks)}")
        return fill_template(data, [template] if template else self.prompt_templates[name])

    @torch.no_grad()
    def predict_scores(
        self, data: ImageData, prompts: str | Sequence[str], batch_size: int = 64,
        read_tokens: TokenReader | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Score N images, each independently of the others, for one prompt or N prompts.

        ``read_tokens`` is what :meth:`open_tokens` returned for the images, if it was called.

        Returns:
            ``(N,)`` float64, in standard deviations of the training labels, or in their unit with
            ``standardize_targets=False``; higher ranks higher.
        """
        check_batch_size(batch_size)
        prompts = np.array(broadcast_prompts(prompts, len(data)))
        read_tokens = read_tokens or self.open_tokens(data, batch_size)
        scores = np.empty(len(data))
        with eval_mode(self):
            for prompt in dict.fromkeys(prompts.tolist()):
                text_tokens = self.encode_prompt(prompt)
                matches = np.flatnonzero(prompts == prompt)
                for start in range(0, len(matches), batch_size):
                    rows = matches[start : start + batch_size]
                    batch = read_tokens(rows).to(self.clip.device).float()
                    tokens = self.encode(batch, text_tokens)
                    scores[rows] = self.net.scores(tokens).double().cpu()
        return scores

    def predict(
        self, images: ImageData | Paths, batch_size: int = 64, template: str | None = None,
        task: str | None = None,
    ) -> "Prediction | FilePredictions":  # fmt: skip
        """Predict labels, without probabilities; ``template`` is that of :meth:`prompts`.

        ``images`` may be a folder or paths of image files, of the task named ``task`` if there are
        several; see :func:`~ordlib.inference.predict_files`.
        """
        if not isinstance(images, ImageData):
            options = {"batch_size": batch_size, "template": template, "task": task}
            return self.predict_files(images, **options)
        scores = self.predict_scores(images, self.prompts(images, template), batch_size)
        return self.predict_from_scores(images.task, scores)

    def predict_with_ood(
        self, data: ImageData, batch_size: int = 64, template: str | None = None
    ) -> tuple[Prediction, np.ndarray | None]:
        """Return predictions and ``(N,)`` OOD scores, None without a detector; above 1 is OOD."""
        task, tokens = data.task, self.open_tokens(data, batch_size)
        scores = self.predict_scores(data, self.prompts(data, template), batch_size, tokens)
        has_ood = task.name in self.ood_detectors
        ood = self.ood_score(data, task.name, batch_size, tokens) if has_ood else None
        return self.predict_from_scores(task, scores), ood

    def predict_from_scores(self, task: OrdinalTask, scores: np.ndarray) -> Prediction:
        """Return predictions for ``(N,)`` scores, clipped to the task's range."""
        labels = self.label_scalers[task.name].scores_to_labels(scores)
        return task.decode_values(labels.clip(*task.range))

    def ood_score(
        self, data: ImageData, task: str | None = None, batch_size: int = 64,
        read_tokens: TokenReader | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Return ``(N,)`` out-of-distribution scores; above 1 is out of distribution.

        The score is the squared Mahalanobis distance to the training images of the named task,
        divided by a threshold; ``task=None`` takes the lowest score over all tasks.

        Raises:
            RuntimeError: the adapter is not trained.
        """
        if not self.ood_detectors:
            raise RuntimeError("this RankingAdapter has no OOD detectors: train it with fit first")
        features = self._ood_features(data, batch_size, read_tokens)
        detectors = self.ood_detectors.values() if task is None else [self.ood_detectors[task]]
        return np.min([detector.scores(features) for detector in detectors], axis=0)

    def _ood_features(self, data: ImageData, batch_size: int = 64, read_tokens=None) -> np.ndarray:
        # With the mean patch token alone, the counting detector accepted most portraits.
        num_cls_tokens = int(self.options.use_cls_token)
        read_tokens, rows = read_tokens or self.open_tokens(data, batch_size), range(len(data))
        features = np.empty((len(data), (num_cls_tokens + 1) * self.clip.embed_dim))
        for start in rows[::batch_size]:
            batch = rows[start : start + batch_size]
            tokens = read_tokens(batch)
            patch_mean = tokens[:, num_cls_tokens:].float().mean(1)
            features[batch] = torch.cat([tokens[:, :num_cls_tokens].flatten(1), patch_mean], 1)
        return features

    def fit_label_scalers(self, train: Sequence[ImageData]) -> None:
        """Fit mean and std of the labels of each task's training images; not for raw targets."""
        if self.options.standardize_targets:
            self.label_scalers |= {data.task.name: LabelScaler.fit(data.values) for data in train}

    def calibrate(self, val: Sequence[ImageData]) -> None:
        """Fit each task's linear calibration from scores to labels."""
        for data in val:
            scores = self.predict_scores(data, self.prompts(data))
            scaler = self.label_scalers[data.task.name]
            self.label_scalers[data.task.name] = scaler.calibrated(scores, data.values)

    def fit_ood_detectors(self, train: Sequence[ImageData], val: Sequence[ImageData]) -> None:
        """Fit an OOD detector per task; the threshold is fitted on the validation images."""
        for train_data, val_data in zip(train, val, strict=True):
            features = self._ood_features(train_data), self._ood_features(val_data)
            self.ood_detectors[train_data.task.name] = MahalanobisOOD.fit(*features)

    def config(self) -> dict:
        """Return everything but the tensors, JSON-serializable."""
        return super().config() | {
            "tasks": [asdict(task) for task in self.tasks.values()],
            "prompt_templates": {name: list(t) for name, t in self.prompt_templates.items()},
            "label_scalers": {name: asdict(scaler) for name, scaler in self.label_scalers.items()},
            "ood_thresholds": {name: ood.threshold for name, ood in self.ood_detectors.items()},
        }

    def saved_state_dict(self) -> dict[str, Tensor]:
        """Return the network in float16 and the OOD detectors in float32."""
        state = {name: t.to(torch.float16) for name, t in self.trainable_state_dict().items()}
        for name, ood in self.ood_detectors.items():
            state |= ood.state_dict(f"ood.{name}.")
        return state

    def load_saved_state_dict(self, state: dict[str, Tensor], config: dict) -> None:
        """Load what `saved_state_dict` and `config` returned."""
        network = {name: t for name, t in state.items() if not name.startswith("ood.")}
        super().load_saved_state_dict(network, config)
        width = (int(self.options.use_cls_token) + 1) * self.clip.embed_dim
        detectors = {n: t for n, t in state.items() if n not in network}
        self.ood_detectors = read_ood_detectors(detectors, config["ood_thresholds"], width)

    @classmethod
    def from_config(cls, config: dict, clip: ClipBackbone) -> Self:
        """Build the adapter of a config, without loading its tensors."""
        given = enumerate(get_field(config, "tasks", list))
        tasks = [build(OrdinalTask, task, f"tasks.{index}") for index, task in given]
        scalers = read_label_scalers(config, [task.name for task in tasks])
        adapter = cls(clip, tasks, prompt_templates=config["prompt_templates"], **config["options"])
        adapter.label_scalers = scalers
        return adapter

    @classmethod
    def from_released(
        cls,
        path: str | os.PathLike,
        clip: ClipBackbone | str | os.PathLike,
        tasks: OrdinalTask | str | Sequence[OrdinalTask | str],
        **options: object,
    ) -> Self:
        """Build the adapter of a checkpoint of the released code; scores are raw labels.

        Args:
            path: see :func:`~.released.load_released_ranking_adapter`.
            clip: the backbone that it was trained on; a warning says if the file has another one's
                weights.
            tasks: as for the class.
            options: prompt templates, and options of the training; those of the network and of its
                input are the file's.

        Raises:
            ValueError: the file is no such checkpoint, or the widths of the backbone are others.

        Example:
            >>> RankingAdapter.from_released("adapter.pt", clip, "object_count")  # doctest: +SKIP
        """
        clip = as_backbone(clip)
        network, backbone_state = read_released(path)
        check_backbone(path, network, backbone_state, clip)
        adapter = cls(clip, tasks, **(RELEASED_TRAINING | options), **released_network(network))
        adapter.net.load_state_dict(network.state_dict())
        return adapter
