"""Training checkpoints: a resumed run ends bit-identical on the same CPU."""

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
    """Save a training checkpoint with optimizer states atomically, as a safetensors file.

    Args:
        run: all that determines the result; only an equal run can resume. JSON-serializable.
        states: state dicts by name.
        progress: counters such as the number of epochs done. JSON-serializable.
    """
    tensors = {f"{part}/{name}": t for part, state in states.items() for name, t in state.items()}
    for i, optimizer in enumerate(optimizers):
        for number, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{i}/{number}/{name}": t for name, t in moments.items()}
    # Copies, since safetensors refuses tensors that share memory.
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, {"run": json.dumps(run), "progress": json.dumps(progress)})


def load_training_state(
    path: Path, run: dict, optimizers: Sequence[Optimizer]
) -> tuple[dict[str, dict[str, Tensor]], dict] | None:
    """Load a training checkpoint into new optimizers, which keep their learning rates.

    Returns:
        The state dicts by name and the progress; None if the file does not exist.

    Raises:
        ValueError: the checkpoint belongs to another run.
    """
    if not path.is_file():
        return None
    moments: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    states: dict[str, dict[str, Tensor]] = {}
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        _check_same_run(path, json.loads(metadata["run"]), json.loads(json.dumps(run)))
        for key in file.keys():  # noqa: SIM118 (not a dict)
            part, name = key.split("/", 1)
            if part == "optimizer":
                i, number, name = name.split("/")
                moments[int(i)].setdefault(int(number), {})[name] = file.get_tensor(key)
            else:
                states.setdefault(part, {})[name] = file.get_tensor(key)
    for optimizer, state in zip(optimizers, moments, strict=True):
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    return states, json.loads(metadata["progress"])


def _check_same_run(path: Path, saved: dict, current: dict) -> None:
    saved, current = _flatten(saved), _flatten(current)
    for name in sorted(saved.keys() | current.keys()):
        if (old := saved.get(name)) != (new := current.get(name)):
            raise ValueError(
                f"{path}: checkpoint of another run: {name} was {old!r} there and is {new!r} now; "
                "finish that run, delete the file, or choose another folder"
            )


def _flatten(run: dict, prefix: str = "") -> dict:
    """Flatten nested dicts, with keys such as "config.seed"."""
    flat: dict = {}
    for name, value in run.items():
        nested = isinstance(value, dict)
        flat |= _flatten(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat
