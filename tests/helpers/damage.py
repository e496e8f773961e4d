"""Damage files of components and checkpoints, as a careless or a hostile hand would."""

import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

DELETE = object()
DEEP = 100_000


def edit_json(file: str, field: str, value: object) -> Callable[[Path], None]:
    """Set or delete a field, ``a.b`` that of an object in an object; ``\x00`` is a raw number."""

    def damage(folder: Path) -> None:
        path = folder / file
        content = part = json.loads(path.read_text())
        *parents, name = field.split(".")
        for parent in parents:
            part = part[int(parent) if isinstance(part, list) else parent]
        name = int(name) if isinstance(part, list) else name
        if value is DELETE:
            del part[name]
        else:
            part[name] = value
        text = json.dumps(content)
        path.write_text(text.replace('"deep"', "[" * DEEP + "]" * DEEP))

    return damage


def edit_tensors(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Change the tensors of a component, and the hash in its config."""

    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
        change(tensors)
        save_file(tensors, path, {"format": "pt"})
        seal(folder)

    return damage


def edit_bytes(file: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change the bytes of a file; of a component's weights also the hash in the config."""

    def damage(folder: Path) -> None:
        (folder / file).write_bytes(change((folder / file).read_bytes()))
        if file == "model.safetensors":
            seal(folder)

    return damage


def seal(folder: Path) -> None:
    """Write the hash of a component's weights to its config and card, if it is a component."""
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for name in ("config.json", "card.json"):
        path = folder / name
        if path.is_file() and "sha256" in (content := json.loads(path.read_text())):
            path.write_text(json.dumps(content | {"sha256": sha256}))


def replace_by(file: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Replace a file by what ``make`` creates at its path."""

    def damage(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        make(folder / file)

    return damage


def link_outside(file: str) -> Callable[[Path], None]:
    """Replace a file by a link to a copy outside the folder."""

    def damage(folder: Path) -> None:
        outside = folder.with_name(f"outside-{file}")
        os.replace(folder / file, outside)
        (folder / file).symlink_to(outside)

    return damage


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list:
    """The hub's client is online, and the addresses that anything asks for are recorded."""
    asked: list = []

    def refuse(*arguments: object, **options: object) -> None:
        asked.append(arguments)
        raise OSError("no network in tests")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked
