"""Zero-shot prediction: CLIP as it comes, asked with one prompt for each rank or coarse bin."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import normalize
from tqdm.auto import tqdm

from ..clip import ClipBackbone
from ..clip.feature_cache import cached_image_features
from ..data import ImageData
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from ..tasks.templates import placeholder_combinations, placeholder_names
from ..tasks.validation import validate_decode
from ..utils.validation import check_choice

OVER = ("ranks", "bins")


class ZeroShot:
    """Compare pictures with prompts by cosine, softmax with CLIP's own logit scale. No training.

    A placeholder beside ``{rank}`` is *named* when ``fill`` says which column of a picture's
    record holds its word: every picture then meets prompts with its own word, as counting
    benchmarks do. Otherwise it is *unnamed*: text features are averaged over all its words in
    the task, so that the prompts tell nothing of the picture. An average is one of features of
    length 1, brought back to length 1; first over words, then over templates, so that every
    template counts the same.

    Text features are encoded once for each template and each distinct word, and kept for as
    long as the model: the backbone must not be tuned meanwhile. An unnamed template costs a
    prompt for each rank and each combination of words: 15,200 for the one in counting with
    object and colour, so leave it out where every second counts.

    Args:
        clip: the backbone, as it was loaded.
        task: ranks, bins, words, templates.
        over: what the prompts say: the "ranks" by ``task.prompts`` or the coarse "bins" by
            ``task.bin_prompts``.
        templates: which of ``task.templates`` (over bins: ``task.bin_templates``) to average,
            by index; None takes all. For the spread over templates make one model with each
            ``(i,)``.
        fill: the record column for each named placeholder; None names none.
        decode: "expectation" or "argmax"; None takes the task's own. For the other one of
            the same predictions: ``task.decode_probabilities(prediction.probabilities, "argmax")``.

    Raises:
        ValueError: unknown template, placeholder, decode or ``over``.

    Source:
        Radford et al. (2021), Learning transferable visual models from natural language
        supervision, arXiv 2103.00020, section 3.1.4, also for averaging templates in the space of
        features. Averaging over unnamed words in the same way is ours.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> clip = load_clip("pico-clip", "cpu")
        >>> data = load_data("counting", "val", num_images=100)
        >>> named = {"object": "plural"}
        >>> numerals = ZeroShot(clip, data.task, templates=(0, 1, 2), fill=named)
        >>> numerals.predict(data).probabilities.shape
        (100, 20)
        >>> phrases = ZeroShot(clip, data.task, fill=named, over="bins")
        >>> truth = data.task.bin_index(data.values)
        >>> (phrases.predict_bins(data) == truth).shape
        (100,)
    """

    def __init__(
        self,
        clip: ClipBackbone,
        task: OrdinalTask,
        *,
        over: Literal["ranks", "bins"] = "ranks",
        templates: Sequence[int] | None = None,
        fill: Mapping[str, str] | None = None,
        decode: Literal["expectation", "argmax"] | None = None,
    ) -> None:
        check_choice("over", over, OVER)
        self.clip, self.task, self.over = clip, task, over
        self.decode = validate_decode(task.decode if decode is None else decode)
        self.fill = dict(fill or {})
        known = task.templates if over == "ranks" else task.bin_templates
        self._write = task.prompts if over == "ranks" else task.bin_prompts
        self.templates = _indices(templates, len(known))
        for index in self.templates:
            # Writing the prompts once finds a template or placeholder that is not there.
            self._write(index, **dict.fromkeys(self.fill, "thing"))
        self._texts = {index: known[index] for index in self.templates}
        self._encoded: dict[tuple, torch.Tensor] = {}

    def text_features(self, **words: str) -> torch.Tensor:
        """Return what pictures are compared with.

        Args:
            words: a word for each placeholder to name, as ``object="stars"``; over the words
                of those left out the features are averaged.

        Returns:
            ``(M, D)`` float32 on the CPU, a row of length 1 for each rank; over bins ``(d, D)``.

        Raises:
            ValueError: the task has no such placeholder, or a prompt is too long for the CLIP.

        Example:
            >>> from ordlib import load_clip, load_task
            >>> clip, task = load_clip("pico-clip", "cpu"), load_task("counting")
            >>> model = ZeroShot(clip, task, templates=(0,))
            >>> model.text_features(object="stars").shape
            torch.Size([20, 96])
        """
        self._write(self.templates[0], **words)  # raises where there is no such placeholder
        each = [self._template_features(index, words) for index in self.templates]
        return _mean(torch.stack(each))

    def predict(self, data: ImageData) -> Prediction:
        """Predict the label of every picture.

        Args:
            data: N pictures; their labels are not looked at.

        Returns:
            Values and labels on the task's number line. Over ranks with ``(N, M)``
            probabilities; over bins without, each bin standing at its ``task.bin_midpoints()``
            (clipped to the ranks).

        Raises:
            ValueError: a record column that is not there or has no word for a picture, or a
                backbone that was tuned after loading.
        """
        probabilities = self._probabilities(data)
        if self.over == "ranks":
            return self.task.decode_probabilities(probabilities, self.decode)
        midpoints = self.task.bin_midpoints().clip(*self.task.range)
        if self.decode == "argmax":
            return self.task.decode_values(midpoints[probabilities.argmax(1)])
        return self.task.decode_values(probabilities @ midpoints)

    def predict_bins(self, data: ImageData) -> np.ndarray:
        """Predict the coarse bin of every picture, so that numerals and phrases can be compared.

        Over bins it is the likeliest phrase. Over ranks it is the bin whose ranks are likeliest
        together, which favours bins with many ranks where the model is unsure;
        ``task.bin_index(model.predict(data).value)`` is the other way to get there.

        Args:
            data: N pictures.

        Returns:
            ``(N,)`` int64, 0 to d - 1, to be compared with ``task.bin_index(data.values)``.

        Raises:
            ValueError: as `predict`.
        """
        probabilities = self._probabilities(data)
        if self.over == "ranks":
            bins = self.task.bin_index(self.task.rank_values)
            probabilities = probabilities @ np.eye(self.task.num_bins)[bins]
        return probabilities.argmax(1)

    def _probabilities(self, data: ImageData) -> np.ndarray:
        """Return ``(N, M)`` or ``(N, d)`` float64, one product for each distinct filling."""
        alike = self._rows_by_words(data)
        # Texts come first: a prompt that is too long fails before the pictures are encoded.
        texts = [
            self.text_features(**dict(zip(self.fill, words, strict=True)))
            for words in tqdm(alike, "encoding prompts", leave=False, delay=2, unit="word")
        ]
        images = normalize(cached_image_features(self.clip, data), dim=-1)
        cosines = torch.empty(len(data), len(texts[0]), dtype=torch.float64)
        for rows, text in zip(alike.values(), texts, strict=True):
            cosines[rows] = (images[rows] @ text.T).double()
        return (self.clip.logit_scale * cosines).softmax(1).numpy()

    def _rows_by_words(self, data: ImageData) -> dict[tuple[str, ...], list[int]]:
        """Gather the pictures that meet the same prompts, by the words that fill them."""
        columns = [_words(data, name, column) for name, column in self.fill.items()]
        if not columns:
            return {(): list(range(len(data)))}
        alike = defaultdict(list)
        for row, words in enumerate(zip(*columns, strict=True)):
            alike[words].append(row)
        return alike

    def _template_features(self, index: int, words: Mapping[str, str]) -> torch.Tensor:
        """Return the features of one template, averaged over the words of what is not named."""
        text = self._texts[index]
        used = {name: word for name, word in words.items() if name in placeholder_names(text)}
        key = (index, *sorted(used.items()))
        if key not in self._encoded:
            unnamed = {k: v for k, v in self.task.placeholders.items() if k not in used}
            prompts = [
                self._write(index, **words, **f) for f in placeholder_combinations(text, unnamed)
            ]
            features = self.clip.encode_text([p for filled in prompts for p in filled])
            features = normalize(features, dim=-1)
            self._encoded[key] = _mean(features.view(len(prompts), len(prompts[0]), -1))
        return self._encoded[key]


def _mean(features: torch.Tensor) -> torch.Tensor:
    """Average ``(K, M, D)`` features of length 1 over K, back to length 1."""
    return normalize(features.mean(0), dim=-1)


def _indices(templates: Sequence[int] | None, count: int) -> tuple[int, ...]:
    if templates is None:
        return tuple(range(count))
    if isinstance(templates, str) or not isinstance(templates, Sequence) or not len(templates):
        raise ValueError(f"templates = {templates!r}: give a tuple of indices, such as (0,)")
    if len(set(templates)) < len(templates):
        raise ValueError(f"templates = {templates!r}: names one twice; it would count double")
    return tuple(templates)


def _words(data: ImageData, name: str, column: str) -> list[str]:
    """Return the word of every picture for one placeholder."""
    where = f"{data.task.name}/{data.split}"
    if column not in data.metadata:
        there = ", ".join(map(str, data.metadata)) or "none"
        raise ValueError(
            f"fill[{name!r}] = {column!r}: the records of {where} have no such column; "
            f"they have {there}"
        )
    words = data.metadata[column].tolist()
    for row, word in enumerate(words):
        if not isinstance(word, str) or not word.strip():
            raise ValueError(
                f"fill[{name!r}] = {column!r}: row {row} of the records of {where} holds {word!r}, "
                f"which is no word; fill it in, or leave {name!r} out of fill to average over words"
            )
    return words
