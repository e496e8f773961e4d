"""How far a pretraining run has come, and its state on disk."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch.optim import Optimizer
from transformers import CLIPModel

from ...training.checkpoint import load_unfinished, save_unfinished


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        step: batches trained on.
        seconds: spent training, over all sittings.
        waited: seconds of these spent waiting for data.
        counted: captions so far that stated the true count.
        losses: pairs of step and loss, some fifty over a run.
    """

    step: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    counted: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)


def save_state(
    path: Path, run: dict, model: CLIPModel, optimizers: Sequence[Optimizer], progress: Progress
) -> None:
    """Write the state of a run; arguments as in `save_unfinished`."""
    states = {"model": model.state_dict()}
    save_unfinished(path, run, states, optimizers, asdict(progress))


def load_state(
    path: Path, run: dict, model: CLIPModel, optimizers: Sequence[Optimizer]
) -> Progress:
    """Put a run back to where its state was written, or leave it at its start if there is none.

    Args:
        path, run: as in :func:`save_state`.
        model, optimizers: freshly made; changed in place.

    Returns:
        How far the run has come.

    Raises:
        ValueError: the state belongs to another run (says where they differ).
    """
    found = load_unfinished(path, run, optimizers)
    if found is None:
        return Progress()
    states, progress = found
    model.load_state_dict(states["model"])
    return Progress(**progress)
