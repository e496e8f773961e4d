"""An unfinished run on disk: enough to end just as if it had never been interrupted."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.optim import Optimizer
from transformers import CLIPModel

from ..storage import replacing


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
    """Write the state of a run, to a temporary name first.

    Args:
        path: a safetensors file.
        run: what determines the run's result; only the same run may go on.
        model, optimizers: as they are now.
        progress: how far it has come.
    """
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for place, optimizer in enumerate(optimizers):
        for number, moments in optimizer.state_dict()["state"].items():
            where = f"optimizer/{place}/{number}"
            tensors |= {f"{where}/{name}": tensor for name, tensor in moments.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    notes = {"run": json.dumps(run), "progress": json.dumps(asdict(progress))}
    with replacing(path) as temporary:
        save_file(tensors, temporary, notes)


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
    if not path.is_file():
        return Progress()
    moments: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in optimizers]
    weights = {}
    with safe_open(path, "pt") as file:
        notes = file.metadata()
        _check_same(path, json.loads(notes["run"]), json.loads(json.dumps(run)))
        for key in file.keys():  # noqa: SIM118 (no dict)
            kind, *rest = key.split("/")
            if kind == "model":
                weights[rest[0]] = file.get_tensor(key)
            else:
                place, number, name = rest
                moments[int(place)].setdefault(int(number), {})[name] = file.get_tensor(key)
    model.load_state_dict(weights)
    for optimizer, state in zip(optimizers, moments, strict=True):
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    return Progress(**json.loads(notes["progress"]))


def _check_same(path: Path, theirs: dict, ours: dict) -> None:
    for name in sorted(ours):
        if theirs.get(name) != ours[name]:
            raise ValueError(
                f"{path} is the unfinished run of another plan: {name} was {theirs.get(name)!r} "
                f"there and is {ours[name]!r} now. Finish that run, delete the file, or give "
                "another --output"
            )
