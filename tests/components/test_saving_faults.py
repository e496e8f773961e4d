"""Faults of saving and of the hub: values of cards, odd folders, several writers, large files."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError

from ordlib import load_component
from ordlib.components import hub, registry
from ordlib.components.io import CARD, CONFIG, WEIGHTS, load_checkpoint, read_card, save_checkpoint
from ordlib.components.model_card import README, model_card
from ordlib.utils.hub import hub_error
from ordlib.utils.validation import is_number

CONFIG_A = {"method": "A", "backbone": None, "task": {"name": "t", "unit": "u", "values": ["a"]}}
TENSORS = {"x": torch.ones(2)}
LOOP: dict = {}
LOOP["loop"] = LOOP
DEEP: dict = {}
level = DEEP
for _ in range(5000):
    level["a"] = level = {}


def save(folder, card=None, tensors=TENSORS, **config):
    save_checkpoint(folder, CONFIG_A | config, tensors, {} if card is None else card)


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


BAD_CARDS = {
    "NaN": {"metrics": {"mae": float("nan")}},
    "float32": {"mae": np.float32(1)},
    "tensor": {"a": torch.ones(2)},
    "path": {"data": Path("x")},
    "set": {"a": {1}},
    "key of two texts": {1: 2, "1": 3},
    "nested key of two texts": {"a": {1: 2, "1": 3}},
    "key that is no text": {(1, 2): 3},
    "circular": LOOP,
    "deep": DEEP,
    "integer of many digits": {"a": 10**5000},
}


@pytest.mark.parametrize("case", BAD_CARDS)
def test_card_that_cannot_be_read_again_is_not_saved(case, work):
    with pytest.raises(ValueError, match=CARD):
        save("a", BAD_CARDS[case])
    assert not (work / "a").exists()


ODD_CARDS = {
    "keys that are numbers": {"metrics": {1: 2.0, None: 3.0}},
    "licence of spaces": {"license": " \n", "description": ""},
    "licence of other types": {"license": ["mit"], "training_data": {"a": 1}},
    "emoji": {"license": "🎉", "description": "🎉", "metrics": {"🎉": 1}},
    "long": {"description": "x_" * 100_000, "license": "m" * 10_000},
    "yaml": {"license": "!!python/object/apply:os.system ['x']", "metrics": {"&a": 1, "*a": 2}},
    "huge integer": {"metrics": {"mae": 10**400}},
}


@pytest.mark.parametrize("case", ODD_CARDS)
def test_odd_card_is_saved_and_read(case):
    save("a", ODD_CARDS[case])
    card = read_card("a")
    assert {str(key) for key in ODD_CARDS[case]} == card.keys() - {"sha256"}
    licence = ODD_CARDS[case].get("license")
    is_given = isinstance(licence, str) and bool(licence.strip())
    text = Path("a", README).read_text("utf-8")
    assert ("nobody may use the model" in text) != is_given


def test_card_without_a_licence_says_so():
    assert "license: unknown" in model_card("x", CONFIG_A, {"license": "\n"})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("value", "expected"),
    [(np.float32(1), True), (np.float32(np.inf), False), (np.float16(np.nan), False),
     (10**400, False), (np.int64(3), True), (True, False), (np.True_, False)],
)  # fmt: skip
def test_is_number_of_other_precisions(value, expected):
    assert is_number(value) is expected


def make(kind, path):
    path = Path(path)
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "read-only file":
        path.write_text("precious")
        path.chmod(0o444)
    else:
        path.symlink_to({"loop": path, "broken link": "gone", "link": "precious"}[kind])


@pytest.mark.skipif(os.name == "nt", reason="links")
@pytest.mark.parametrize("kind", ["link", "broken link"])
def test_save_does_not_follow_a_link_of_the_config(kind, work):
    Path("a").mkdir()
    make(kind, Path("a", CONFIG))
    Path("precious").write_text("{}")
    with pytest.raises((ValueError, FileNotFoundError), match=f"a.*{CONFIG}"):
        save("a")
    assert [p.name for p in Path("a").iterdir()] == [CONFIG]
    assert (Path("precious").read_text(), Path("gone").exists()) == ("{}", False)


@pytest.mark.parametrize(
    "tensor", [torch.tensor([np.nan]), torch.tensor([np.inf]), torch.tensor([1]), torch.tensor(1j)]
)
def test_save_of_what_cannot_be_loaded_keeps_the_old_component(tensor):
    save("a", seed=1)
    with pytest.raises(ValueError, match=rf"a/{WEIGHTS}: x contains NaN .*train"):
        save("a", tensors={"x": tensor}, seed=2)
    assert load_checkpoint("a")[0]["seed"] == 1


@pytest.mark.skipif(os.name == "nt", reason="no locks")
def test_several_writers_leave_one_whole_component(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for trial in range(4):
            with ThreadPoolExecutor(8) as pool:
                [*pool.map(lambda i: save("a", {"i": i}, {"x": torch.full((9,), i * 1.0)}, i=i),
                           range(8))]  # fmt: skip
            config, tensors = load_checkpoint("a")
            assert config["i"] == read_card("a")["i"] == tensors["x"][0], trial
            assert len(os.listdir("a")) == 4
    finally:
        sys.setswitchinterval(interval)


# Hub ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "revision",
    [3, True, b"main", Path("main"), ["main"], "", " ", "a b", "\n", "\0", "..", "../../etc",
     "/etc/passwd", "main/../x", "x" * 300, "\x1b[31m"],
)  # fmt: skip
def test_revision_that_is_none_is_not_looked_up(revision, monkeypatch):
    monkeypatch.setattr(registry, "fetch", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(
        ValueError, match=r"revision = .*: must be a branch, tag or commit"
    ) as error:
        load_component("owner/name", revision=revision)
    assert len(str(error.value)) < 150


@pytest.mark.parametrize("name", ["refs/pr/1", "v1.0+cpu", "feature/é", "c" * 40])
def test_revisions_of_git_are_looked_up(name, monkeypatch):
    monkeypatch.setattr(registry, "fetch", lambda *given: (_ for _ in ()).throw(KeyError(given)))
    with pytest.raises(KeyError, match="owner/name"):
        load_component("owner/name", revision=name)


@pytest.mark.parametrize("file", [CONFIG, CARD, WEIGHTS])
def test_large_files_are_not_downloaded(file, monkeypatch):
    def snapshot_download(name, revision, allow_patterns, dry_run):
        assert dry_run
        sizes = dict.fromkeys(allow_patterns, 10) | {file: 17 * 2**30}
        return [SimpleNamespace(filename=f, file_size=sizes[f], commit_hash="c") for f in sizes]

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(hub, "download", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(
        ValueError, match=rf"o/n at commit c: {file} has 18,253,611,008 bytes, more"
    ):
        hub._download("o/n", [file], None, "")


def test_unknown_sizes_and_errors_are_left_to_the_download(monkeypatch):
    info = SimpleNamespace(filename=CONFIG, file_size=None, commit_hash="c")
    monkeypatch.setattr(hub, "download", lambda *given: given)
    for answer in (lambda *_, **__: [info], lambda *_, **__: 1 / 0):
        monkeypatch.setattr(hub, "snapshot_download", answer)
        assert hub._download("o/n", [CONFIG], "v", "r") == ("o/n", [CONFIG], "v", "r")


BAD_PUSHES = {
    "name None": ({"name": None}, "repo_id = None: must be 'owner/name'"),
    "name number": ({"name": 3}, "repo_id = 3: must be 'owner/name'"),
    "private text": ({"private": "yes"}, "private = 'yes': must be one of True, False, or None"),
    "token with a line end": ({"token": "hf_x\n"}, "token: has spaces or line ends; copy it again"),
    "token with a space": ({"token": "Bearer hf_x"}, "token: has spaces"),
    "readme number": ({"readme": 3}, "readme = 3: must be the path"),
    "readme empty": ({"readme": ""}, "readme = ''"),
    "readme missing": ({"readme": "no.md"}, "no.md is missing"),
    "readme folder": ({"readme": "."}, "not a regular file"),
    "readme pipe": ({"readme": "pipe"}, "pipe: not a regular file"),
    "readme no text": ({"readme": "binary"}, "binary: 'utf-8' codec"),
}


@pytest.mark.skipif(os.name == "nt", reason="pipes")
@pytest.mark.parametrize("case", BAD_PUSHES)
def test_faults_of_push_come_before_the_hub_is_asked(case, monkeypatch):
    make("pipe", "pipe")
    Path("binary").write_bytes(b"\xff")
    options, message = BAD_PUSHES[case]
    monkeypatch.setattr(hub, "HfApi", lambda **_: pytest.fail("asked the hub"))
    arguments = {"name": "o/n", "config": CONFIG_A, "tensors": TENSORS, "card": {}} | options
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message) as error:
        hub.push(**arguments)
    assert "hf_x" not in str(error.value)


@pytest.mark.parametrize("config", [b"{", b"[]", b"", b"\xff", b'{"a": 1}', b'{"a": NaN}'])
def test_push_over_a_config_of_another_model(config):
    class Api:
        def __init__(self, **_):
            pass

        def create_repo(self, *_, **__):
            pass

        def hf_hub_download(self, name, file, local_dir):
            if file == README:
                raise EntryNotFoundError("none")
            (Path(local_dir) / file).write_bytes(config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "HfApi", Api)
        with pytest.raises(ValueError, match=r"^repo_id = 'o/n': holds another model; give"):
            hub.push("o/n", CONFIG_A, TENSORS, {})


def test_hub_error_names_main():
    from huggingface_hub.errors import RevisionNotFoundError

    response = SimpleNamespace(status_code=404, headers={}, request=None)
    error = RevisionNotFoundError("x", response=response)
    assert "no revision 'main' of it" in hub_error("a/b", None, error, "")
