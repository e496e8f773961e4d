"""Training checkpoints: on the same CPU, a resumed run is bit-identical to an uninterrupted one."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from ..utils.cache import atomic_write
from ..utils.reading import check_file

States = Mapping[str, Mapping[str, Tensor]]
# Of the weights that a run started from, relative to their norm: other CPUs round differently.
TOLERANCE = 1e-5


def save_training_state(
    path: Path, fingerprint: dict, states: States, optimizers: Sequence[Optimizer], state: dict
) -> None:
    """Save a training checkpoint with optimizer states atomically, as a safetensors file.

    Args:
        fingerprint: everything that determines the result; only a run with the same one resumes.
        states: state dicts by name.
        state: trainer state: counters such as the number of epochs done. JSON-serializable.

    Raises:
        OSError: the file cannot be written; an earlier checkpoint is kept.
    """
    tensors = {f"{part}/{name}": t for part, state in states.items() for name, t in state.items()}
    for i, optimizer in enumerate(optimizers):
        for param_index, param_state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{i}/{param_index}/{name}": t for name, t in param_state.items()}
    # Copies, since safetensors refuses tensors that share memory.
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    metadata = {"fingerprint": json.dumps(fingerprint), "trainer_state": json.dumps(state)}
    metadata["digest"] = _digest(tensors, metadata)
    with atomic_write(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def weights_summary(state: Mapping[str, Tensor]) -> list[float]:
    """Return a projection and the norm of each tensor, to recognize weights in a checkpoint.

    Example:
        >>> weights_summary({"a": torch.tensor([3.0, 4.0])})
        [1.0, 5.0]
    """
    summary = []
    for tensor in state.values():
        values = tensor.detach().cpu().double().flatten()
        direction = torch.linspace(-1, 1, len(values), dtype=torch.float64)
        summary += [float(values @ direction), float(values.norm())]
    return summary


def load_training_state(
    path: Path, fingerprint: dict, optimizers: Sequence[Optimizer], can_continue: bool = False
) -> tuple[dict[str, dict[str, Tensor]], dict] | None:
    """Load the optimizer states in place, except param_groups, and return the rest.

    With ``can_continue``, a finished run may be continued with more epochs.

    Returns:
        The state dicts by name and the trainer state; None if the file does not exist.

    Raises:
        ValueError: the checkpoint is damaged, or of another run.
    """
    if not path.exists():
        return None
    saved, trainer_state, tensors = _read(path)
    try:
        return _restore(path, saved, trainer_state, tensors, fingerprint, optimizers, can_continue)
    except (TypeError, AttributeError, LookupError, RuntimeError, ValueError) as error:
        if str(path) in str(error):
            raise
        raise damaged(path, f"perhaps of another version: {error!r}") from error


def _restore(
    path: Path, saved: dict, trainer_state: dict, tensors: dict[str, Tensor], fingerprint: dict,
    optimizers: Sequence[Optimizer], can_continue: bool,
) -> tuple[dict[str, dict[str, Tensor]], dict]:  # fmt: skip
    current = json.loads(json.dumps(fingerprint))
    if can_continue and _can_continue(saved["config"], current["config"], trainer_state):
        saved["config"] |= {n: current["config"][n] for n in ("epochs", "patience")}
    starts = [run.pop("initial_weights", []) for run in (saved, current)]
    _check_same_run(path, saved, current)
    _check_same_start(path, *starts)
    param_states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    states: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        part, _, name = key.partition("/")
        if part == "optimizer":
            i, param_index, name = name.split("/")
            param_states[int(i)].setdefault(int(param_index), {})[name] = tensor
        else:
            states.setdefault(part, {})[name] = tensor
    for optimizer, state in zip(optimizers, param_states, strict=True):
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return states, trainer_state


def _read(path: Path) -> tuple[dict, dict, dict[str, Tensor]]:
    """Return fingerprint, trainer state and tensors of an undamaged checkpoint."""
    try:
        check_file(path, path.resolve().parent)  # Opening a pipe would wait for its other end.
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if metadata.pop("digest", None) != _digest(tensors, metadata):
            raise ValueError("its content does not match its digest")
        return *(json.loads(metadata[k]) for k in ("fingerprint", "trainer_state")), tensors
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, problem: object) -> ValueError:
    """Error of a training checkpoint that cannot be used."""
    return ValueError(
        f"{path}: no intact training checkpoint ({problem}); delete it, and training starts from "
        "the first epoch"
    )


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.blake2b(repr(sorted(metadata.items())).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


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


def _check_same_start(path: Path, saved: list[float], current: list[float]) -> None:
    # Pairs of projection and norm.
    pairs = zip(saved, current, strict=False)
    norms = (norm for norm in saved[1::2] for _ in range(2))
    same = all(abs(a - b) <= TOLERANCE * norm for (a, b), norm in zip(pairs, norms, strict=False))
    if len(saved) != len(current) or not same:
        raise ValueError(
            f"{path}: checkpoint of another run, which started from other weights; start from "
            "those, delete the file, or choose another folder"
        )


def _flatten(fingerprint: dict, prefix: str = "") -> dict:
    """Flatten nested dicts, with keys such as "config.seed"."""
    flat: dict = {}
    for name, value in fingerprint.items():
        nested = isinstance(value, dict)
        flat |= _flatten(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat
