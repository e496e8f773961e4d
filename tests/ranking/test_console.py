"""`ordlib rank` prints what `ordlib.rank` finds, writes what is asked for, and says what is not."""

import io
import json
import os

import pandas as pd
import pytest
from PIL import Image
from small_adapter import noise, small_adapter
from typer.testing import CliRunner

from ordlib import cli, rank
from ordlib.ranking import console

STARS = "the number of stars"


@pytest.fixture(scope="module")
def component(tiny_clip_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("components") / "small"
    small_adapter(tiny_clip_folder).save_pretrained(folder, {"training_data": "toys"})
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Six pictures in the current folder's ``pictures``."""
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for i, picture in enumerate(noise("counting", "folder", 6)):
        picture.save(tmp_path / "pictures" / f"[red]{i}.png")
    return tmp_path


@pytest.fixture
def order(component):
    def invoke(*args: str, prompt: str = STARS, model: str = str(component)):
        given = ["rank", "pictures", "--prompt", prompt, "--model", model, "--device", "cpu"]
        return CliRunner().invoke(cli.app, [*given, *args], catch_exceptions=False)

    return invoke


def test_a_table_in_the_order_of_python(folder, order, component):
    done = order()
    assert done.exit_code == 0, done.output
    expected = rank("pictures", STARS, model=component, device="cpu")
    lines = [line.split() for line in done.stdout.splitlines() if ".png" in line]
    assert [line[1] for line in lines] == expected.table["path"].tolist()
    assert [line[2] for line in lines] == [f"{score:.2f}" for score in expected.table["score"]]
    assert [line[3] for line in lines] == [f"{value:.1f}" for value in expected.table["value"]]
    assert f'"{STARS}": 6 pictures, highest score first' in done.stdout
    assert "objects" in done.stdout
    turned = order("--reverse").stdout
    assert "lowest score first" in turned
    paths = [row.split()[1] for row in turned.splitlines() if ".png" in row]
    assert paths == [line[1] for line in lines][::-1]


def test_files_hold_the_same(folder, order):
    names = ["--csv", "out.csv", "--json", "sub/out.json", "--html", "out.html"]
    done = order(*names, "--top", "4")
    table = pd.read_csv("out.csv")
    content = json.loads((folder / "sub" / "out.json").read_text())
    assert table["path"].tolist() == [row["path"] for row in content["images"]]
    assert (len(table), content["total"], content["is_descending"]) == (4, 6, True)
    assert (folder / "out.html").read_text("utf-8").count("<img ") == 4
    assert f"Open {folder.resolve() / 'out.html'}" in done.stdout
    assert "4 of 6 pictures" in done.stdout
    # For another program, standard output has the data and nothing else.
    done = order("--csv", "-")
    assert pd.read_csv(io.StringIO(done.stdout))["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert "highest score first" in done.stderr
    assert len(json.loads(order("--json", "-").stdout)["images"]) == 6


def test_what_is_skipped_is_listed_and_strict_fails(folder, order):
    assert order("--strict").exit_code == 0
    (folder / "pictures" / "bad\n[b].png").touch()
    done = order()
    assert done.exit_code == 0
    assert "pictures/bad\\n[b].png is an empty file" in done.stdout
    strict = order("--strict", "--csv", "out.csv")
    assert strict.exit_code == 1
    assert len(pd.read_csv("out.csv")) == 6


def test_long_tables_are_cut_and_strange_pictures_told(folder, order, monkeypatch):
    monkeypatch.setattr(console, "ROWS", 2)
    for i in range(3):
        Image.new("RGB", (64, 64), (255, 80 * i, 0)).save(folder / "pictures" / f"plain{i}.png")
    done = order()
    assert "... and 7 more" in done.stdout
    assert "do not trust this order. It learned from" in " ".join(done.stdout.split())
    assert "toys, by" in done.stdout


@pytest.mark.parametrize(
    ("given", "says"),
    [({"prompt": " "}, "prompt is empty"), ({"model": "by-magic"}, "no component 'by-magic'")],
)
def test_mistakes_are_one_line(folder, order, tiny_clip_folder, given, says):
    done = order("--backbone", str(tiny_clip_folder), **given)
    assert done.exit_code == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_folders_and_files(folder, order, component):
    given = ["--prompt", STARS, "--model", str(component)]
    gone = CliRunner().invoke(cli.app, ["rank", "gone", *given])
    assert (gone.exit_code, "there is no folder 'gone'" in gone.stderr) == (1, True)
    os.mkdir("out.html")
    assert order("--html", "out.html").exit_code == 2
    assert order("--top", "0").exit_code == 2
