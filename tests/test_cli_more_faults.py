"""Odd output paths, caches, terminals and damaged images in commands: named, and nothing lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import fail, invoke, run
from inference_models import command, save_models

from ordlib.utils.cache import cache_dir
from ordlib.utils.cache_entries import prune_cache


@pytest.fixture(scope="module")
def saved(tiny_clip_folder, tmp_path_factory):
    return save_models(tiny_clip_folder, tmp_path_factory.mktemp("saved"))


@pytest.fixture(autouse=True)
def _surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    (work := tmp_path / "work").mkdir()
    monkeypatch.chdir(work)
    (work / "folder").mkdir()
    (work / "file").write_text("old")
    (work / "loop").symlink_to("loop")
    (work / "dangling").symlink_to("gone/x")


@pytest.mark.parametrize(
    ("kind", "option"), [("rank", "--csv"), ("rank", "--html"), ("predict", "--json")]
)
@pytest.mark.parametrize(("path", "message"), [
    ("folder", "folder is a folder"), ("folder/", "folder/ is a folder"), (".", ". is a folder"),
    ("new/", "new/ is a folder; give a file"), ("file/", "file/ is a folder; give a file"),
    ("x" * 300, "File name too long"), ("loop", "cannot be written"), ("a\0b", "a\\x00b"),
    ("file/x", "is not a folder"), ("", "is empty"),
    ("/dev/null/x", "is not a folder"), ("/proc/x", "cannot be written"),
])  # fmt: skip
def test_results_that_cannot_be_written_are_named_before_the_work(
    saved, kind, option, path, message, monkeypatch
):
    monkeypatch.setattr("ordlib.components.load_component", None)
    if path == "/proc/x" and not os.path.isdir("/proc/self"):
        pytest.skip("needs /proc")
    result = invoke(*command(kind, saved), option, path)
    assert result.exit_code in (1, 2), result.output
    assert type(result.exception) is SystemExit
    if path not in ("/proc/x", "a\0b"):  # Those are only found when they are opened.
        assert message in " ".join(result.stderr.split()), result.stderr
    assert sorted(os.listdir()) == ["dangling", "file", "folder", "loop"]
    assert Path("file").read_text() == "old"


@pytest.mark.parametrize("name", ["a\nb.csv", "a\udcff.csv", "=1+1.csv"])
def test_results_with_unusual_names(saved, name):
    run(*command("predict", saved), f"--csv=./{name}")
    assert len(Path(name).read_text().splitlines()) == 9


@pytest.mark.parametrize("kind", ["rank", "predict"])
def test_images_that_are_found_damaged_late_are_listed(saved, tmp_path, kind):
    images = tmp_path / "images"
    shutil.copytree(saved / "images", images)
    content = (images / "0.png").read_bytes()
    (images / "half.png").write_bytes(content[: len(content) // 2])
    (images / "page.jpg").write_text("<html>")
    (images / "gone.png").symlink_to("nowhere")
    output = run(*command(kind, saved, images), "--json", "o.json", "--csv", "o.csv").output
    result = json.loads(Path("o.json").read_text())
    assert len(result["images"]) == 8
    assert sorted(Path(path).name for path in result["skipped"]) == [
        "gone.png",
        "half.png",
        "page.jpg",
    ]
    assert all(name in output for name in ("half.png cannot be decoded", "3 files were skipped"))
    assert len(Path("o.csv").read_text().splitlines()) == 9
    Path("o.json").unlink()
    assert invoke(*command(kind, saved, images), "--strict", "--json", "o.json").exit_code == 1
    assert json.loads(Path("o.json").read_text()) == result


@pytest.mark.parametrize("path", ["file", "/dev/null", "loop", "dangling", "file\nx"])
@pytest.mark.parametrize("words", [[], ["--older-than", "1"], ["--max-size", "1"]])
def test_a_cache_that_is_no_folder_is_named(monkeypatch, path, words):
    if path == "file\nx":
        Path(path).touch()
    monkeypatch.setenv("ORDLIB_CACHE", path)
    fail(f"the cache {path!r} is no folder; set ORDLIB_CACHE to one", "cache", *words)


def test_a_missing_cache_is_empty(monkeypatch):
    for path in ("nowhere", "./nowhere/x", "-"):
        monkeypatch.setenv("ORDLIB_CACHE", path)
        assert run("cache").output.startswith(f"{Path(path)}:\nentries")
        assert "deleted 0 entries" in run("cache", "--older-than", "0").output
    assert sorted(os.listdir()) == ["dangling", "file", "folder", "loop"]


def test_pruning_a_cache_that_cannot_be_written_does_not_wait(monkeypatch, tmp_path):
    if not os.path.isdir("/proc/self"):
        pytest.skip("needs a folder where nobody can create files")
    monkeypatch.setenv("ORDLIB_CACHE", "/proc/self")
    with pytest.raises(OSError, match="the cache cannot be written"):
        prune_cache(older_than_days=1)


def test_a_home_folder_that_does_not_exist_is_named(saved, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", "~nobody-of-this-name/x")
    message = (
        "the cache '~nobody-of-this-name/x' is in a home folder that does not exist; set ORDLIB"
    )
    with pytest.raises(FileNotFoundError, match=message):
        cache_dir()
    fail(message, "cache")
    fail(message, *command("predict", saved))
    run("data", "list")  # Needs no cache.
    assert sorted(os.listdir()) == ["dangling", "file", "folder", "loop"]


@pytest.mark.parametrize("name", ["file", "/dev/null", "loop"])
def test_predictions_need_no_cache(saved, monkeypatch, name):
    monkeypatch.setenv("ORDLIB_CACHE", name)
    with pytest.warns(UserWarning, match="cache"):
        assert "7.png" in run(*command("predict", saved)).output


@pytest.mark.parametrize("columns", ["0", "1", "19", "-5", "abc", "²"])
@pytest.mark.parametrize(("words", "text"), [
    (["--help"], "Usage: ordlib"), (["rank", "--help"], "--prompt"), (["nothing"], "nothing"),
    (["data", "list"], "adience"),
])  # fmt: skip
def test_terminals_of_any_width(monkeypatch, columns, words, text):
    monkeypatch.setenv("COLUMNS", columns)
    assert text in invoke(*words).output


ROOT = Path(__file__).parents[1]
SETTINGS = [
    ("TERM", ""), ("TERM", "nonsense"), ("MPLBACKEND", "nonsense"), ("HF_HOME", "file"),
    ("TMPDIR", "/proc/nowhere"), ("LANG", "xx"), ("LC_ALL", "nonsense"), ("HOME", "/proc/nowhere"),
    ("HOME", "file"), ("OMP_NUM_THREADS", "x"), ("ORDLIB_RESULTS", "file"), ("LINES", "x"),
    ("TQDM_DISABLE", "nonsense"), ("CUDA_VISIBLE_DEVICES", "x"), ("TZ", "nonsense"),
    ("COLUMNS", "1"), ("COLUMNS", "100000"), ("NO_COLOR", ""),
    ("XDG_CACHE_HOME", "file"), ("TRANSFORMERS_CACHE", "file"), ("HF_HUB_OFFLINE", "nonsense"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_settings_set_to_nonsense(saved, name, value):
    """In a process of its own, since libraries read settings when they are imported."""
    words = [sys.executable, "-m", "ordlib", *command("predict", saved), "--csv", "o.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), name: value}
    done = subprocess.run(words, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert all(f"{i}.png".encode() in done.stdout for i in range(8))
    assert len(Path("o.csv").read_text().splitlines()) == 9


@pytest.mark.parametrize(("words", "message"), [
    ([""], "No such command ''"), (["@file"], "No such command '@file'"),
    (["\x1b[31m"], "No such command"), (["\udcff"], "No such command"),
    (["--", "rank"], "Missing"), (["RANK"], "No such command 'RANK'"),
    (["rank", "folder", "other", "--prompt", "x"], "unexpected extra argument"),
    (["rank", "folder", "--bat", "3"], "No such option: --bat"),
    (["rank", "folder", "-csv", "x"], "No such option: -c"),
    (["rank", "folder", "--prompt", "x", "\u2013csv"], "unexpected extra argument"),
    (["rank", "-5", "--prompt", "x"], "No such option: -5"),
    (["rank", "folder", "--prompt"], "requires an argument"),
    (["rank", "folder", "--prompt", "x", "--batch-size", "\u00b2"], "--batch-size"),
    (["predict", "folder", "--model", "m", "--strict", "no"], "unexpected extra argument"),
    (["predict", "folder", "--model", "m", "--bit-depth", "0x10"], "--bit-depth"),
    (["evaluate", "m", "folder", "--first-label", "nan"], "--first-label"),
    (["cache", "x"], "unexpected extra argument"),
    (["cache", "--max-size"], "requires an argument"),
    (["cache", "--older-than", "1,5"], "--older-than"), (["data", "list", "x"], "unexpected extra"),
    (["doctor", "--network=1"], "--network"), (["results"], "Usage"), (["course"], "Usage"),
])  # fmt: skip
def test_mistyped_commands(words, message):
    result = invoke(*words)
    assert result.exit_code == 2
    assert type(result.exception) is SystemExit
    assert message in " ".join(result.output.replace("│", " ").split())
    assert "\x1b[31m" not in result.output
