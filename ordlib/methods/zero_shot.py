"""Zero-shot CLIP with prompt ensembling over templates and placeholders."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Literal

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
from ..utils.device import torch_defaults
from ..utils.validation import check_choice
from .predictor import Paths, Predictor, as_backbone, as_task

if TYPE_CHECKING:
    from ..inference import FilePredictions


class ZeroShot(Predictor):
    """Zero-shot CLIP classifier (Radford et al., 2021) over rank or bin prompts.

    Text features are averaged over placeholder values and then over templates, with normalization
    after each average, and cached in the model. Derived in notebook 01.

    Args:
        clip: the backbone, not tuned after loading, or its name.
        task: defines ranks, bins and prompt templates; or the name of a built-in task.
        prompts_for: the "ranks" (``task.prompts``) or the "bins" (``task.bin_prompts``).
        templates: indices of the templates to average; None takes all.
        placeholder_columns: metadata columns with the placeholder values of each image, such as
            ``{"object": "plural"}``. Text features are averaged over all values of the other
            placeholders: 15,200 prompts for counting's template with object and colour.
        decode: "expectation" or "argmax"; None takes ``task.decode``.

    References:
        Radford et al. (2021), CLIP, arXiv:2103.00020, section 3.1.4, for the template ensemble.
        The average over placeholder values is ours.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> clip, data = load_clip("pico-clip", "cpu"), load_data("counting", "val", num_images=100)
        >>> options = {"templates": (0,), "placeholder_columns": {"object": "plural"}}
        >>> model = ZeroShot(clip, data.task, **options)
        >>> model.predict(data).probabilities.shape, model.predict_bins(data).shape
        ((100, 20), (100,))
    """

    def __init__(
        self,
        clip: ClipBackbone | str | os.PathLike,
        task: OrdinalTask | str,
        *,
        prompts_for: Literal["ranks", "bins"] = "ranks",
        templates: Sequence[int] | None = None,
        placeholder_columns: Mapping[str, str] | None = None,
        decode: Literal["expectation", "argmax"] | None = None,
    ) -> None:
        check_choice("prompts_for", prompts_for, ("ranks", "bins"))
        self.clip, self.task = as_backbone(clip), (task := as_task(task))
        self.prompts_for, self.calibrations = prompts_for, {}
        self.decode = validate_decode(task.decode if decode is None else decode)
        self.placeholder_columns = dict(placeholder_columns or {})
        ranks = prompts_for == "ranks"
        self._all_templates = task.templates if ranks else task.bin_templates
        self._format_prompts = task.prompts if ranks else task.bin_prompts
        self.templates = _template_indices(templates, len(self._all_templates))
        for index in self.templates:  # raises if a template or placeholder does not exist
            self._format_prompts(index, **dict.fromkeys(self.placeholder_columns, "value"))
        self._text_cache: dict[tuple, torch.Tensor] = {}

    def text_features(self, **placeholders: str) -> torch.Tensor:
        """Return normalized text features, ``(M, D)`` or ``(d, D)`` float32 on the CPU.

        Placeholders can be given a value, e.g. ``object="stars"``; the features are averaged over
        all values of the others.
        """
        self._format_prompts(self.templates[0], **placeholders)  # raises if there is none
        features = [self._template_features(index, placeholders) for index in self.templates]
        return _mean(torch.stack(features))

    def predict(self, images: ImageData | Paths) -> "Prediction | FilePredictions":
        """Predict each image's value and label in the task's unit; labels in the data are not used.

        Rank prompts give ``(N, M)`` probabilities; bin prompts give none, and the value of a bin
        is its midpoint clipped to the ranks. ``images`` may be a folder or paths of image files.

        Raises:
            ValueError: a metadata column is missing or has an empty entry.
        """
        if not isinstance(images, ImageData):
            return self.predict_files(images)
        probabilities = self._probabilities(images)
        if self.prompts_for == "ranks":
            return self.task.decode_probabilities(probabilities, self.decode)
        midpoints = self.task.bin_midpoints().clip(*self.task.range)
        if self.decode == "argmax":
            return self.task.decode_values(midpoints[probabilities.argmax(1)])
        return self.task.decode_values(probabilities @ midpoints)

    def predict_bins(self, data: ImageData) -> np.ndarray:
        """Return the most probable bin of each image, ``(N,)`` int64, 0 to d - 1.

        With rank prompts the probability of a bin is the sum over its ranks, which favors large
        bins; for the bin of the prediction use ``task.bin_index(model.predict(data).value)``.
        """
        probabilities = self._probabilities(data)
        if self.prompts_for == "ranks":
            bins = self.task.bin_index(self.task.rank_values)
            probabilities = probabilities @ np.eye(self.task.num_bins)[bins]  # (N, M) @ (M, d)
        return probabilities.argmax(1)

    def _probabilities(self, data: ImageData) -> np.ndarray:
        """Return ``(N, M)`` or ``(N, d)`` probabilities, float64."""
        groups = self._rows_by_values(data)
        # Text first: a prompt that is too long raises before the images are encoded.
        texts = [
            self.text_features(**dict(zip(self.placeholder_columns, values, strict=True)))
            for values in tqdm(groups, "encoding prompts", leave=False, delay=2, unit="value")
        ]
        images = normalize(cached_image_features(self.clip, data), dim=-1)
        cosines = torch.empty(len(data), len(texts[0]), dtype=torch.float64)
        for rows, text in zip(groups.values(), texts, strict=True):
            cosines[rows] = (images[rows] @ text.T).double()
        return (self.clip.logit_scale * cosines).softmax(1).numpy()

    def _rows_by_values(self, data: ImageData) -> dict[tuple[str, ...], list[int]]:
        """Group row indices by the placeholder values of the images."""
        columns = [_column(data, *item) for item in self.placeholder_columns.items()]
        groups = defaultdict(list)
        for row, values in enumerate(zip(*columns, strict=True) if columns else [()] * len(data)):
            groups[values].append(row)
        return groups

    def _template_features(self, index: int, placeholders: Mapping[str, str]) -> torch.Tensor:
        """Return ``(M, D)`` features of a template, averaged over the placeholders not given."""
        template = self._all_templates[index]
        used = placeholder_names(template)
        given = {name: value for name, value in placeholders.items() if name in used}
        key = (index, *sorted(given.items()))
        if key not in self._text_cache:
            others = {k: v for k, v in self.task.placeholders.items() if k not in given}
            combinations = placeholder_combinations(template, others)
            prompts = [self._format_prompts(index, **given, **values) for values in combinations]
            with torch_defaults():
                features = normalize(self.clip.encode_text([*chain(*prompts)]), dim=-1)
            self._text_cache[key] = _mean(features.view(len(prompts), len(prompts[0]), -1))
        return self._text_cache[key]


def _mean(features: torch.Tensor) -> torch.Tensor:
    """Normalized mean over the first axis of ``(K, M, D)`` normalized features."""
    return normalize(features.mean(0), dim=-1)


def _template_indices(templates: Sequence[int] | None, count: int) -> tuple[int, ...]:
    if templates is None:
        return tuple(range(count))
    valid = isinstance(templates, Sequence) and not isinstance(templates, str) and len(templates)
    valid = valid and all(hasattr(type(index), "__index__") for index in templates)
    if not valid or len(set(templates)) < len(templates):
        raise ValueError(f"templates = {templates!r}: must be unique indices, such as (0, 1)")
    return tuple(templates)


def _column(data: ImageData, name: str, column: str) -> list[str]:
    """Return the value of a placeholder for each image."""
    field = f"placeholder_columns[{name!r}] = {column!r}"
    source = f"the metadata of {data.task.name}/{data.split}"
    if column not in data.metadata:
        options = ", ".join(map(str, data.metadata)) or "none"
        raise ValueError(f"{field}: {source} has no such column; available columns: {options}")
    values = data.metadata[column].tolist()
    for row, value in enumerate(values):
        if not isinstance(value, str) or not value.strip():
            raise ValueError(
                f"{field}: row {row} of {source} is {value!r}, not a text; correct it, or omit "
                f"{name!r} from placeholder_columns to average over its values"
            )
    return values
