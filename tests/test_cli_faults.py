"""Invalid arguments of every command: one error that names the value, before the work."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from commands import invoke
from inference_models import command, save_models
from small_adapter import noise

ROOT = Path(__file__).parents[1]
HUGE = str(10**30)


@pytest.fixture(scope="module")
def saved(tiny_clip_folder, tmp_path_factory):
    root = save_models(tiny_clip_folder, tmp_path_factory.mktemp("saved"))
    (root / "clip").symlink_to(tiny_clip_folder)
    (root / "labelled").mkdir()
    data = noise("dating", "test", 30)
    for i in range(30):
        data[i].save(root / "labelled" / f"{i}.png")
    table = {"path": [f"{i}.png" for i in range(30)], "label": data.ranks, "lens": ["a", "b"] * 15}
    pd.DataFrame(table).to_csv(root / "labelled" / "labels.csv", index=False)
    return root


@pytest.fixture(autouse=True)
def _surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    (work := tmp_path / "work").mkdir()
    monkeypatch.chdir(work)
    (work / "folder").mkdir()
    (work / "folder.toml").mkdir()
    (work / "file").write_text("old")


def check_error(result, message: str) -> None:
    """One error and no traceback, and nothing written."""
    assert result.exit_code in (1, 2), result.output
    assert type(result.exception) is SystemExit
    assert message in " ".join(result.stderr.split()), result.stderr
    assert "\x1b" not in result.output
    assert sorted(os.listdir()) == ["file", "folder", "folder.toml"]
    assert (os.listdir("folder"), Path("file").read_text()) == ([], "old")


@pytest.mark.parametrize("kind", ["rank", "predict"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batch-size", "0"], "--batch-size"),
        (["--batch-size", "-1"], "--batch-size"),
        (["--batch-size", "nan"], "--batch-size"),
        (["--batch-size", "1.5"], "--batch-size"),
        (["--batch-size", ""], "--batch-size"),
        (["--bit-depth", "-1"], "bit_depth = -1"),
        (["--bit-depth", HUGE], "bit_depth = 1000"),
        (["--device", ""], "device = ''"),
        (["--device", "gpu"], "device = 'gpu'"),
        (["--device", "meta"], "device = 'meta'"),
        (["--device", "cpu:9"], "device = 'cpu:9'"),
        (["--device", "\x1b[31m"], r"\x1b[31m"),
        (["--model", ""], "no component ''"),
        (["--model", "."], "config.json is missing"),
        (["--model", "file"], "no component 'file'"),
        (["--model", "[/red]"], "no component '[/red]'"),
        (["--model", "\x1b[31m\x07"], r"no component '\x1b[31m\x07'"),
        (["--model", "\udcff"], r"no component '\udcff'"),
        (["--strict=1"], "--strict"),
        (["--nothing"], "--nothing"),
    ],
)
def test_rank_and_predict_reject(saved, kind, words, message):
    check_error(invoke(*command(kind, saved), *words), message)


@pytest.mark.parametrize("kind", ["rank", "predict"])
@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("", "is empty"),
        ("nowhere", "'nowhere': no such folder"),
        ("folder", "'folder': no image files"),
        ("file", "'file' is damaged"),
        ("/dev/null", "'/dev/null' is not a regular file"),
        ("n" * 300, "no such folder"),
        ("\udcff", r"'\udcff': no such folder"),
        ("\x1b[31m", r"'\x1b[31m': no such folder"),
    ],
)
def test_rank_and_predict_reject_folders(saved, kind, folder, message):
    check_error(invoke(*command(kind, saved, folder)), message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--top", "0"], "--top"),
        (["--top", "-1"], "--top"),
        (["--top", "nan"], "--top"),
        (["--prompt", ""], "prompt is empty"),
        (["--prompt", " \n\t"], "prompt is empty"),
        (["--prompt", "x\udcff"], r"prompt 'x\udcff' has bytes that are not text"),
        (["--prompt", "\ud800"], r"prompt '\ud800' has bytes that are not text"),
        (["--prompt", "a" * 10**5], "tokens"),
        (["--prompt", "🎉" * 40], "tokens"),
        (["--prompt", "<|endoftext|> x"], "contains a character"),
        (["--backbone", ""], "no checkpoint ''"),
        (["--backbone", "file"], "no checkpoint 'file'"),
        (["--backbone", "folder"], "folder: not a transformers checkpoint"),
        (["--resize", "zoom"], "resize = 'zoom': only for --backbone"),
        (["--resize", "squash"], "resize = 'squash': only for --backbone"),
        (["--backbone", "CLIP", "--resize", "zoom"], "resize = 'zoom': must be one of"),
    ],
)
def test_rank_rejects(saved, words, message):
    words = [str(saved / "clip") if word == "CLIP" else word for word in words]
    check_error(invoke(*command("rank", saved), *words), message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        *((["--confidence-level", x], "confidence_level") for x in ("nan", "inf", "0", "1", "-1")),
        (["--confidence-level", "x"], "--confidence-level"),
        (["--task", ""], "task = ''"),
        (["--task", "[x]"], "task = '[x]'"),
    ],
)
def test_predict_rejects(saved, words, message):
    check_error(invoke(*command("predict", saved), *words), message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "file"], "file is not a folder"),
        (["--output", "file/x"], "is not a folder"),
        (["--output", ""], "is empty"),
        (["--by", "nope"], "column = 'nope'"),
        (["--by", ""], "column = ''"),
        (["--split", ""], "split = ''"),
        (["--split", "x"], "split = 'x'"),
        (["--label-column", ""], "no column ''"),
        (["--image-column", "\x1b"], r"no column '\x1b'"),
        (["--first-label", HUGE], "no rank of task"),
        (["--task", "x"], "task = 'x'"),
    ],
)
def test_evaluate_rejects_before_the_evaluation(saved, words, message, monkeypatch):
    monkeypatch.setattr("ordlib.metrics.evaluate.evaluate", None)
    base = ["evaluate", saved / "corn", saved / "labelled", "labels.csv", "--first-label", 0]
    check_error(invoke(*base, *words), message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "", "folder"], "no component ''"),
        (["evaluate", "CORN", ""], "is empty"),
        (["evaluate", "CORN", "nowhere"], "no such folder"),
        (["evaluate", "CORN", "DATA", ""], "is empty"),
        (["evaluate", "CORN", "DATA", "."], "no such file"),
        (["evaluate", "CORN", "DATA", "gone.csv"], "no such file"),
        (["evaluate", "CORN", "DATA", "0.png"], "not UTF-8"),
    ],
)
def test_evaluate_rejects_inputs(saved, words, message):
    paths = {"CORN": saved / "corn", "DATA": saved / "labelled"}
    check_error(invoke(*(paths.get(word, word) for word in words)), message)


TRAIN = [
    (["--output", "file"], "file is not a folder"),
    (["--output", ""], "is empty"),
    (["--seed", "-1"], "seed = -1"),
    (["--seed", str(2**70)], "seed = 1180591620717411303424"),
    *((["--learning-rate", x], "learning_rate") for x in ("nan", "inf", "0", "-1")),
    *((["--max-grad-norm", x], "max_grad_norm") for x in ("nan", "0", "-1")),
    *((["--epochs", x], f"epochs = {x}") for x in ("0", "-3")),
    (["--monitor", ""], "monitor = ''"),
    (["--patience", "0"], "patience = 0"),
    (["--prompt-epochs", "9"], "prompt_epochs = 9"),
    *((["--crop-scale", x], "crop_scale") for x in ("nan", "0", "2")),
    *((["--jitter", x], "jitter") for x in ("nan", "-1", "1e30")),
    (["--lr-multiplier", "x"], "--lr-multiplier x: must have the form"),
    (["--lr-multiplier", "head=nan"], "lr_multipliers"),
    (["--set", "x"], "--set x: must have the form"),
    (["--set", "="], "unknown option"),
    (["--set", "seed=3"], "seed = 3: unknown option"),
    (["--set", "x=" + "[" * 10**5], "unknown option"),
    (["--set", "x=" + "9" * 5000], "--set x="),
    (["--image-encoder", "x"], "image_encoder = 'x'"),
    (["--device", "cuda:99"], "device = 'cuda:99'"),
    (["--resize", "x"], "resize = 'x'"),
    (["--backbone", ""], "no checkpoint ''"),
    (["--task", ""], "task = ''"),
    (["--task", "x.toml"], "x.toml"),
    (["--task", "folder.toml"], "folder.toml: not a regular file"),
    (["--data", ""], "is empty"),
    (["--labels", ""], "is empty"),
    (["--group-pattern", "("], "group_pattern = '('"),
    (["--group-pattern", ""], "group_pattern = ''"),
    (["--split-column", "lens"], "it must contain all of"),
    (["--bit-depth", "3"], "bit_depth = 3"),
]


@pytest.mark.parametrize(("words", "message"), TRAIN)
def test_train_rejects_before_training(saved, words, message, monkeypatch):
    monkeypatch.setattr("ordlib.experiments.train.fit", None)
    base = ["train", "corn", "--task", "dating", "--data", saved / "labelled", "--output", "out"]
    base += ["--labels", "labels.csv", "--first-label", 0, "--backbone", saved / "clip"]
    check_error(invoke(*base, "--epochs", 1, *words), message)


def test_train_rejects_a_folder_in_the_checkpoint_s_place(saved):
    os.makedirs("out/checkpoint.safetensors")
    base = ["train", "corn", "--task", "dating", "--data", saved / "labelled", "--output", "out"]
    base += ["--labels", "labels.csv", "--first-label", 0, "--backbone", saved / "clip"]
    result = invoke(*base, "--epochs", 1)
    assert result.exit_code == 1
    assert "out/checkpoint.safetensors: no intact training checkpoint" in result.stderr


PRETRAIN = ["pretrain", "--output", "new", "--batch-size", "8"]
REPRODUCE = ["reproduce", "aadb", "probe", "--root", ".", "--output", "o"]
GRADE = ["course", "grade", "--notebooks", "NOTEBOOKS"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "", "--task", "dating", "--output", "o"], "method = ''"),
        (["train-adapter", "--output", "file"], "is not a folder"),
        (["train-adapter", "--output", "o", "--task", ""], "task = ''"),
        (["train-adapter", "--output", "o", "--epochs", "0"], "epochs = 0"),
        (["train-adapter", "--output", "o", "--seed", "-1"], "seed = -1"),
        (["train-adapter", "--output", "o", "--backbone", ""], "no checkpoint ''"),
        ([*PRETRAIN, "--output", "folder"], "exists already"),
        ([*PRETRAIN, "--output", "file"], "is not a folder"),
        ([*PRETRAIN, "--output", ""], "is empty"),
        ([*PRETRAIN, "--count-caption-fraction", "nan"], "count_caption_fraction = nan"),
        ([*PRETRAIN, "--distractor-number-fraction", "-1"], "distractor_number_fraction"),
        ([*PRETRAIN, "--size", ""], "size = ''"),
        ([*PRETRAIN, "--num-images", "-5"], "num_images = -5"),
        ([*PRETRAIN, "--samples-seen", "0"], "samples_seen = 0"),
        ([*PRETRAIN, "--learning-rate", "nan"], "learning_rate = nan"),
        ([*PRETRAIN, "--precision", ""], "precision"),
        ([*PRETRAIN, "--seed", "-1"], "seed = -1"),
        ([*PRETRAIN, "--checkpoint-minutes", "nan"], "checkpoint_minutes = nan"),
        ([*PRETRAIN, "--checkpoint-minutes", "-1"], "checkpoint_minutes = -1"),
        ([*PRETRAIN, "--num-workers", "0"], "num_workers = 0"),
        (["evaluate-clip", ""], "is empty"),
        (["evaluate-clip", "nowhere"], "folder = nowhere"),
        (["evaluate-clip", "file"], "folder = file"),
        (["results", "make", ""], "table = ''"),
        (["results", "make", "methods", "--output", "folder"], "is a folder"),
        (["results", "make", "methods", "--output", "file/x"], "is not a folder"),
        (["results", "make", "methods", "--work-dir", "file"], "is not a folder"),
        (["results", "make", "methods", "--seeds", "0"], "--seeds"),
        (["results", "make", "methods", "--num-jobs", "-1"], "--num-jobs"),
        (["results", "make", "methods", "--set", "seeds=-1"], "seeds = -1"),
        (["results", "make", "methods", "--set", "seeds=nan"], "seeds = 'nan'"),
        (["results", "make", "release", "--minutes", "nan"], "minutes = nan"),
        (["data", "check", "", "."], "name = ''"),
        (["data", "check", "aadb", ""], "is empty"),
        (["data", "check", "aadb", "file"], "is a file"),
        (["data", "check", "aadb", "nowhere"], "no such folder"),
        (["data", "check", "aadb", "folder", "--protocol", ""], "protocol of aadb = ''"),
        (["cache", "--older-than", "nan"], "older_than_days = nan"),
        (["cache", "--max-size", "-1"], "max_bytes = -1"),
        (["cache", "--max-size", "x"], "--max-size"),
        (["reproduce", "", "probe", "--root", ".", "--output", "o"], "name = ''"),
        (["reproduce", "aadb", "", "--root", ".", "--output", "o"], "method = ''"),
        (["reproduce", "aadb", "probe", "--root", "", "--output", "o"], "is empty"),
        (["reproduce", "aadb", "probe", "--root", ".", "--output", "file"], "is not a folder"),
        ([*REPRODUCE, "--shots", "0"], "shots = 0"),
        ([*REPRODUCE, "--draw", ""], "draw = ''"),
        (["course", "run", "--output", "file"], "is not a folder"),
        (["course", "run", "--output", ""], "is empty"),
        (["course", "run", "--notebooks", ""], "is empty"),
        (["course", "run", "--timeout", "0"], "--timeout"),
        (["course", "run", "--jobs", "-1"], "--jobs"),
        (["course", "run", "-p"], "needs a value"),
        (["course", "run", "-p", "seed"], "-p seed: needs a value"),
        (["course", "run", "--parameter=seed"], "--parameter seed: needs a value"),
        (["course", "run", "--notebooks", "NOTEBOOKS", ""], "No notebook begins with ''"),
        (["course", "run", "--notebooks", "NOTEBOOKS", "-p", "=3"], "no parameter ''"),
        (["course", "run", "--notebooks", "NOTEBOOKS", "-p", "\x1b=3"], r"no parameter '\x1b'"),
        (["course", "run", "--notebooks", "NOTEBOOKS", "[red]"], "'[red]'"),
        (["course", "build", "--notebooks", "file"], "no notebook there"),
        (["course", "labs", "--output", "file"], "is not a folder"),
        (["course", "slides", "--output", "file"], "is not a folder"),
        (["course", "slides", "--output", "s", "--notebooks", "nowhere"], "no notebook there"),
        (["course", "grade", "", "--csv", "g"], "is empty"),
        ([*GRADE, "nowhere", "--csv", "g"], "nowhere: no such folder"),
        (["course", "grade", "folder", "--csv", "folder"], "is a folder"),
        (["course", "grade", "folder", "--csv", "-"], "is no file name here"),
        (["course", "grade", "folder", "--csv", "g", "--gradebook", "./g"], "are both g"),
        (["course", "grade", "folder", "--csv", "file", "--roster", "file"], "are both file"),
        ([*GRADE, "folder", "--csv", "g", "--roster", "nowhere"], "nowhere"),
        ([*GRADE, "folder", "--csv", "g", "--roster", "folder"], "folder: is not a regular file"),
        (["course", "audit", "x"], "task = 'x'"),
        (["course", "audit", "counting", ""], "task = ''"),
        (["course", "set-url", "--root", ""], "is empty"),
        (["course", "set-url", "--root", "file"], "No pyproject.toml in"),
        (["course", "set-url", "--ref", ""], "--ref ''"),
    ],
)  # fmt: skip
def test_commands_reject_before_the_work(words, message, monkeypatch):
    monkeypatch.setattr("ordlib.experiments.pretrain_clip.pretrain.render_pool", None)
    monkeypatch.setattr("ordlib.synthetic.audit.audit_shortcuts", None)
    words = [str(ROOT / "notebooks") if word == "NOTEBOOKS" else word for word in words]
    check_error(invoke(*words), message)


def test_parameters_take_papermill_s_and_the_usual_form(monkeypatch):
    from ordlib.course.runner import console

    seen = []
    show_run = lambda notebooks, output, options: seen.append(options["values"]) or []  # noqa: E731
    monkeypatch.setattr(console, "show_run", show_run)
    base = ["course", "run", "--notebooks", ROOT / "notebooks", "--output", "new"]
    for words in (["-p", "seed", "3"], ["-p", "seed=3"], ["--parameter", "seed", "3"],
                  ["--parameter=seed", "3"], ["--parameter=seed=3"]):  # fmt: skip
        assert invoke(*base, *words).exit_code == 0
    invoke(*base, "-p", "a", "", "-p", "b", "-1")
    assert seen == [{"seed": "3"}] * 5 + [{"a": "", "b": "-1"}]


def test_a_deleted_current_folder_is_named(tmp_path, monkeypatch):
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for words in (["data", "list"], ["rank", ".", "--prompt", "x"], ["cache"]):
        result = invoke(*words)
        assert result.exit_code == 1
        assert "the current folder has been deleted" in result.stderr
    os.chdir(tmp_path)


def test_damaged_results_are_named(tmp_path):
    from ordlib.experiments.intervals import cached_rows
    from ordlib.experiments.reproduce import Reproduction, _check_output
    from ordlib.experiments.results import cached_json

    path = tmp_path / "results.json"
    for content in ("", "{", "[]", "{}", "\x00", "null"):
        path.write_text(content)
        setting = Reproduction(dataset="aadb", root=tmp_path, method="probe")
        with pytest.raises(ValueError, match=r"results\.json: no results of a reproduction"):
            _check_output(setting, tmp_path)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"results\.json: damaged .* delete it"):
        cached_json(path, dict)
    path.write_text('[{"a": 1}]')
    for content in (b"", b"PK\x03\x04", b"text"):
        path.with_suffix(".npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"results\.npz: damaged .* delete .*results\.json"):
            cached_rows(path, lambda: ([], []))


# Processes -------------------------------------------------------------------------------------


def shell(line: str, saved: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run a line of bash, in which $ORDLIB is the command."""
    names = {"ORDLIB": f"{sys.executable} -m ordlib", "SAVED": str(saved)}
    environment = os.environ | names | {"PYTHONPATH": str(ROOT)} | environment
    run = subprocess.run(["bash", "-o", "pipefail", "-c", line], env=environment, timeout=120,
                         capture_output=True, check=False)  # fmt: skip
    assert b"Traceback" not in run.stderr, run.stderr.decode()
    return run


