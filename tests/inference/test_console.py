"""`ordlib rank` prints what `ordlib.rank` returns, and writes the requested files."""

import io
import json
import os

import pandas as pd
import pytest
from PIL import Image
from small_adapter import noise, small_adapter
from typer.testing import CliRunner

from ordlib import cli, rank
from ordlib.inference import console

STARS = "the number of stars"


@pytest.fixture(scope="module")
def model(tiny_clip_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("components") / "small"
    small_adapter(tiny_clip_folder).save_pretrained(folder, {"training_data": "toys"})
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Six images in the folder ``images`` of the working directory."""
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for i, image in enumerate(noise("counting", "folder", 6)):
        image.save(tmp_path / "images" / f"[red]{i}.png")
    return tmp_path


@pytest.fixture
def invoke(model):
    def run(*args: str, folder: str = "images", prompt: str = STARS, model: str = str(model)):
        command = ["rank", folder, "--prompt", prompt, "--model", model, "--device", "cpu", *args]
        return CliRunner().invoke(cli.app, command, catch_exceptions=False)

    return run


def test_rank_prints_the_table_of_rank(folder, invoke, model):
    result = invoke()
    assert result.exit_code == 0, result.output
    table = rank("images", STARS, model=model, device="cpu").table
    lines = [line.split() for line in result.stdout.splitlines() if ".png" in line]
    assert [line[1] for line in lines] == table["path"].tolist()
    assert [line[2] for line in lines] == [f"{score:.2f}" for score in table["score"]]
    assert [line[3] for line in lines] == [f"{value:.1f}" for value in table["value"]]
    assert f'"{STARS}": 6 images, highest score first' in result.stdout
    assert "objects" in result.stdout
    result = invoke("--reverse").stdout
    assert "lowest score first" in result
    paths = [line.split()[1] for line in result.splitlines() if ".png" in line]
    assert paths == table["path"].tolist()[::-1]


def test_rank_writes_csv_json_and_html(folder, invoke):
    files = ["--csv", "out.csv", "--json", "sub/out.json", "--html", "out.html"]
    result = invoke(*files, "--top", "4")
    table = pd.read_csv("out.csv")
    content = json.loads((folder / "sub" / "out.json").read_text())
    assert table["path"].tolist() == [row["path"] for row in content["images"]]
    assert (len(table), content["total"], content["is_descending"]) == (4, 6, True)
    assert (folder / "out.html").read_text("utf-8").count("<img ") == 4
    assert f"Open {folder.resolve() / 'out.html'}" in result.stdout
    assert "4 of 6 images" in result.stdout
    # With "-", standard output has the data and nothing else.
    result = invoke("--csv", "-")
    assert pd.read_csv(io.StringIO(result.stdout))["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert "highest score first" in result.stderr
    assert len(json.loads(invoke("--json", "-").stdout)["images"]) == 6


def test_rank_lists_skipped_files_and_fails_if_strict(folder, invoke):
    assert invoke("--strict").exit_code == 0
    (folder / "images" / "bad\n[b].png").touch()
    result = invoke()
    assert result.exit_code == 0
    assert "images/bad\\n[b].png is an empty file" in result.stdout
    assert invoke("--strict", "--csv", "out.csv").exit_code == 1
    assert len(pd.read_csv("out.csv")) == 6


def test_rank_shortens_the_table_and_warns_of_ood_images(folder, invoke, monkeypatch):
    monkeypatch.setattr(console, "MAX_ROWS", 2)
    for i in range(3):
        Image.new("RGB", (64, 64), (255, 80 * i, 0)).save(folder / "images" / f"plain{i}.png")
    output = " ".join(invoke().stdout.split())
    assert "... and 7 more" in output
    assert "do not trust this order. Training data: toys, with prompts" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": " "}, "prompt is empty"),
        ({"model": "by-magic"}, "'by-magic'"),
        ({"folder": "gone"}, "'gone': no such folder"),
    ],
    ids=["prompt", "model", "folder"],
)
def test_rank_prints_errors_without_traceback(folder, invoke, tiny_clip_folder, arguments, message):
    result = invoke("--backbone", str(tiny_clip_folder), **arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_rank_rejects_invalid_options(folder, invoke):
    os.mkdir("out.html")
    assert invoke("--html", "out.html").exit_code == 2
    assert invoke("--top", "0").exit_code == 2
