"""The ranking-aware adapter: one small network that orders pictures by any of its sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self, get_args

import numpy as np
import torch
from torch import Tensor

from ...clip import ClipBackbone
from ...clip.feature_cache import visual_tokens
from ...data import ImageData
from ...losses import Ties, dual_loss
from ...metrics.prediction import Prediction
from ...tasks import OrdinalTask
from ...tasks.ranking_prompts import wordings_of
from ...tasks.templates import placeholders
from ...utils.validation import check_choice
from ..base import Trained, eval_mode, seeded
from .label_scaler import Scale
from .network import LAYERS, Learnable, RankingNet
from .ood import Likeness

# A picture tower of so few layers is a toy, and gets a toy's adapter.
SHALLOW = 6
HALF = torch.float16


@dataclass(frozen=True, kw_only=True)
class RankingAdapterOptions:
    """Options of :class:`RankingAdapter`.

    Attributes:
        class_token: whether CLIP's class token is looked at beside the patches.
        learnable: form of the learnable text tokens: "vector", or "scalar" as released (inert).
        ties: what pairs of equal labels are told: "mask", "half" or "zero" (as released).
        negatives: share of a batch that lacks what is counted; 0 to below 1. Only sentences that
            name a thing have any.
        seed: of first weights.

    Raises:
        ValueError: an unknown choice, or a share outside 0 to 1.
    """

    class_token: bool = True
    learnable: Learnable = "vector"
    ties: Ties = "mask"
    negatives: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("learnable", get_args(Learnable)), ("ties", get_args(Ties))):
            check_choice(name, getattr(self, name), known)
        if not 0 <= self.negatives < 1:
            raise ValueError(f"negatives = {self.negatives!r}: must be from 0 to below 1")


class RankingAdapter(Trained):
    """Order pictures by a sentence; one adapter learns several tasks and is told which.

    Args:
        clip: the backbone; it stays frozen.
        tasks: a task, or several.
        wordings: for a task by name, the sentences that ask for its order, where they are not to
            be :func:`~ordlib.tasks.ranking_prompts.wordings_of` the task.
        options: fields of :class:`RankingAdapterOptions`.

    Attributes:
        tasks: by name.
        wordings: sentences to learn from, by task.
        scales: :class:`~.label_scaler.Scale` by task; before training a guess.
        likeness: :class:`~.ood.Likeness` by task, after training.
        net: the :class:`~.network.RankingNet`.

    Raises:
        TypeError: an option that there is not.
        ValueError: no task, two of one name, sentences for a task that is not there, or none.

    Source:
        Yu et al. (2025), Ranking-aware adapter, arXiv 2412.06760, and the released code. Several
        tasks in one adapter, several wordings, calibration and likeness are ours.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> data = load_data("dating", "val", side=96, size=20)
        >>> adapter = RankingAdapter(load_clip("pico-clip", "cpu"), data.task)
        >>> adapter.scores(data, "Rank from oldest to newest photograph.").shape
        (20,)
    """

    def __init__(
        self,
        clip: ClipBackbone,
        tasks: OrdinalTask | Sequence[OrdinalTask],
        *,
        wordings: Mapping[str, Sequence[str]] | None = None,
        **options: object,
    ) -> None:
        super().__init__()
        self.clip, self.options = clip, RankingAdapterOptions(**options)
        tasks = [tasks] if isinstance(tasks, OrdinalTask) else list(tasks)
        self.tasks = {task.name: task for task in tasks}
        if len(self.tasks) < max(len(tasks), 1):
            raise ValueError(f"tasks = {[t.name for t in tasks]}: give one or more, each once")
        self.wordings = _wordings(self.tasks, wordings or {})
        self.scales = {name: Scale.guessed(task) for name, task in self.tasks.items()}
        self.likeness: dict[str, Likeness] = {}
        self._words: dict[str, Tensor] = {}
        depth = clip.model.config.vision_config.num_hidden_layers
        with seeded(self.options.seed):
            self.net = RankingNet(
                clip.feature_width,
                clip.word_width,
                layers=1 if depth < SHALLOW else LAYERS,
                learnable=self.options.learnable,
            )
            self.net.align(clip.model.text_projection.weight.float())
        self._note_trained()

    def tokens(self, data: ImageData, batch_size: int = 64) -> Tensor:
        """Return ``(N, P, D)`` visual tokens of N pictures, in half precision on the CPU.

        The class token, if it is looked at, comes first, and is one of the P.
        """
        tokens = visual_tokens(self.clip, data, batch_size)
        return tokens if self.options.class_token else tokens[:, 1:]

    def words(self, prompt: str) -> Tensor:
        """Return the ``(T, W)`` text tokens of a sentence; each is encoded once."""
        if prompt not in self._words:
            with torch.no_grad():
                self._words[prompt] = self.clip.text_tokens([prompt])[0][0]
        return self._words[prompt]

    def encode(self, patches: Tensor, words: Tensor) -> Tensor:
        """Return ``(B, P, D)`` tokens of ``(B, P, D)`` patches that looked at ``(T, W)`` words."""
        return self.net(patches, words)

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return the dual loss of tokens and their ``(B,)`` standardised targets, in nats."""
        scores, logits = self.net.scores(tokens), self.net.pair_logits(tokens)
        return dual_loss(scores.float(), logits.float(), targets, ties=self.options.ties)

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
        columns = set(data.records.columns)
        known = [wording] if wording else self.wordings[name]
        for sentence in known:
            fields = sorted(placeholders(sentence))
            if columns.issuperset(fields):
                rows = data.records[fields].to_dict("records") if fields else [{}] * len(data)
                return [sentence.format(**row) for row in rows]
        missing = sorted(placeholders(known[0]) - columns)
        raise ValueError(
            f"the records of {name} have no column {missing[0]!r}, which {known[0]!r} asks for; "
            f"there are {', '.join(sorted(columns)) or 'none'}: give another sentence"
        )

    @torch.no_grad()
    def scores(
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
        patches = self.tokens(data, batch_size)
        found = np.empty(len(data))
        with eval_mode(self):
            for prompt in dict.fromkeys(prompts.tolist()):
                words = self.words(prompt)
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
        return self.read(data.task, self.scores(data, prompts, batch_size))

    def read(self, task: OrdinalTask, scores: np.ndarray) -> Prediction:
        """Return predictions from ``(N,)`` scores."""
        return task.read_values(self.scales[task.name].values(scores).clip(*task.range))

    def strangeness(
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
        if not self.likeness:
            raise RuntimeError("this RankingAdapter has seen no pictures yet: fit it first")
        features = self._pooled(data, batch_size)
        known = self.likeness.values() if task is None else [self.likeness[task]]
        return np.min([each.distances(features) for each in known], axis=0)

    def _pooled(self, data: ImageData, batch_size: int = 64) -> np.ndarray:
        """Return a feature of every picture: the class token, if there is one, and the mean patch.

        By the mean alone most portraits passed for pictures of things to count.
        """
        first = int(self.options.class_token)
        chunks = self.tokens(data, batch_size).split(batch_size)
        parts = [
            (chunk[:, :first].flatten(1), chunk[:, first:].float().mean(1)) for chunk in chunks
        ]
        return torch.cat([torch.cat(part, 1) for part in parts]).double().numpy()

    def standardise(self, train: Sequence[ImageData]) -> None:
        """Take mean and deviation of the labels of each task's training pictures."""
        self.scales |= {data.task.name: Scale.of(data.values) for data in train}

    def calibrate(self, val: Sequence[ImageData]) -> None:
        """Fit, for each task, the line from scores to labels."""
        for data in val:
            scores = self.scores(data, self.prompts(data))
            self.scales[data.task.name] = self.scales[data.task.name].fitted(scores, data.values)

    def remember(self, train: Sequence[ImageData], val: Sequence[ImageData]) -> None:
        """Learn, for each task, what its pictures look like."""
        for one, other in zip(train, val, strict=True):
            likeness = Likeness.of(self._pooled(one), self._pooled(other))
            self.likeness[one.task.name] = likeness

    def config(self) -> dict:
        """Return what rebuilds the adapter around its tensors."""
        limits = {name: likeness.limit for name, likeness in self.likeness.items()}
        return super().config() | {
            "tasks": [asdict(task) for task in self.tasks.values()],
            "wordings": {name: list(known) for name, known in self.wordings.items()},
            "scales": {name: asdict(scale) for name, scale in self.scales.items()},
            "limits": limits,
        }

    def kept_state(self) -> dict[str, Tensor]:
        """Return the network in half precision, and the likeness.

        Only pictures whose scores are all but equal may change places.
        """
        state = {name: tensor.to(HALF) for name, tensor in self.trained_state().items()}
        for name, likeness in self.likeness.items():
            for part in ("centre", "precision"):
                numbers = torch.as_tensor(getattr(likeness, part), dtype=torch.float32)
                state[f"likeness.{name}.{part}"] = numbers
        return state

    def load_kept(self, state: dict[str, Tensor], config: dict) -> None:
        """Put back what :meth:`kept_state` and :meth:`config` gave."""
        super().load_kept({n: t for n, t in state.items() if not n.startswith("likeness.")}, config)
        self.scales = {name: Scale(**scale) for name, scale in config["scales"].items()}
        for name, limit in config["limits"].items():
            parts = (state[f"likeness.{name}.{part}"].numpy() for part in ("centre", "precision"))
            self.likeness[name] = Likeness(*parts, limit)

    @classmethod
    def from_config(cls, config: dict, clip: ClipBackbone) -> Self:
        """Build the adapter that a config describes, not yet with its tensors."""
        tasks = [OrdinalTask(**task) for task in config["tasks"]]
        return cls(clip, tasks, wordings=config["wordings"], **config["options"])


def _wordings(
    tasks: Mapping[str, OrdinalTask], given: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Return the sentences of every task: the caller's, or the usual ones."""
    for name, sentences in given.items():
        if name not in tasks or isinstance(sentences, str) or not sentences:
            raise ValueError(
                f"wordings[{name!r}] = {sentences!r}: must be one or more sentences, in a list, "
                f"for one of {', '.join(tasks)}"
            )
    return {
        name: tuple(given.get(name) or wordings_of(task).trained) for name, task in tasks.items()
    }
