"""`ordlib predict` over processes: the same bytes as one process, also after kills and restarts."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from commands import run
from inference_models import save_models
from kills import KILLS
from PIL import Image

from ordlib import CORN, load_clip, load_component, load_task
from ordlib.inference import chunks as chunks_module
from ordlib.inference import distributed, predict_files
from ordlib.inference.distributed import predict_in_chunks
from ordlib.utils.cache_entries import INDEX_NAME
from ordlib.utils.shared_folder import SharedFolder

ROOT = Path(__file__).parents[2]
OUTPUTS = ("out.csv", "out.json", "out.html")
NUM_IMAGES = 60
TRIALS = max(3, KILLS // 2)
LAUNCHER = (
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0"),
)
pytestmark = pytest.mark.skipif(os.name == "nt", reason="no file locks, no SIGKILL")


@pytest.fixture(scope="module")
def saved(tiny_clip_folder, tmp_path_factory):
    """Models, and the folder ``many`` of images, two of which cannot be read."""
    folder = save_models(tiny_clip_folder, tmp_path_factory.mktemp("saved"))
    many, rng = folder / "many", np.random.default_rng(0)
    (many / "sub").mkdir(parents=True)
    for i in range(NUM_IMAGES):
        image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 64), 0)
        image.save(many / ("sub" if i % 3 else "") / f"{i}.png")
    (many / "bad.png").write_bytes(b"no image")
    (many / "cut.png").write_bytes((many / "0.png").read_bytes()[:100])
    (many / "notes.txt").write_text("hello")
    return folder


@pytest.fixture
def model(saved):
    return load_component(saved / "corn", device="cpu")


@pytest.fixture
def many(saved, monkeypatch, tmp_path):
    """The folder of images, in small buckets, with an empty cache."""
    monkeypatch.setattr(chunks_module, "BUCKET_SIZE", 8)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    return saved / "many"


@pytest.fixture
def predicted(monkeypatch):
    """Names of the chunks that are computed."""
    names, predict_chunk = [], distributed._predict_chunk

    def spy(predictor, shard, path, images):
        names.append(path.name)
        predict_chunk(predictor, shard, path, images)

    monkeypatch.setattr(distributed, "_predict_chunk", spy)
    return names


def predict_part(model, images, path, rank=0, world_size=1, **options):
    with SharedFolder(path) as shared:
        processes = {"rank": rank, "world_size": world_size}
        return predict_in_chunks(model, images, shared, **processes, **options)


def as_bytes(predictions) -> tuple[str, str]:
    return predictions.to_csv(), predictions.to_json()


@pytest.mark.parametrize("world_size", [1, 2, 5])
def test_predict_in_chunks_equals_predict_files(model, many, tmp_path, monkeypatch, world_size):
    parts = [predict_part(model, many, tmp_path / "c", r, world_size) for r in range(world_size)]
    assert parts[:-1] == [None] * (world_size - 1)
    assert len(parts[-1]) == NUM_IMAGES
    assert len(parts[-1].skipped) == 2
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "another"))
    assert as_bytes(parts[-1]) == as_bytes(predict_files(model, many))


def test_predict_in_chunks_resumes_with_any_number_of_processes(model, many, tmp_path, predicted):
    assert predict_part(model, many, tmp_path / "c", 1, 3) is None
    first = predicted.copy()
    predicted.clear()
    assert predict_part(model, many, tmp_path / "c") is not None
    assert not {*first} & {*predicted}
    assert len(first) + len(predicted) == 8
    predicted.clear()
    assert predict_part(model, many, tmp_path / "c", 1, 2) is not None
    assert predicted == []


def test_predict_in_chunks_computes_chunks_of_changed_images_again(
    model, many, tmp_path, predicted
):
    images = tmp_path / "images"
    images.symlink_to(many)
    predict_part(model, images, tmp_path / "c")
    predicted.clear()
    status = os.stat(many / "0.png")
    os.utime(many / "0.png", ns=(1, 1))
    try:
        assert predict_part(model, images, tmp_path / "c") is not None
    finally:
        os.utime(many / "0.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(predicted) == 1
    assert len([*(tmp_path / "c").glob("*.npz")]) == 8


def test_predict_in_chunks_computes_chunks_of_another_model_again(
    model, many, tmp_path, predicted, tiny_clip_folder
):
    predict_part(model, many, tmp_path / "c", 0, 2)
    predicted.clear()
    other = CORN(load_clip(tiny_clip_folder, "cpu"), load_task("dating"))
    assert predict_part(other, many, tmp_path / "c", 0, 2) is None
    assert len(predicted) == 4
    assert len(predict_part(other, many, tmp_path / "c", 1, 2)) == NUM_IMAGES
    assert len(predicted) == 8
    predict_part(other, many, tmp_path / "c", confidence_level=0.5)
    assert len(predicted) == 16
    predict_part(other, many, tmp_path / "c", confidence_level=0.5, batch_size=8)
    assert len(predicted) == 16


def test_predict_in_chunks_refuses_another_run_at_the_same_time(model, many, tmp_path):
    with SharedFolder(tmp_path / "c") as shared:
        shared.claim({"model": "another"})
        with pytest.raises(ValueError, match=r"another model and .* is at work here"):
            predict_part(model, many, tmp_path / "c")


def test_predict_in_chunks_refuses_other_images_at_the_same_time(model, many, saved, tmp_path):
    """Each of two runs would delete the chunks of the other, and end without a result."""
    with SharedFolder(tmp_path / "c") as shared:
        shared.is_last = lambda: False  # It is still at work.
        assert predict_in_chunks(model, many, shared, rank=0, world_size=2) is None
        with pytest.raises(ValueError, match=r"c: a process with another images is at work here"):
            predict_part(model, saved / "images", tmp_path / "c")
    assert len(predict_part(model, many, tmp_path / "c")) == NUM_IMAGES


@pytest.mark.parametrize("world_size", [1, 2])
def test_predict_in_chunks_names_an_own_chunk_that_vanished(
    model, many, tmp_path, monkeypatch, world_size
):
    predict_shard = distributed._predict_shard

    def vanishing(predictor, shard, chunks, text):
        predict_shard(predictor, shard, chunks, text)
        min(chunks.glob(f"000{world_size - 1}-*.npz")).unlink()

    for rank in range(world_size - 1):
        assert predict_part(model, many, tmp_path / "c", rank, world_size) is None
    monkeypatch.setattr(distributed, "_predict_shard", vanishing)
    with pytest.raises(ValueError, match=r"c/000.*npz: is missing; run the command again"):
        predict_part(model, many, tmp_path / "c", world_size - 1, world_size)


@pytest.mark.parametrize(
    ("change", "skipped"), [("appears", []), ("vanishes", ["1.png"]), ("is renamed", ["1.png"])]
)
def test_predict_in_chunks_of_images_that_change_after_the_scan(
    model, many, tmp_path, monkeypatch, change, skipped
):
    (images := tmp_path / "images").mkdir()
    for i in range(3):
        (images / f"{i}.png").write_bytes((many / "0.png").read_bytes())
    scan_shard = distributed.scan_shard

    def changing(*given):
        shard = scan_shard(*given)
        if change == "appears":
            (images / "9.png").write_bytes(b"x")
        else:
            (images / "1.png").rename(images / ("9.png" if change == "is renamed" else "1.txt"))
        return shard

    monkeypatch.setattr(distributed, "scan_shard", changing)
    predictions = predict_part(model, images, tmp_path / "c")
    assert predictions.skipped == {str(images / name): "is missing" for name in skipped}
    assert len(predictions) == 3 - len(skipped)


def test_predict_in_chunks_refuses_a_folder_among_the_images(model, many):
    with pytest.raises(ValueError, match="is in the image folder; give a folder outside"):
        predict_part(model, many, many / "chunks")
    assert not (many / "chunks").exists()


def test_predict_in_chunks_needs_a_bit_depth_for_deep_images(model, many, tmp_path):
    (tmp_path / "deep").mkdir()
    deep = Image.fromarray(np.full((64, 64), 3000, np.uint16))
    deep.save(tmp_path / "deep" / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: has more than 8 bits .* need --bit-depth"):
        predict_part(model, tmp_path / "deep", tmp_path / "c")
    predictions = predict_part(model, tmp_path / "deep", tmp_path / "c", bit_depth=12)
    assert as_bytes(predictions) == as_bytes(predict_files(model, tmp_path / "deep", bit_depth=12))


def test_predict_in_chunks_names_a_folder_without_readable_images(model, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"none of 1 images can be read:\n.*a\.png"):
        predict_part(model, tmp_path / "bad", tmp_path / "c")


@pytest.fixture(scope="module")
def runs(saved, tmp_path_factory):
    """Runs of `chunk_runs.py`, and what it found."""
    folder = tmp_path_factory.mktemp("runs")
    script = [sys.executable, ROOT / "tests/helpers/chunk_runs.py", saved, folder, str(TRIALS)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(script, env=environment, timeout=500, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def check_outputs(folder: Path, expected: Path) -> None:
    """The same bytes, and neither chunks nor temporary files are left."""
    for name in OUTPUTS:
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    names = {p.name for p in folder.iterdir() if not p.name.startswith("log")}
    assert names == {*OUTPUTS, "cache"}, sorted(names)
    assert [p for p in folder.rglob("*") if p.name.startswith(".ordlib-tmp-")] == []


def check_cache(folder: Path, num_images: int, is_once: bool = True) -> None:
    """The features of each image are in the cache; once, unless one was encoded by two."""
    shards = [*folder.glob("cache/features/*/*.json")]
    keys = [key for shard in shards for key in json.loads(shard.read_text())["keys"]]
    assert len({*keys}) == num_images
    assert len(keys) == num_images or not is_once
    with closing(sqlite3.connect(folder / "cache" / INDEX_NAME)) as index:
        assert index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert index.execute("SELECT count(*) FROM files").fetchone()[0] >= num_images


SCENARIOS = {
    "two": [0, 0],
    "alone": [0, -signal.SIGKILL, False, 0],
    "joining": [0, -signal.SIGKILL, True, 0, 0],
    "at once": [0, 0],
}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_processes_that_are_killed_and_started_again_equal_one(runs, scenario):
    folder, found = runs
    assert found["one"] == [0]
    assert found[scenario] == SCENARIOS[scenario]
    check_outputs(folder / scenario, folder / "one")
    check_cache(folder / scenario, NUM_IMAGES, is_once=scenario != "at once")


@pytest.mark.slow
def test_empty_shard(runs):
    folder, found = runs
    assert found["empty shard"] == [0, 0, 0]
    check_outputs(folder / "empty shard", folder / "one of few")


@pytest.mark.slow
def test_processes_that_are_killed_at_random_moments_equal_one(runs):
    folder, found = runs
    for trial in range(TRIALS):
        codes, again = found[f"killed-{trial}"]
        assert {*codes} <= {0, -signal.SIGKILL}
        assert {*again} == {0}
        check_outputs(folder / f"killed-{trial}", folder / "one")
    killed = sum(-signal.SIGKILL in found[f"killed-{trial}"][0] for trial in range(TRIALS))
    assert killed >= TRIALS // 3


@pytest.mark.slow
def test_accelerate_launch_predicts_as_one_process(saved, tmp_path, monkeypatch):
    """The second process is killed, which the launcher reports; started again, they finish."""
    code = (
        "import os, sys; from chunk_runs import kill_after; from ordlib.cli import app\n"
        "if os.environ['RANK'] == os.environ.get('KILLED'): kill_after(0)\n"
        "app(sys.argv[1:])"
    )
    (tmp_path / "run.py").write_text(code)
    outputs = [word for name in OUTPUTS for word in (f"--{name.split('.')[1]}", name)]
    words = ["predict", saved / "many", "--model", saved / "corn", "--device", "cpu", *outputs]

    def launch(*launcher, folder, **variables):
        environment = os.environ | variables | {"ORDLIB_CACHE": str(tmp_path / folder / "cache")}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests/helpers")])
        command = [sys.executable, *launcher, *words]
        (tmp_path / folder).mkdir(exist_ok=True)
        pipes = {"capture_output": True, "text": True, "timeout": 120}
        return subprocess.run(command, env=environment, cwd=tmp_path / folder, **pipes)

    killed = launch(*LAUNCHER, tmp_path / "run.py", folder="two", KILLED="0")
    assert killed.returncode != 0
    assert not (tmp_path / "two" / "out.csv").exists()
    done = launch(*LAUNCHER, "-m", "ordlib", folder="two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 files were skipped.") == 1
    assert done.stdout.count("bad.png is damaged") == 1
    (tmp_path / "one").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "one" / "cache"))
    run(*words)
    check_outputs(tmp_path / "two", tmp_path / "one")
