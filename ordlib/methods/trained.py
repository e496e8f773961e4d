"""What every trained thing has in common, so that one loop trains and one format keeps it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Self

import torch
from torch import Tensor, nn

from ..clip import ClipBackbone
from ..serialization import read_component, write_component


class Trained(nn.Module, ABC):
    """Parameters in groups beside a frozen CLIP, kept in a folder without it.

    Attributes:
        clip: the backbone; it stays as it was loaded.
        options: a frozen dataclass of everything that was chosen.
    """

    clip: ClipBackbone
    options: object

    def _note_trained(self) -> None:
        """Take what needs a gradient now for what is trained; to be called once all is built.

        All but a step of training is done in eval mode: attention rounds otherwise in the other.
        """
        self.to(self.clip.device).eval()
        self._trained = {name for name, p in self.named_parameters() if p.requires_grad}

    def after_step(self) -> None:
        """Put right what a step of training may have moved too far; nothing by default."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return what is trained now, as "tower", "adapter" and "rest", without empty groups."""
        groups: dict[str, list[nn.Parameter]] = {"tower": [], "adapter": [], "rest": []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups[group_of(name)].append(parameter)
        return {name: group for name, group in groups.items() if group}

    def trained_state(self) -> dict[str, Tensor]:
        """Return by name, not copied, the tensors that are trained in any stage."""
        return {name: p.detach() for name, p in self.named_parameters() if name in self._trained}

    @torch.no_grad()
    def load_trained(self, state: dict[str, Tensor]) -> None:
        """Put trained tensors back.

        Raises:
            ValueError: names or shapes differ from its own (says which).
        """
        own = self.trained_state()
        shapes = [{name: tuple(t.shape) for name, t in group.items()} for group in (own, state)]
        for name in sorted(shapes[0].keys() | shapes[1].keys()):
            ours, theirs = (group.get(name, "missing") for group in shapes)
            if ours != theirs:
                raise ValueError(f"the tensor {name} is {theirs} there and {ours} in the method")
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def save_pretrained(self, folder: str | os.PathLike, card: dict | None = None) -> None:
        """Keep what was trained: a few small tensors, the options, the task, and a card.

        Args:
            folder: made if missing; what a component left there is replaced.
            card: what is to be said of it.

        Example:
            >>> import tempfile
            >>> from ordlib import CoOp, load_clip, load_task
            >>> clip, folder = load_clip("pico-clip", "cpu"), tempfile.mkdtemp()
            >>> CoOp(clip, load_task("dating")).save_pretrained(folder)
            >>> CoOp.from_pretrained(folder, clip).task
            OrdinalTask('dating': 5 ranks from 1930s to 1970s, 5 bins, unit decades)
        """
        write_component(folder, self.config(), self.kept_state(), card or {})

    def config(self) -> dict:
        """Return what rebuilds the thing around its tensors."""
        return {
            "method": type(self).__name__,
            "options": asdict(self.options),
            "backbone": {"name": self.clip.name, "sha256": self.clip.weights_hash},
        }

    def kept_state(self) -> dict[str, Tensor]:
        """Return the tensors as they are kept in a folder."""
        return self.trained_state()

    def load_kept(self, state: dict[str, Tensor], config: dict) -> None:
        """Put back what :meth:`kept_state` and :meth:`config` gave; raises as `load_trained`."""
        self.load_trained(state)

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict, clip: ClipBackbone) -> Self:
        """Build the thing that a config describes, not yet with its tensors."""

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike, clip: ClipBackbone) -> Self:
        """Load what :meth:`save_pretrained` kept.

        Args:
            folder: of the component.
            clip: the backbone it was trained on.

        Returns:
            It, ready to predict.

        Raises:
            FileNotFoundError: no component there.
            ValueError: a component of another method, for another backbone, or damaged.
        """
        config, state = read_component(folder)
        if config["method"] != cls.__name__:
            raise ValueError(f"{folder} holds a {config['method']}, not a {cls.__name__}")
        backbone = config["backbone"]
        if backbone["sha256"] != clip.weights_hash:
            raise ValueError(
                f"{folder} was trained on {backbone['name']!r} (weights "
                f"{backbone['sha256'][:8]}) and does not fit {clip.name!r} (weights "
                f"{clip.weights_hash[:8]}): load that backbone, or train anew on this one"
            )
        # JSON knows no tuples.
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in config["options"].items()}
        model = cls.from_config(config | {"options": options}, clip)
        model.load_kept(state, config)
        return model


def group_of(name: str) -> str:
    """Say which group a parameter is of, by its full name."""
    return name.split(".")[1] if name.startswith("image.") else "rest"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw first weights from a seed, and leave everybody else's random numbers as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
