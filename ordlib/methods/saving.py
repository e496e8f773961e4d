"""Mixin of models that are saved as components: folders, and repositories of the hub."""

import os
from abc import abstractmethod
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..components.backbones import relative_path
from ..components.io import save_checkpoint
from ..data import ImageData
from ..utils.device import torch_defaults
from ..utils.validation import check_choice
from .checks import check_saving, check_weights

# Largest change of a prediction by float16, as a share of the task's range.
MAX_HALF_DIFFERENCE = 1e-3
NUM_PROBE_IMAGES, PROBE_SIZE = 32, 96


class SavedModel:
    """Mixin: ``save_pretrained`` and ``push_to_hub``.

    Attributes:
        card: of a loaded component; training the model again empties it.
        source: "owner/name@commit" of a model that was loaded from the hub, else None.
    """

    card: Mapping = MappingProxyType({})
    source: str | None = None

    @abstractmethod
    def config(self) -> dict:
        """Return all but the tensors, JSON-serializable."""

    @abstractmethod
    def saved_state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that `save_pretrained` writes."""

    @torch_defaults()
    def save_pretrained(
        self,
        folder: str | os.PathLike,
        card: dict | None = None,
        dtype: Literal["float16"] | None = None,
    ) -> None:
        """Save the trained parameters, the config and a model card as a component.

        Replaces an earlier component of the same method and task in the folder, but no README.md
        that has been edited. A backbone in a local folder is recorded by name, hash and the path to
        it from ``folder``.

        Args:
            folder: created if missing.
            card: JSON-serializable; added to the card of a loaded model, and saved as card.json.
                README.md, with the header of the Hugging Face hub, shows its "description",
                "license" (an identifier of the hub, such as "mit"), "training_data" and "metrics"
                (numbers and texts by name). What nobody but you knows is left for you to fill in
                there: intended use, data, limits.
            dtype: None saves each parameter as it is (the ranking adapter: in float16); "float16"
                takes half the space. The half-precision copy is then loaded and predicts 32
                random images; the OOD detector stays in float32.

        Raises:
            ValueError: a value that JSON does not have; the folder has anything else of that name,
                such as another method's component or a CLIP checkpoint; the model could not be
                loaded again; or in float16 a prediction would change by more than a thousandth of
                the task's range.
            OSError: the folder cannot be written.

        Example:
            >>> import tempfile
            >>> from ordlib import CoOp, load_clip, load_component, load_task
            >>> clip, folder = load_clip("pico-clip", "cpu"), tempfile.mkdtemp()
            >>> CoOp(clip, load_task("dating")).save_pretrained(folder, {"license": "mit"})
            >>> load_component(folder, clip).task
            OrdinalTask('dating': 5 ranks from 1930s to 1970s, 5 bins, unit decades)
        """
        folder = check_saving(self, folder)
        tensors, config = self.tensors(dtype), self.config()
        if config["backbone"]:
            config["backbone"] |= relative_path(config["backbone"]["name"], folder)
        save_checkpoint(folder, config, tensors, self._with_card(card))

    @torch_defaults()
    def push_to_hub(
        self,
        repo_id: str,
        card: dict | None = None,
        private: bool | None = None,
        token: str | None = None,
        *,
        readme: str | os.PathLike | None = None,
        dtype: Literal["float16"] | None = None,
    ) -> str:
        """Upload the model as a component to the Hugging Face hub, in one commit.

        A README.md that was edited there is kept. Of a backbone in a local folder, only the
        folder's name and the hash of the weights are published.

        Args:
            repo_id: "owner/name" of a model repository; created if missing.
            card: as for `save_pretrained`.
            private: of the repository; None is the owner's default if it is new.
            token: with write permission; None is that of ``hf auth login`` or HF_TOKEN.
            readme: your README.md; None keeps an edited one on the hub, or writes one.
            dtype: as for `save_pretrained`.

        Returns:
            The commit, for ``load_component(repo_id, revision=commit)``.

        Raises:
            ValueError: no name of a repository, or that of another model, or of one that is public
                but should be private.
            OSError: no permission, or the hub is unreachable; the message says what to do.
        """
        from ..components.hub import push

        if hasattr(self, "trainable_state_dict"):  # a probe has none
            check_weights(self)
        tensors, card = self.tensors(dtype), self._with_card(card)
        return push(repo_id, self.config(), tensors, card, private, token, readme)

    def _with_card(self, card: dict | None) -> dict:
        card = {} if card is None else card
        if not isinstance(card, Mapping):
            raise TypeError(f"card = {card!r:.80}: must be a dict")
        if "licence" in card:
            raise ValueError("card: 'licence': the hub spells it 'license'")
        return {**self.card, **card}

    def tensors(self, dtype: Literal["float16"] | None = None) -> dict[str, Tensor]:
        """Return the tensors to save, in half precision if that hardly changes predictions."""
        check_choice("dtype", dtype, ("float16", None))
        tensors = self.saved_state_dict()
        half = {n: t if n.startswith("ood.") else t.to(torch.float16) for n, t in tensors.items()}
        if dtype is None or all(half[name].dtype == t.dtype for name, t in tensors.items()):
            return tensors
        way_out = "leave dtype out to save every parameter as it is"
        if large := [name for name, t in half.items() if not t.isfinite().all()]:
            raise ValueError(f"dtype = 'float16': {large[0]} is too large for it; {way_out}")
        images = probe_images(self.task, self.clip.image_size if self.clip else PROBE_SIZE)
        with TemporaryDirectory() as folder:
            save_checkpoint(folder, self.config(), half, {})
            loaded = type(self).from_pretrained(folder, self.clip or self.encode)
        low, high = self.task.range
        values = [model.predict(images).value for model in (self, loaded)]
        difference = np.abs(values[0] - values[1]).max() / (high - low)
        if difference > MAX_HALF_DIFFERENCE:
            raise ValueError(
                f"dtype = 'float16': predictions would change by up to {difference:.1%} of the "
                f"range of {self.task.name}, more than {MAX_HALF_DIFFERENCE:.1%}; {way_out}"
            )
        return half


def probe_images(task, size: int) -> ImageData:
    """Random images of squares, from 2 x 2 to 64 x 64 of them."""
    rng, images = np.random.default_rng(0), []
    for index in range(NUM_PROBE_IMAGES):
        side = 2 ** (index % 6 + 1)
        blocks = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        repeats = -(-size // side)
        images.append(blocks.repeat(repeats, 0).repeat(repeats, 1)[:size, :size])
    values = np.full(NUM_PROBE_IMAGES, float(task.rank_values[0]))
    metadata = pd.DataFrame({"index": range(NUM_PROBE_IMAGES)})
    return ImageData(task, np.stack(images), values, metadata, "probe", "probe")
