"""Folders that components are saved to: what is in the way, cards, and several saves at once."""

import json
import os
import shutil
import threading

import numpy as np
import pytest
import torch
import training_runs as runs
from training_fixtures import cache_folder, clip, training_cache  # noqa: F401

from ordlib import CoOp, NumCLIP, OrdinalTask, load_component
from ordlib.components import io
from ordlib.components.io import load_checkpoint, read_card, save_checkpoint

OTHER_TASK = OrdinalTask(name="weight", unit="grams", values=(0, 1, 2))


@pytest.fixture(scope="module")
def model(clip):  # noqa: F811
    return CoOp(clip, runs.TASK)


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


def content(folder):
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def write(name, text):
    return lambda folder: (clear(folder), (folder / name).write_text(text))


def clear(folder):
    for path in folder.iterdir():
        path.unlink()


def replace_by(name, make):
    return lambda folder: ((folder / name).unlink(), make(folder / name))


def link_out(name):
    def change(folder):
        os.replace(folder / name, folder.parent / name)
        (folder / name).symlink_to(folder.parent / name)

    return change


def edit(**fields):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | fields))

    return change


IN_THE_WAY = {
    "config of somebody": (write("config.json", '{"my": 1}'), "config.json: is not a component"),
    "config of CLIP": (write("config.json", '{"model_type": "clip"}'), "perhaps CLIP's"),
    "config that is cut off": (write("config.json", '{"met'), "damaged.*choose another folder"),
    "config that is a list": (write("config.json", "[]"), "damaged.*choose another folder"),
    "weights alone": (write("model.safetensors", "mine"), "is not a component's"),
    "another method": (edit(method="NumCLIP"), "has a 'NumCLIP' for 'brightness', not a 'CoOp'"),
    "no method": (edit(method=None), "has a None"),
    "another task": (edit(task={"name": "weight"}), "for 'weight', not a 'CoOp' for 'brightness'"),
    "no task": (edit(task=None), "not a 'CoOp' for 'brightness'"),
    "several tasks": (edit(tasks=[{"name": "a"}, {"name": "b"}]), "for 'a', 'b', not a"),
    **{f"folder as {name}": (replace_by(name, os.mkdir), f"{name}: not a regular file")
       for name in ("config.json", "card.json", "model.safetensors")},
    **{f"pipe as {name}": (replace_by(name, os.mkfifo), f"{name}: not a regular file")
       for name in ("config.json", "card.json", "model.safetensors")},
    **{f"link as {name}": (link_out(name), f"{name}: leads out of the folder")
       for name in ("config.json", "card.json", "model.safetensors")},
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_save_replaces_nothing_but_components_of_its_kind(model, folder, change, message):
    change(folder)
    before = content(folder)
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(folder)
    assert content(folder) == before


def test_save_keeps_a_clip_checkpoint(model, tiny_clip_folder, tmp_path):
    shutil.copytree(tiny_clip_folder, tmp_path / "clip")
    before = content(tmp_path / "clip")
    with pytest.raises(ValueError, match="perhaps CLIP's; choose another folder"):
        model.save_pretrained(tmp_path / "clip")
    assert content(tmp_path / "clip") == before


def test_save_replaces_a_component_of_its_kind_beside_other_files(clip, folder):  # noqa: F811
    (folder / "notes.txt").write_text("mine")
    CoOp(clip, runs.TASK, seed=3).save_pretrained(folder, {"seed": 3})
    assert load_component(folder, clip).card["seed"] == 3
    assert (folder / "notes.txt").read_text() == "mine"


PATHS = {
    "empty": (lambda p: "", ValueError, "is no path"),
    "null character": (lambda p: f"{p}/a\0b", ValueError, "is no path"),
    "file": (lambda p: (p / "f").write_text("") or p / "f", NotADirectoryError, "f'"),
    "file above": (lambda p: (p / "f").write_text("") or p / "f" / "x" / "y", NotADirectoryError,
                   "f'"),
    "link to itself": (lambda p: (p / "f").symlink_to(p / "f") or p / "f", NotADirectoryError,
                       "is not a folder"),
    "pipe": (lambda p: os.mkfifo(p / "f") or p / "f", NotADirectoryError, "is not a folder"),
    "long name": (lambda p: p / ("x" * 300), OSError, "File name too long"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "message"), PATHS.values(), ids=PATHS)
def test_save_names_a_path_that_is_no_folder(model, tmp_path, make, kind, message):
    with pytest.raises(kind, match=message):
        model.save_pretrained(make(tmp_path))


GOOD_PATHS = {
    "home": lambda p: "~/mine",
    "bytes": lambda p: os.fsencode(p / "mine"),
    "relative": lambda p: "mine",
    "new folders": lambda p: p / "a" / "b" / "mine",
    "line break": lambda p: p / "a\nb",
    "no text": lambda p: p / "a\udcff",
    "dangling link": lambda p: (p / "link").symlink_to(p / "mine") or p / "link",
}


@pytest.mark.parametrize("make", GOOD_PATHS.values(), ids=GOOD_PATHS)
def test_what_is_saved_to_a_path_is_loaded_from_it(model, clip, tmp_path, monkeypatch, make):  # noqa: F811
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = make(tmp_path)
    model.save_pretrained(path)
    loaded = load_component(os.fsdecode(path), clip)
    assert runs.states_equal(loaded.trainable_state_dict(), model.trainable_state_dict())


CARDS = {
    "path": ({"folder": os}, "module is not JSON serializable"),
    "number of numpy": ({"mae": np.float32(1)}, "float32 is not JSON serializable"),
    "nan": ({"mae": float("nan")}, "not JSON compliant"),
    "set": ({"names": {1}}, "set is not JSON serializable"),
    "key": ({(1, 2): 3}, "keys must be"),
}


@pytest.mark.parametrize(("card", "message"), CARDS.values(), ids=CARDS)
def test_card_that_cannot_be_written_keeps_the_component(model, folder, card, message):
    before = content(folder)
    with pytest.raises(ValueError, match=f"card.json: .*{message}"):
        model.save_pretrained(folder, card)
    assert content(folder) == before


def test_circular_and_large_cards_keep_the_component(model, folder, monkeypatch):
    before, card = content(folder), {}
    card["card"] = card
    with pytest.raises(ValueError, match=r"card.json: Circular reference"):
        model.save_pretrained(folder, card)
    monkeypatch.setattr(io, "MAX_JSON_BYTES", 1000)
    with pytest.raises(ValueError, match=r"(config|card)\.json: has .* bytes; at most 1000"):
        model.save_pretrained(folder, {"text": "x" * 2000})
    assert content(folder) == before


@pytest.mark.parametrize("text", ["\udcff", "a\0b", "\u2028", "<script>", '"\\'])
def test_text_of_a_card_is_read_as_it_was(model, folder, text):
    model.save_pretrained(folder, {"text": text})
    assert read_card(folder)["text"] == text


@pytest.mark.parametrize("name", ["config.json", "card.json", "model.safetensors"])
def test_read_only_file_keeps_the_component(model, folder, name):
    (folder / name).chmod(0o444)
    before = content(folder)
    with pytest.raises(PermissionError, match=f"is read-only.*{name}"):
        model.save_pretrained(folder)
    assert content(folder) == before


def saver(folder, number, errors):
    """Saves components of which all parts have the same number."""
    for count in range(15):
        n = 100 * number + count
        try:
            save_checkpoint(folder, {"n": n}, {"x": torch.full((500,), float(n))}, {"n": n})
        except Exception as error:
            errors.append(error)


def test_saves_and_loads_in_threads_leave_whole_components(tmp_path):
    folder, errors = tmp_path / "mine", []
    save_checkpoint(folder, {"n": 0}, {"x": torch.zeros(500)}, {"n": 0})
    threads = [threading.Thread(target=saver, args=(folder, n, errors)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        config, tensors = load_checkpoint(folder)
        assert (tensors["x"] == config["n"]).all()
    assert errors == []
    assert read_card(folder)["n"] == load_checkpoint(folder)[0]["n"]
    assert len([*folder.iterdir()]) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_saves_in_processes_leave_a_whole_component(tmp_path):
    children = []
    for number in (1, 2):
        if not (child := os.fork()):
            errors = []
            saver(tmp_path / "mine", number, errors)
            os._exit(len(errors))
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    config, tensors = load_checkpoint(tmp_path / "mine")
    assert (tensors["x"] == config["n"]).all()
    assert read_card(tmp_path / "mine")["n"] == config["n"]


def test_component_that_is_replaced_while_it_loads(clip, folder, monkeypatch):  # noqa: F811
    """The model and its card are of one save, also if another method takes the place."""
    other = NumCLIP(clip, runs.TASK)
    read, calls = io._load, []

    def replacing(path):
        calls.append(path)
        if len(calls) == 1:
            clear(folder)
            other.save_pretrained(folder, {"seed": 7})
        return read(path)

    monkeypatch.setattr(io, "_load", replacing)
    loaded = load_component(folder, clip)
    assert (type(loaded), loaded.card["seed"]) == (NumCLIP, 7)


def test_component_that_is_deleted_while_it_loads(clip, folder, monkeypatch):  # noqa: F811
    read = io._load
    monkeypatch.setattr(io, "_load", lambda path: (shutil.rmtree(folder), read(path)))
    with pytest.raises(FileNotFoundError, match=str(folder)):
        load_component(folder, clip)


def test_lock_of_a_folder_ends_with_the_save_in_forked_children_too(folder):
    with io.lock_folder(folder):
        pid = os.fork()
        if not pid:
            threading.Event().wait(60)
            os._exit(0)
    entered = threading.Event()

    def enter():
        with io.lock_folder(folder):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert entered.wait(30)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    thread.join()
