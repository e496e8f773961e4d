"""Recipes: the settings of a paper's released code, with their sources."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from ..clip import ClipBackbone, load_clip
from ..clip.preprocessing import Resize
from ..tasks import OrdinalTask
from ..utils.validation import check_choice
from . import METHODS, find_method

if TYPE_CHECKING:
    from .base import TrainableModule


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a released code for one data set.

    Attributes:
        method: name of the class in ``ordlib``.
        options: its options.
        training: fields of :class:`~ordlib.TrainingConfig`, for ``fit(..., config=training)``.
        resize: for :func:`~ordlib.load_clip`.
        sources: for each option, each field of ``training`` and "resize", the file of the release
            that it was read from, or a note.
        unknown: what the release does not say; the defaults apply.
        differences: what the release does and ordlib does not.

    Raises:
        ValueError: unknown method or ``resize``, or ``sources`` of other names than the settings.

    Example:
        >>> recipe = Recipe(
        ...     method="CORN", options={}, training={"epochs": 200}, resize="crop",
        ...     sources={"epochs": "README.md", "resize": "data.py"},
        ... )
        >>> recipe.build("pico-clip", "dating").task.name
        'dating'
    """

    method: str
    options: Mapping[str, object]
    training: Mapping[str, object]
    resize: Resize
    sources: Mapping[str, str]
    unknown: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("method", self.method, METHODS)
        check_choice("resize", self.resize, get_args(Resize))
        settings = {*self.options, *self.training, "resize"}
        if odd := sorted(settings ^ self.sources.keys()):
            problem = "has no source" if odd[0] in settings else "is a source, but no setting"
            raise ValueError(f"sources of the recipe of {self.method}: {odd[0]!r} {problem}")

    def build(
        self, clip: ClipBackbone | str | os.PathLike, task: OrdinalTask | str, **options: object
    ) -> "TrainableModule":
        """Return the untrained model.

        Args:
            clip: the backbone, or its name; loaded with ``resize``.
            task: as for the class.
            options: replace those of the recipe.

        Raises:
            ValueError: the backbone was loaded with another ``resize``, or an invalid option.
        """
        if isinstance(clip, str | os.PathLike):
            clip = load_clip(clip, resize=self.resize)
        if clip.resize != self.resize:
            raise ValueError(
                f"{clip.name} has resize = {clip.resize!r}, the recipe {self.resize!r}; use "
                f"load_clip({clip.name!r}, resize={self.resize!r})"
            )
        return find_method(self.method)(clip, task, **{**self.options, **options})
