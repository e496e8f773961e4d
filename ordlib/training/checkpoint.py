"""An unfinished run on disk: enough to end just as if it had never been interrupted."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from ..utils.cache import atomic_write

States = Mapping[str, Mapping[str, Tensor]]


def save_training_state(
    path: Path, run: dict, states: States, optimizers: Sequence[Optimizer], progress: dict
) -> None:
    """Write a run as it is now, to a temporary name first.

    Args:
        path: a safetensors file.
        run: what determines the run's result, for JSON; only the same run may go on.
        states: tensors by name, of each part of the run.
        optimizers: as they are now.
        progress: how far it has come, for JSON.
    """
    tensors = {f"{part}/{name}": t for part, state in states.items() for name, t in state.items()}
    for place, optimizer in enumerate(optimizers):
        for number, moments in optimizer.state_dict()["state"].items():
            where = f"optimizer/{place}/{number}"
            tensors |= {f"{where}/{name}": tensor for name, tensor in moments.items()}
    # A copy each: two parts may share a tensor, which safetensors refuses.
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, {"run": json.dumps(run), "progress": json.dumps(progress)})


def load_training_state(
    path: Path, run: dict, optimizers: Sequence[Optimizer]
) -> tuple[dict[str, dict[str, Tensor]], dict] | None:
    """Read a run, and put its optimizers back to where they were.

    Args:
        path, run: as in :func:`save_training_state`.
        optimizers: freshly made; changed in place.

    Returns:
        The states and the progress; None if there is no such file.

    Raises:
        ValueError: the file belongs to another run (says where they differ).
    """
    if not path.is_file():
        return None
    moments: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    states: dict[str, dict[str, Tensor]] = {}
    with safe_open(path, "pt") as file:
        notes = file.metadata()
        _check_same(path, json.loads(notes["run"]), json.loads(json.dumps(run)))
        for key in file.keys():  # noqa: SIM118 (no dict)
            part, name = key.split("/", 1)
            if part == "optimizer":
                place, number, name = name.split("/")
                moments[int(place)].setdefault(int(number), {})[name] = file.get_tensor(key)
            else:
                states.setdefault(part, {})[name] = file.get_tensor(key)
    for optimizer, state in zip(optimizers, moments, strict=True):
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    return states, json.loads(notes["progress"])


def _check_same(path: Path, theirs: dict, ours: dict) -> None:
    theirs, ours = _flat(theirs), _flat(ours)
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            raise ValueError(
                f"{path} is the unfinished run of another config: {name} was {theirs.get(name)!r} "
                f"there and is {ours.get(name)!r} now. Finish that run, delete the file, or give "
                "another folder"
            )


def _flat(run: dict, before: str = "") -> dict:
    """Return a nested run as one dictionary, with names like "config.seed"."""
    flat: dict = {}
    for name, value in run.items():
        inner = _flat(value, f"{before}{name}.") if isinstance(value, dict) else None
        flat |= {f"{before}{name}": value} if inner is None else inner
    return flat
