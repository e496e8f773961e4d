"""Training checkpoints: on the same CPU, a resumed run is bit-identical to an uninterrupted one."""

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
    path: Path, fingerprint: dict, states: States, optimizers: Sequence[Optimizer], state: dict
) -> None:
    """Save a training checkpoint with optimizer states atomically, as a safetensors file.

    Args:
        fingerprint: everything that determines the result; only a run with the same one resumes.
        states: state dicts by name.
        state: trainer state: counters such as the number of epochs done. JSON-serializable.
    """
    tensors = {f"{part}/{name}": t for part, state in states.items() for name, t in state.items()}
    for i, optimizer in enumerate(optimizers):
        for param_index, param_state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{i}/{param_index}/{name}": t for name, t in param_state.items()}
    # Copies, since safetensors refuses tensors that share memory.
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    metadata = {"fingerprint": json.dumps(fingerprint), "trainer_state": json.dumps(state)}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_training_state(
    path: Path, fingerprint: dict, optimizers: Sequence[Optimizer], can_continue: bool = False
) -> tuple[dict[str, dict[str, Tensor]], dict] | None:
    """Load the optimizer states in place, except param_groups, and return the rest.

    With ``can_continue``, a finished run may be continued with more epochs.

    Returns:
        The state dicts by name and the trainer state; None if the file does not exist.

    Raises:
        ValueError: the checkpoint has another fingerprint.
    """
    if not path.is_file():
        return None
    param_states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    states: dict[str, dict[str, Tensor]] = {}
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        saved, trainer_state = (json.loads(metadata[k]) for k in ("fingerprint", "trainer_state"))
        current = json.loads(json.dumps(fingerprint))
        if can_continue and _can_continue(saved["config"], current["config"], trainer_state):
            saved["config"] |= {n: current["config"][n] for n in ("epochs", "patience")}
        _check_same_run(path, saved, current)
        for key in file.keys():  # noqa: SIM118 (not a dict)
            part, name = key.split("/", 1)
            if part == "optimizer":
                i, param_index, name = name.split("/")
                param_states[int(i)].setdefault(int(param_index), {})[name] = file.get_tensor(key)
            else:
                states.setdefault(part, {})[name] = file.get_tensor(key)
    for optimizer, state in zip(optimizers, param_states, strict=True):
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return states, trainer_state


def _can_continue(saved: dict, current: dict, state: dict) -> bool:
    """Whether a run reached its last epoch, or stopped early, and has as many epochs or more now.

    ``saved`` and ``current`` are its configs.
    """
    patience, since_best = saved["patience"], state["epoch"] - (state["best_epoch"] or 0)
    stopped_early = patience is not None and since_best >= patience
    finished = stopped_early or state["epoch"] >= saved["epochs"]
    return finished and current["epochs"] >= state["epoch"]


def _check_same_run(path: Path, saved: dict, current: dict) -> None:
    saved, current = _flatten(saved), _flatten(current)
    for name in sorted(saved.keys() | current.keys()):
        if (old := saved.get(name)) != (new := current.get(name)):
            raise ValueError(
                f"{path}: checkpoint of another run: {name} was {old!r} there and is {new!r} now; "
                "finish that run, delete the file, or choose another folder"
            )


def _flatten(fingerprint: dict, prefix: str = "") -> dict:
    """Flatten nested dicts, with keys such as "config.seed"."""
    flat: dict = {}
    for name, value in fingerprint.items():
        nested = isinstance(value, dict)
        flat |= _flatten(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat
