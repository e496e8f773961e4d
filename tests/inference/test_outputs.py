"""Faults of outputs: paths are tried before the work, nothing is lost, and names are only text."""

import csv
import json
import os
import re
import shutil
import stat
import unicodedata
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from commands import invoke
from inference_models import command, edited, save_models

from ordlib import load_component, rank
from ordlib.inference import console, predict_files, scoring
from ordlib.inference.files import find_images
from ordlib.inference.html import write_gallery

evaluation = import_module("ordlib.metrics.evaluate")  # the package has a function of that name
COMMANDS = ("rank", "predict")
FORMATS = ("csv", "json", "html")
ESCAPE = "\x1b[31mred\x1b]0;title\x07"
# Of files and of ranks: what terminals, rich, spreadsheets, CSV, HTML and Markdown may take for
# something else.
HOSTILE = [
    "[red]x", "[bold]x[", "a\rb", "a\nb", "a\tb", "=1+1", "+1+x", "-1+x", "@SUM(A1)", "\t=1",
    "\r=1",
    '=HYPERLINK("x")', "\x1b[31mx", "\x07x", "\u202eabc", "\u200bx", 'a"b', "a,b", "<b>x", "'x",
    "$x^$", "a|b", "100%", "{x}", "\\n", "é日", "🎉",
]  # fmt: skip


@pytest.fixture(scope="module")
def saved(tiny_clip_folder, tmp_path_factory):
    return save_models(tiny_clip_folder, tmp_path_factory.mktemp("saved"))


@pytest.fixture(autouse=True)
def _surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")
    (work := tmp_path / "work").mkdir()
    monkeypatch.chdir(work)
    (work / "folder").mkdir()
    (work / "file").write_text("old")


@pytest.fixture
def no_work(monkeypatch):
    """Any loading of a component or image is an error."""
    monkeypatch.setattr("ordlib.components.load_component", None)
    monkeypatch.setattr("ordlib.inference.rank", None)
    monkeypatch.setattr(scoring, "inspect_images", None)


def device_node(path: Path, minor: int) -> Path:
    """A private node of /dev/full (7) or /dev/null (3): a fault must not reach the real ones."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        path.open("wb").close()
    except OSError:
        pytest.skip("needs the right to make device nodes")
    return path


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("option", FORMATS)
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("folder", "is a folder"),
        ("folder/", "is a folder"),
        (".", "is a folder"),
        ("/", "is a folder"),
        ("", "is empty"),
        ("file/x", "is not a folder"),
        ("file/x/y", "is not a folder"),
        ("n" * 300, "File name too long"),
        ("loop", "symbolic links"),
        ("readonly", "is read-only"),
        ("link to readonly", "is read-only"),
        ("link to folder", "is a folder"),
        ("link below file", "is not a folder"),
    ],
)
def test_outputs_that_cannot_be_written_are_named_before_the_work(
    saved, no_work, kind, option, path, message
):
    Path("readonly").write_text("kept")
    Path("readonly").chmod(0o444)
    targets = {"loop": "loop", "link to readonly": "readonly", "link to folder": "folder"}
    for link, target in {**targets, "link below file": "file/x"}.items():
        os.symlink(target, link)
    result = invoke(*command(kind, saved), f"--{option}", path)
    assert result.exit_code == 2
    assert f"--{option}" in result.stderr
    assert message in result.stderr
    assert (Path("readonly").read_text(), Path("file").read_text()) == ("kept", "old")


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("option", FORMATS)
def test_outputs_in_a_folder_without_the_right_to_write(saved, no_work, kind, option, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "folder")
    result = invoke(*command(kind, saved), f"--{option}", "folder/new/x")
    assert result.exit_code == 2
    assert re.search(r"folder is read-only", result.stderr)
    assert not any(Path("folder").iterdir())


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize(
    ("paths", "options"),
    [
        (("x", "x", None), ("--csv", "--json")),
        (("x", None, "./x"), ("--csv", "--html")),
        ((None, "folder/../x", "x"), ("--json", "--html")),
        (("link", "x", None), ("--csv", "--json")),
        (("-", "-", None), ("--csv", "--json")),
    ],
)
def test_one_path_for_two_outputs_is_an_error(saved, no_work, kind, paths, options):
    os.symlink("x", "link")
    given = [f"--{o}={p}" for o, p in zip(FORMATS, paths, strict=True) if p]
    result = invoke(*command(kind, saved), *given)
    assert result.exit_code == 1
    assert " and ".join(options) in result.stderr
    assert not Path("x").exists()


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("option", FORMATS)
def test_an_image_is_not_overwritten(saved, no_work, kind, option):
    image = saved / "images" / "0.png"
    before = image.read_bytes()
    result = invoke(*command(kind, saved), f"--{option}", image)
    assert result.exit_code == 1
    assert f"--{option} {image}: is an image" in result.stderr
    assert image.read_bytes() == before


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("failing", FORMATS)
def test_an_output_that_fails_loses_no_other(saved, tmp_path, kind, failing):
    full = device_node(tmp_path / "full", 7)
    paths = {name: tmp_path / f"out.{name}" for name in FORMATS} | {failing: full}
    words = [word for name, path in paths.items() for word in (f"--{name}", path)]
    result = invoke(*command(kind, saved), *words)
    assert result.exit_code == 1
    assert f"{full} was not written: No space left" in result.stderr
    assert "7.png" in result.stdout, "the table is printed"
    assert stat.S_ISCHR(full.stat().st_mode), "the device is still one"
    for name in set(FORMATS) - {failing}:
        assert paths[name].stat().st_size > 500


@pytest.mark.parametrize("kind", COMMANDS)
def test_outputs_keep_links_devices_and_modes(saved, tmp_path, kind):
    null = device_node(tmp_path / "null", 3)
    Path("private").write_text("old")
    Path("private").chmod(0o600)
    os.symlink("private", "link")
    words = ("--csv", "link", "--json", "new", "--html", null)
    assert invoke(*command(kind, saved), *words).exit_code == 0
    assert Path("link").is_symlink()
    assert len(pd.read_csv("private")) == 8
    modes = [stat.S_IMODE(os.stat(name).st_mode) for name in ("private", "new")]
    umask = os.umask(0)
    os.umask(umask)
    assert modes == [0o600, 0o666 & ~umask]
    assert stat.S_ISCHR(null.stat().st_mode)


@pytest.mark.parametrize("name", ["to_csv", "to_json", "to_html", "write_gallery"])
def test_writers_do_not_take_a_folder_for_a_file(saved, name):
    ranking = rank(saved / "images", "x", model=saved / "adapter")
    predictions = predict_files(load_component(saved / "corn"), saved / "images")
    writers = {
        "to_csv": ranking.to_csv, "to_json": ranking.to_json, "to_html": predictions.to_html,
        "write_gallery": lambda path: write_gallery(ranking, path),
    }  # fmt: skip
    with pytest.raises(IsADirectoryError, match="folder"):
        writers[name]("folder")
    assert os.listdir("folder") == []


@pytest.mark.parametrize("count", [0, -1, 1.5, "3", None, True, float("nan")])
def test_top_takes_one_or_more(saved, count):
    ranking = rank(saved / "images", "x", model=saved / "adapter")
    with pytest.raises(ValueError, match=f"count = {count!r}: must be an integer, 1 or more"):
        ranking.top(count)
    assert len(ranking.top(np.int64(2))) == 2
    assert len(ranking.top(10**20)) == 8


def test_many_skipped_files_are_counted(saved):
    """The first ten are named, in errors and in the table, not all of 20,000."""
    missing = [f"gone{i}.png" for i in range(20_000)]
    with pytest.raises(ValueError, match=r"list of 20000 paths: (?s:.*)and 19990 more") as error:
        find_images(missing)
    assert len(str(error.value)) < 2000
    scan = find_images([*missing, saved / "images" / "0.png"] * 2)
    assert (len(scan.files), len(scan.skipped)) == (1, 20_000)


# Components ------------------------------------------------------------------------------------


CONFIG = r"config\.json: .*(finite|threshold|calibrations)|ood_threshold"  # noticed on loading


def set_nan(*path: str, value: float = float("nan")):
    """A change of a config: the value at a path of keys."""

    def change(config: dict) -> None:
        for key in path[:-1]:
            config = config[key]
        config[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("kind", "change", "column"),
    [
        ("rank", set_nan("ood_thresholds", "counting"), "ood_score"),
        ("rank", set_nan("ood_thresholds", "counting", value=0), "ood_score"),
        ("predict", set_nan("ood_threshold"), "ood_score"),
        ("predict", set_nan("ood_threshold", value=0), "ood_score"),
        ("predict", set_nan("calibrations", "dating", "temperature"), "probability"),
        ("predict", set_nan("calibrations", "dating", "temperature", value=0), "probability"),
        ("predict", set_nan("calibrations", "dating", "residuals", value=[np.nan] * 50), "low"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers_that_are_not_finite_are_errors(saved, tmp_path, kind, change, column):
    """They have no order, count as in-distribution, and are not valid JSON."""
    component = saved / ("adapter" if kind == "rank" else "corn")
    with suppress(ValueError):
        broken = edited(component, tmp_path / "broken", change)
    result = invoke(*command(kind, saved, model=broken), "--json", "out.json")
    assert result.exit_code == 1
    assert re.search(
        rf"{column} of .*png is (nan|inf)|{CONFIG}",
        result.stderr,
    )
    assert not Path("out.json").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_names_its_image(saved, value, monkeypatch):
    scores = np.zeros(8)
    scores[3] = value
    adapter = load_component(saved / "adapter")
    monkeypatch.setattr(type(adapter), "predict_scores", lambda *_: scores)
    with pytest.raises(FloatingPointError, match=r"score of .*3\.png is .*(nan|inf): .* damaged"):
        rank(saved / "images", "x", model=adapter)


def test_json_is_never_invalid(saved):
    ranking = rank(saved / "images", "x", model=saved / "adapter")
    table = ranking.table.assign(score=np.inf)
    with pytest.raises(ValueError, match="JSON compliant"):
        replace(ranking, table=table).to_json("out.json")
    assert not Path("out.json").exists()


@pytest.mark.parametrize("field", ["training_data", "description"])
@pytest.mark.parametrize("text", [ESCAPE, "a\nb", "[/red]", "<b>", "\udcff"])
def test_cards_cannot_control_the_terminal(saved, tmp_path, field, text):
    component = edited(
        saved / "adapter", tmp_path / "m", lambda card: card.update({field: text}), "card.json"
    )
    (tmp_path / "plain").mkdir()
    for i in range(2):  # Out of distribution, so that the training data is shown.
        shutil.copy(saved / "images" / f"{i}.png", tmp_path / "plain")
    with patch("ordlib.methods.ood.MahalanobisOOD.scores", lambda _, x: np.full(len(x), 9.0)):
        result = invoke(*command("rank", saved, tmp_path / "plain", component), "--html", "o.html")
        ranking = rank(tmp_path / "plain", "x", model=component)
    assert result.exit_code == 0
    assert not set("\x1b\x07\r") & set(result.output)
    assert not set("\x1b\x07\r") & set(repr(ranking))
    if field == "training_data":
        shown = text.encode("unicode_escape").decode()
        assert shown in result.output
        assert len([line for line in repr(ranking).splitlines() if "unlike" in line]) == 1
    page = Path("o.html").read_text("utf-8")
    assert "<b>\n" not in page
    assert "\x1b" not in page


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("unit", ["[/red]", "[bold]", "[link=x]y", "$x^$", "<b>", "é日", "=1"])
def test_units_are_text(saved, tmp_path, kind, unit):
    def change(config: dict) -> None:
        for task in config.get("tasks") or [config["task"]]:
            task["unit"] = unit

    component = saved / ("adapter" if kind == "rank" else "corn")
    model = edited(component, tmp_path / "m", change)
    result = invoke(*command(kind, saved, model=model), "--html", "out.html")
    assert result.exit_code == 0, result.output
    assert unit in result.stdout
    assert "<b>" not in Path("out.html").read_text("utf-8").replace("<div><b>", "")


def escaped(text: str) -> str:
    """Independent of the library: what a terminal may show of a text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def spreadsheet_text(text: str, mark: str = "'") -> str:
    """Independent of the library: a mark before what a spreadsheet evaluates."""
    return mark + text if re.match(r"[=+\-@\t\r]", text) else text


def column(path: str, name: str) -> list[str]:
    with open(path, newline="", encoding="utf-8") as file:
        return [row[name] for row in csv.DictReader(file)]


# A task refuses control characters in its names; files may have them.
RANKS = [name for name in HOSTILE if not set(map(unicodedata.category, name)) & {"Cc", "Cf"}]


@pytest.mark.parametrize("start", range(0, len(RANKS), 5))
def test_rank_names_are_text(saved, tmp_path, start, monkeypatch):
    few = partial(evaluation.bootstrap, n_resamples=2)
    monkeypatch.setattr(evaluation, "bootstrap", lambda *x, n_resamples, **more: few(*x, **more))
    names = (RANKS[start:] + RANKS)[:5]

    def change(config: dict) -> None:
        config["task"] |= {"values": names, "rank_names": names}

    model = edited(saved / "corn", tmp_path / "m", change)
    folder = shutil.copytree(saved / "images", tmp_path / "images")
    labels = {"path": [f"{i}.png" for i in range(8)], "label": [0, 4] * 4}
    pd.DataFrame(labels).to_csv(folder / "labels.csv", index=False)
    ranks = np.arange(8) % 5
    predict = "ordlib.methods.corn.CORN.predict_from_features"
    evaluate = ("evaluate", model, folder, "labels.csv", "--first-label", 0, "--output", "report")
    with patch(predict, lambda model, _: model.task.decode_values(ranks.astype(float))):
        outputs = ("--csv", "out.csv", "--html", "out.html")
        result = invoke(*command("predict", saved, folder, model), *outputs)
        report = invoke(*evaluate)
    assert (result.exit_code, report.exit_code) == (0, 0), result.output + report.output
    expected = [spreadsheet_text(names[i]) for i in ranks]
    assert column("out.csv", "label") == column("report/predictions.csv", "label") == expected
    assert all(escaped(name).strip() in result.stdout for name in names)
    pages = [Path(file).read_text("utf-8") for file in ("out.html", "report/report.html")]
    for text in (result.output, report.output, *pages):
        assert not set("\x1b\x07\r\u202e") & set(text)
    assert not any("<b>x" in page for page in pages)


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.skipif(os.name == "nt", reason="file names")
def test_file_names_are_text(saved, kind):
    names = [*HOSTILE, "\udcff"]
    Path("images").mkdir()
    os.chdir("images")
    for name in names:
        shutil.copy(saved / "images" / "0.png", f"{name}.png")
    paths = [f"{name}.png" for name in names]
    if kind == "rank":
        table = rank(paths, "x", model=saved / "adapter")
    else:
        table = predict_files(load_component(saved / "corn"), paths)
    table.to_csv("../out.csv")
    found = column("../out.csv", "path")
    in_utf8 = [path.encode("utf-8", "backslashreplace").decode() for path in paths]
    assert sorted(found) == sorted(spreadsheet_text(path, "./") for path in in_utf8)
    assert sum(os.path.exists(path) for path in found) == len(HOSTILE)
    assert not set("\x1b\x07\r\u202e") & set(repr(table) + table._repr_html_())
    for name in names:
        Path(f"bad {name}.png").touch()
    result = invoke(*command(kind, saved, "."), "--html", "../o.html", "--json", "../o.json")
    assert result.exit_code == 0, result.output
    page = Path("../o.html").read_text("utf-8")
    assert all(escaped(name).strip() in result.stdout for name in names)
    assert result.stdout.count("bad ") == 10, "the first ones"
    assert not set("\x1b\x07\r\u202e") & set(result.output + page)
    assert "<b>x" not in page
    content = json.loads(Path("../o.json").read_text("utf-8"))
    assert {row["path"] for row in content["images"]} == {f"./{path}" for path in paths}
    assert len(content["skipped"]) == len(names)


def test_numbers_as_text_stay_numbers():
    table = pd.DataFrame({"path": ["-3", "a"], "label": ["-3", "+1.5"], "value": [-1.0, np.nan]})
    fields = {"skipped": {}, "ignored": 0, "task": "t", "unit": "u", "confidence_level": 0.9}
    text = console.FilePredictions(table=table, **fields).to_csv()
    assert text == "path,label,value\n-3,-3,-1.0\na,+1.5,\n"


# Surroundings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", ["0", "1", "20", "-5", "x", "100000"])
@pytest.mark.parametrize("kind", COMMANDS)
def test_every_image_is_shown_at_any_width(saved, kind, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", width)
    result = invoke(*command(kind, saved))
    assert result.exit_code == 0
    text = "".join(result.stdout.split())
    assert all(f"{i}.png" in text for i in range(8))


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-16", "cp037"])
def test_output_in_another_encoding(saved, tmp_path, kind, encoding):
    from typer.testing import CliRunner

    from ordlib.cli import app

    folder = shutil.copytree(saved / "images", tmp_path / "日本 é")
    words = command(kind, saved, folder)
    result = CliRunner(charset=encoding).invoke(app, words)
    assert result.exit_code == 0, result.exception
    assert result.stdout_bytes.decode(encoding).count(".png") == 8


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_cache_that_cannot_be_written_is_named_once_a_part(saved, kind, monkeypatch):
    """Each image is encoded once, although scores and OOD scores need its features."""
    from ordlib.clip import ClipBackbone

    sizes = []
    for name in ("image_features", "image_token_features"):
        encode = getattr(ClipBackbone, name)
        monkeypatch.setattr(
            ClipBackbone, name, lambda clip, x, f=encode: sizes.append(len(x)) or f(clip, x)
        )
    monkeypatch.setenv("ORDLIB_CACHE", str(Path("file").resolve()))
    with pytest.warns(UserWarning, match="cannot cache the features") as warnings:
        result = invoke(*command(kind, saved))
    assert result.exit_code == 0
    assert (sum(sizes), len([w for w in warnings if "cannot cache" in str(w.message)])) == (8, 1)
