"""The ranking-aware adapter: one small network that orders pictures by any of its sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self, get_args

import numpy as np
import torch
from torch import Tensor

from ...clip import ClipBackbone
from ...clip.feature_cache import cached_image_tokens
from ...data import ImageData
from ...losses import TieHandling, dual_loss
from ...metrics.prediction import Prediction
from ...tasks import OrdinalTask
from ...tasks.ranking_prompts import prompt_templates_for
from ...tasks.templates import placeholder_names
from ...utils.validation import check_choice
from ..base import TrainableModule, eval_mode, seeded
from .label_scaler import LabelScaler
from .network import LAYERS, LearnableTokens, RankingAdapterNetwork
from .ood import MahalanobisOOD

# A picture tower of so few layers is a toy, and gets a toy's adapter.
MIN_LAYERS_FOR_FULL_ADAPTER = 6
torch.float16 = torch.float16


@dataclass(frozen=True, kw_only=True)
class RankingAdapterConfig:
    """Options of :class:`RankingAdapter`.

    Attributes:
        use_cls_token: whether CLIP's class token is looked at beside the patches.
        learnable_tokens: form of the learnable text tokens: "vector", or "scalar" as released (inert).
        tie_handling: what pairs of equal labels are told: "mask", "half" or "zero" (as released).
        negative_ratio: share of a batch that lacks what is counted; 0 to below 1. Only sentences that
            name a thing have any.
        seed: of first weights.

    Raises:
        ValueError: an unknown choice, or a share outside 0 to 1.
    """

    use_cls_token: bool = True
    learnable_tokens: LearnableTokens = "vector"
    tie_handling: TieHandling = "mask"
    negative_ratio: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (
            ("learnable_tokens", get_args(LearnableTokens)),
            ("tie_handling", get_args(TieHandling)),
        ):
            check_choice(name, getattr(self, name), known)
        if not 0 <= self.negative_ratio < 1:
            raise ValueError(f"negative_ratio = {self.negative_ratio!r}: must be from 0 to below 1")


class RankingAdapter(TrainableModule):
    """Order pictures by a sentence; one adapter learns several tasks and is told which.

    Args:
        clip: the backbone; it stays frozen.
        tasks: a task, or several.
        prompt_templates: for a task by name, the sentences that ask for its order, where they are not to
            be :func:`~ordlib.tasks.ranking_prompts.prompt_templates_for` the task.
        options: fields of :class:`RankingAdapterConfig`.

    Attributes:
        tasks: by name.
        prompt_templates: sentences to learn from, by task.
        scales: :class:`~.label_scaler.LabelScaler` by task; before training a guess.
        likeness: :class:`~.ood.MahalanobisOOD` by task, after training.
        net: the :class:`~.network.RankingAdapterNetwork`.

    Raises:
        TypeError: an option that there is not.
        ValueError: no task, two of one name, sentences for a task that is not there, or none.

    Source:
        Yu et al. (2025), Ranking-aware adapter, arXiv 2412.06760, and the released code. Several
        tasks in one adapter, several prompt_templates, calibration and likeness are ours.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> data = load_data("dating", "val", image_size=96, num_images=20)
        >>> adapter = RankingAdapter(load_clip("pico-clip", "cpu"), data.task)
        >>> adapter.predict_scores(data, "Rank from oldest to newest photograph.").shape
        (20,)
    """

    def __init__(
        self,
        clip: ClipBackbone,
        tasks: OrdinalTask | Sequence[OrdinalTask],
        *,
        prompt_templates: Mapping[str, Sequence[str]] | None = None,
        **options: object,
    ) -> None:
        super().__init__()
        self.clip, self.options = clip, RankingAdapterConfig(**options)
        tasks = [tasks] if isinstance(tasks, OrdinalTask) else list(tasks)
        self.tasks = {task.name: task for task in tasks}
        if len(self.tasks) < max(len(tasks), 1):
            raise ValueError(f"tasks = {[t.name for t in tasks]}: give one or more, each once")
        self.prompt_templates = _prompt_templates(self.tasks, prompt_templates or {})
        self.label_scalers = {
            name: LabelScaler.from_task_range(task) for name, task in self.tasks.items()
        }
        self.ood_detectors: dict[str, MahalanobisOOD] = {}
        self._encoded_prompts: dict[str, Tensor] = {}
        depth = clip.model.config.vision_config.num_hidden_layers
        with seeded(self.options.seed):
            self.net = RankingAdapterNetwork(
                clip.embed_dim,
                clip.text_width,
                layers=1 if depth < MIN_LAYERS_FOR_FULL_ADAPTER else LAYERS,
                learnable_tokens=self.options.learnable_tokens,
            )
            self.net.init_from_clip_projection(clip.model.text_projection.weight.float())
        self._register_trainable()

    def image_tokens(self, data: ImageData, batch_size: int = 64) -> Tensor:
        """Return ``(N, P, D)`` visual tokens of N pictures, in half precision on the CPU.

        The class token, if it is looked at, comes first, and is one of the P.
        """
        tokens = cached_image_tokens(self.clip, data, batch_size)
        return tokens if self.options.use_cls_token else tokens[:, 1:]

    def encode_prompt(self, prompt: str) -> Tensor:
        """Return the ``(T, W)`` text tokens of a sentence; each is encoded once."""
        if prompt not in self._encoded_prompts:
            with torch.no_grad():
                self._encoded_prompts[prompt] = self.clip.text_token_features([prompt])[0][0]
        return self._encoded_prompts[prompt]

    def encode(self, patches: Tensor, words: Tensor) -> Tensor:
        """Return ``(B, P, D)`` tokens of ``(B, P, D)`` patches that looked at ``(T, W)`` words."""
        return self.net(patches, words)

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return the dual loss of tokens and their ``(B,)`` standardised targets, in nats."""
        scores, logits = self.net.scores(tokens), self.net.pair_logits(tokens)
        return dual_loss(
            scores.float(), logits.float(), targets, tie_handling=self.options.tie_handling
        )

    def prompts(self, data: ImageData, wording: str | None = None) -> list[str]:
        """Return the sentence for every picture.

        Args:
            data: N pictures of one of the tasks.
            wording: a sentence, perhaps with placeholders for columns of the data's records; None
                takes the task's first whose columns are there.

        Returns:
            N sentences.

        Raises:
            ValueError: another task, or a column that the records lack.
        """
        name = data.task.name
        if name not in self.tasks:
            raise ValueError(f"data of task {name!r}: this adapter knows {', '.join(self.tasks)}")
        columns = set(data.metadata.columns)
        known = [wording] if wording else self.prompt_templates[name]
        for sentence in known:
            fields = sorted(placeholder_names(sentence))
            if columns.issuperset(fields):
                rows = data.metadata[fields].to_dict("records") if fields else [{}] * len(data)
                return [sentence.format(**row) for row in rows]
        missing = sorted(placeholder_names(known[0]) - columns)
        raise ValueError(
            f"the records of {name} have no column {missing[0]!r}, which {known[0]!r} asks for; "
            f"there are {', '.join(sorted(columns)) or 'none'}: give another sentence"
        )

    @torch.no_grad()
    def predict_scores(
        self, data: ImageData, prompts: str | Sequence[str], batch_size: int = 64
    ) -> np.ndarray:
        """Score pictures by a sentence; the higher, the more of what it asks for.

        Each picture is seen once and by itself, so N pictures cost N times one, and any part of
        them gives the same scores.

        Args:
            data: N pictures; their labels are not looked at.
            prompts: one sentence for all, or one for each.
            batch_size: pictures in memory at once.

        Returns:
            ``(N,)`` float64, in standard deviations of the training labels.

        Raises:
            ValueError: as many sentences as neither one nor N.
        """
        prompts = np.array([prompts] * len(data) if isinstance(prompts, str) else prompts)
        if len(prompts) != len(data):
            raise ValueError(f"{len(prompts)} sentences for {len(data)} pictures: give one or each")
        patches = self.image_tokens(data, batch_size)
        found = np.empty(len(data))
        with eval_mode(self):
            for prompt in dict.fromkeys(prompts.tolist()):
                words = self.encode_prompt(prompt)
                for rows in torch.as_tensor(np.flatnonzero(prompts == prompt)).split(batch_size):
                    tokens = self.encode(patches[rows].to(self.clip.device).float(), words)
                    found[rows] = self.net.scores(tokens).double().cpu()
        return found

    def predict(
        self, data: ImageData, batch_size: int = 64, wording: str | None = None
    ) -> Prediction:
        """Predict the label of every picture, from its score and the task's scale.

        Args:
            data: N pictures of one of the tasks; their labels are not looked at.
            batch_size: pictures in memory at once.
            wording: as in :meth:`prompts`.

        Returns:
            ``value`` within the task's range, ``label`` the nearest rank, no probabilities.
        """
        prompts = self.prompts(data, wording)
        return self.predict_from_scores(data.task, self.predict_scores(data, prompts, batch_size))

    def predict_from_scores(self, task: OrdinalTask, scores: np.ndarray) -> Prediction:
        """Return predictions from ``(N,)`` scores."""
        return task.decode_values(
            self.label_scalers[task.name].inverse_transform(scores).clip(*task.range)
        )

    def ood_score(
        self, data: ImageData, task: str | None = None, batch_size: int = 64
    ) -> np.ndarray:
        """Say how unlike the training pictures others are.

        Args:
            data: N pictures.
            task: name of the one whose training pictures count; None takes, for each picture, the
                task that it is nearest to.
            batch_size: pictures in memory at once.

        Returns:
            ``(N,)`` squared distances from those pictures; above 1 lies what hardly any picture of
            that task reaches.

        Raises:
            RuntimeError: not trained.
        """
        if not self.ood_detectors:
            raise RuntimeError("this RankingAdapter has seen no pictures yet: fit it first")
        features = self._ood_features(data, batch_size)
        known = self.ood_detectors.values() if task is None else [self.ood_detectors[task]]
        return np.min([each.distances(features) for each in known], axis=0)

    def _ood_features(self, data: ImageData, batch_size: int = 64) -> np.ndarray:
        """Return a feature of every picture: the class token, if there is one, and the mean patch.

        By the mean alone most portraits passed for pictures of things to count.
        """
        first = int(self.options.use_cls_token)
        chunks = self.image_tokens(data, batch_size).split(batch_size)
        parts = [
            (chunk[:, :first].flatten(1), chunk[:, first:].float().mean(1)) for chunk in chunks
        ]
        return torch.cat([torch.cat(part, 1) for part in parts]).double().numpy()

    def fit_label_scalers(self, train: Sequence[ImageData]) -> None:
        """Take mean and deviation of the labels of each task's training pictures."""
        self.label_scalers |= {data.task.name: LabelScaler.fit(data.values) for data in train}

    def calibrate(self, val: Sequence[ImageData]) -> None:
        """Fit, for each task, the line from scores to labels."""
        for data in val:
            scores = self.predict_scores(data, self.prompts(data))
            self.label_scalers[data.task.name] = self.label_scalers[data.task.name].calibrated(
                scores, data.values
            )

    def fit_ood_detectors(self, train: Sequence[ImageData], val: Sequence[ImageData]) -> None:
        """Learn, for each task, what its pictures look like."""
        for one, other in zip(train, val, strict=True):
            likeness = MahalanobisOOD.fit(self._ood_features(one), self._ood_features(other))
            self.ood_detectors[one.task.name] = likeness

    def config(self) -> dict:
        """Return what rebuilds the adapter around its tensors."""
        thresholds = {name: likeness.threshold for name, likeness in self.ood_detectors.items()}
        return super().config() | {
            "tasks": [asdict(task) for task in self.tasks.values()],
            "prompt_templates": {
                name: list(known) for name, known in self.prompt_templates.items()
            },
            "label_scalers": {name: asdict(scale) for name, scale in self.label_scalers.items()},
            "ood_thresholds": thresholds,
        }

    def saved_state_dict(self) -> dict[str, Tensor]:
        """Return the network in half precision, and the likeness.

        Only pictures whose scores are all but equal may change places.
        """
        state = {
            name: tensor.to(torch.float16) for name, tensor in self.trainable_state_dict().items()
        }
        for name, likeness in self.ood_detectors.items():
            for part in ("mean", "precision"):
                numbers = torch.as_tensor(getattr(likeness, part), dtype=torch.float32)
                state[f"ood.{name}.{part}"] = numbers
        return state

    def load_saved_state_dict(self, state: dict[str, Tensor], config: dict) -> None:
        """Put back what :meth:`saved_state_dict` and :meth:`config` gave."""
        super().load_saved_state_dict(
            {n: t for n, t in state.items() if not n.startswith("ood.")}, config
        )
        self.label_scalers = {
            name: LabelScaler(**scale) for name, scale in config["label_scalers"].items()
        }
        for name, limit in config["ood_thresholds"].items():
            parts = (state[f"ood.{name}.{part}"].numpy() for part in ("mean", "precision"))
            self.ood_detectors[name] = MahalanobisOOD(*parts, limit)

    @classmethod
    def from_config(cls, config: dict, clip: ClipBackbone) -> Self:
        """Build the adapter that a config describes, not yet with its tensors."""
        tasks = [OrdinalTask(**task) for task in config["tasks"]]
        return cls(clip, tasks, prompt_templates=config["prompt_templates"], **config["options"])


def _prompt_templates(
    tasks: Mapping[str, OrdinalTask], given: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Return the sentences of every task: the caller's, or the usual ones."""
    for name, sentences in given.items():
        if name not in tasks or isinstance(sentences, str) or not sentences:
            raise ValueError(
                f"prompt_templates[{name!r}] = {sentences!r}: must be one or more sentences, in a list, "
                f"for one of {', '.join(tasks)}"
            )
    return {
        name: tuple(given.get(name) or prompt_templates_for(task).train)
        for name, task in tasks.items()
    }