PREDICT = "$ORDLIB predict $SAVED/images --model $SAVED/corn --device cpu"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs bash")
@pytest.mark.parametrize(
    ("line", "code", "out", "error"),
    [
        (f"{PREDICT} --csv - | head -1", 0, "path,value", ""),
        (f"{PREDICT} | true", 1, "", ""),
        ("$ORDLIB data list | true", 1, "", ""),
        ("$ORDLIB --help | true", 1, "", ""),
        (f"{PREDICT} --csv o.csv >&-; wc -l < o.csv", 0, "9", ""),
        (f"{PREDICT} --csv - >&-", 2, "", "standard output is closed"),
        (f"{PREDICT} --csv - 2>&-", 0, "path,value", ""),
        (f"{PREDICT} <&-", 0, "8 images", ""),
        (f"{PREDICT} >&- 2>&- <&-", 0, "", ""),
        # A link of our own: a fault must not replace the system's.
        (f"ln -s /proc/self/fd/1 out; {PREDICT} --csv out", 0, "path,value", ""),
        (f"{PREDICT} --csv >(cat > copy); sleep 1; wc -l < copy", 0, "9", ""),
        (f"COLUMNS=0 {PREDICT}", 0, "7.png", ""),
        ("COLUMNS=0 $ORDLIB rank x", 2, "", "Missing option"),
        (f"LC_ALL=C {PREDICT}", 0, "7.png", ""),
        (f"LC_ALL=POSIX PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 {PREDICT}", 0, "7.png", ""),
        (f"TERM=dumb FORCE_COLOR=1 {PREDICT}", 0, "7.png", ""),
        (f"env -u HOME -u ORDLIB_CACHE {PREDICT}", 0, "7.png", ""),
        (f"ORDLIB_CACHE= HOME=/proc/nowhere {PREDICT}", 0, "7.png", ""),
        (f"ORDLIB_CACHE=relative {PREDICT}", 0, "7.png", ""),
        (f"ulimit -n 24; {PREDICT}", 0, "7.png", ""),
        (f"mkdir gone; cd gone; rmdir ../gone; {PREDICT}", 1, "", "has been deleted"),
    ],
)
def test_commands_in_odd_surroundings(saved, tmp_path, line, code, out, error):
    if "env -u HOME" in line:
        line = line.replace("-u ORDLIB_CACHE", f"ORDLIB_CACHE={tmp_path / 'c'}")
    run = shell(line, saved)
    assert (run.returncode, out in run.stdout.decode()) == (code, True), run.stderr.decode()
    assert error in run.stderr.decode()
