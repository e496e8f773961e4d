"""Pictures in the order of a naive loop, whatever else lies in the folder."""

import json
import os
import sys
import warnings
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_adapter import noise, small_adapter

from ordlib import ClipBackbone, CoOp, rank
from ordlib.data.image_io import validate_image
from ordlib.ranking import image_files, scoring
from ordlib.ranking.image_files import find_images
from ordlib.ranking.rank import is_descending, match_task
from ordlib.ranking.result import escape_nonprintable

STARS = "the number of stars"
AGES = "Rank from oldest to newest photograph."
linux = pytest.mark.skipif(sys.platform != "linux", reason="names and pipes as Linux has them")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def adapter(tiny_clip_folder):
    return small_adapter(tiny_clip_folder)


@pytest.fixture
def folder(tmp_path):
    """Ten pictures, two of them in a subfolder."""
    root = tmp_path / "pictures"
    (root / "sub").mkdir(parents=True)
    for i, picture in enumerate(noise("counting", "folder", 10)):
        picture.save(root / ("sub" if i > 7 else "") / f"{i}.png")
    return root


def broken_png(path):
    """A PNG whose checksums are all in order, and whose picture is cut short."""
    Image.new("RGB", (64, 64), "red").save(path)
    content = path.read_bytes()
    at = content.index(b"IDAT") - 4
    data = zlib.compress(b"\0\1\2\3")
    crc = zlib.crc32(b"IDAT" + data).to_bytes(4, "big")
    end = content[content.index(b"IEND") - 4 :]
    path.write_bytes(content[:at] + len(data).to_bytes(4, "big") + b"IDAT" + data + crc + end)


@pytest.fixture
def encoded(monkeypatch):
    """Sizes of the batches of pictures that the backbone encodes."""
    sizes, encode = [], ClipBackbone.image_token_features
    monkeypatch.setattr(
        ClipBackbone,
        "image_token_features",
        lambda clip, p: sizes.append(len(p)) or encode(clip, p),
    )
    return sizes


def names(ranking):
    return [os.path.basename(path) for path in ranking.table["path"]]


def naive(adapter, paths, prompt):
    """Score one picture after the other, with nothing kept."""
    scores = {}
    for path in paths:
        pixels = adapter.clip.preprocess([Image.open(path)])
        tokens = adapter.clip.image_token_features(pixels).half().float()
        tokens = adapter.encode(tokens, adapter.encode_prompt(prompt))
        scores[str(path)] = adapter.net.scores(tokens).item()
    return scores


def test_the_order_is_that_of_a_naive_loop(adapter, folder):
    ranking = rank(folder, STARS, model=adapter, batch_size=3)
    expected = naive(adapter, folder.rglob("*.png"), STARS)
    assert ranking.table["path"].tolist() == sorted(expected, key=expected.get, reverse=True)
    found = [expected[path] for path in ranking.table["path"]]
    np.testing.assert_allclose(ranking.table["score"], found, rtol=1e-4, atol=1e-5)
    assert ranking.table["rank"].tolist() == [*range(1, 11)]
    assert ranking.table["score"].nunique() == 10
    first = ranking.top(3)
    assert (names(first), first.total) == (names(ranking)[:3], 10)
    assert first.title == '"the number of stars": 3 of 10 pictures, highest score first'


def test_which_end_comes_first(adapter, folder):
    down, up = (rank(folder, prompt, model=adapter) for prompt in (STARS, AGES))
    assert down.table["score"].is_monotonic_decreasing
    assert (down.first, up.first) == ("highest score", "lowest score")
    assert up.table["score"].is_monotonic_increasing
    turned = rank(folder, STARS, model=adapter, reverse=True)
    assert names(turned) == names(down)[::-1]
    assert turned.first == "lowest score"


@pytest.mark.parametrize(
    ("prompt", "high"),
    [
        ("Rank from youngest to oldest person.", False),
        ("from oldest to youngest", True),
        ("Sort the prints from the latest to the earliest.", True),
        ("Sort the prints from the earliest\nto the latest.", False),
        ("FROM MOST TO FEWEST", True),
        ("Who is the oldest?", True),
        ("letters from home", True),
    ],
)
def test_from_one_end_to_the_other(prompt, high):
    assert is_descending(prompt) is high


def test_a_number_line_only_for_a_sentence_of_one_task(adapter, folder):
    counted = rank(folder, "rank by the number of red  umbrellas", model=adapter)
    assert (counted.task, counted.unit) == ("counting", "objects")
    scale = adapter.label_scalers["counting"]
    line = (scale.slope * counted.table["score"] + scale.intercept).clip(1, 20)
    np.testing.assert_allclose(counted.table["value"], line)
    dated = rank(folder, AGES, model=adapter)
    assert set(dated.table["label"]) <= {"1930s", "1940s", "1950s", "1960s", "1970s"}
    free = rank(folder, "rust", model=adapter)
    assert free.task is None
    assert "value" not in free.table
    assert any("none of those" in note for note in free.notes)
    both = {"a": ["the {thing} of it"], "b": ["the size of it"]}
    assert (match_task("the size of it", both), match_task("the age of it", both)) == (None, "a")
    assert match_task("the (size of it", both | {"c": ["the (size"]}) == "a"


def test_a_second_sentence_opens_no_sound_picture(adapter, folder, monkeypatch, encoded):
    late = folder / "late.png"
    broken_png(late)
    first = rank(folder, STARS, model=adapter)
    encoded.clear()
    opened = []
    monkeypatch.setattr(
        image_files,
        "validate_image",
        lambda path, **how: opened.append(path) or validate_image(path, **how),
    )
    second = rank(folder, AGES, model=adapter)
    assert second.skipped == first.skipped == {str(late): second.skipped[str(late)]}
    assert (opened, encoded) == ([late], [])
    # Mended, with nothing about the file changed that anybody could see.
    status = late.stat()
    Image.new("RGB", (64, 64), "red").save(late)
    content = late.read_bytes()
    monkeypatch.setattr(image_files, "file_signature", lambda file: (file,))
    late.write_bytes(b"")
    assert str(late) in rank(folder, STARS, model=adapter).skipped
    late.write_bytes(content)
    os.utime(late, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert rank(folder, STARS, model=adapter).skipped == {}


def test_features_are_kept_by_chunk(adapter, folder, monkeypatch, encoded):
    monkeypatch.setattr(scoring.chunks, "__defaults__", (3,))
    before = rank(folder, STARS, model=adapter)
    assert sum(encoded) == 10
    assert len(encoded) > 1
    encoded.clear()
    assert names(rank(folder, AGES, model=adapter)) != names(before)
    assert names(rank(folder, STARS, model=adapter)) == names(before)
    assert encoded == []
    # Another picture in the place of one: its chunk is encoded anew, and no other.
    Image.new("RGB", (64, 64), "green").save(folder / "5.png")
    after = rank(folder, STARS, model=adapter)
    assert 0 < sum(encoded) <= 6
    expected = naive(adapter, folder.rglob("*.png"), STARS)
    assert after.table["path"].tolist() == sorted(expected, key=expected.get, reverse=True)


def test_chunks_stay_where_a_file_is_added():
    files = sorted(f"{i:05d}.png" for i in range(4000))
    parts = list(scoring.chunks(files))
    assert [file for part in parts for file in part] == files
    assert max(map(len, parts)) <= 512
    more = list(scoring.chunks(sorted([*files, "00000a.png"])))
    assert sum(part not in parts for part in more) <= 2


def test_what_cannot_be_read_is_skipped_and_the_rest_is_not_lost(adapter, folder, monkeypatch):
    sound = names(rank(folder, STARS, model=adapter))
    (folder / "a_empty.png").touch()
    (folder / "b_script.jpg").write_text("<script>")
    broken_png(folder / "c_cut.png")
    Image.new("RGB", (90, 60)).save(folder / "d_cut.jpg", comment=b"\xff\xd9" * 9)
    (folder / "d_cut.jpg").write_bytes((folder / "d_cut.jpg").read_bytes()[:-20])
    Image.new("L", (400, 400)).save(folder / "f_large.png")
    Image.new("L", (900, 900)).save(folder / "g_bomb.png")
    Image.new("L", (909, 9)).save(folder / "h_long.png")
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.png").touch()
    assert validate_image(folder / "c_cut.png") == 64 * 64
    assert validate_image(folder / "d_cut.jpg") == 90 * 60
    # Pillow warns of more than this, and refuses twice as much.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ranking = rank(folder, STARS, model=adapter)
    assert names(ranking) == sound
    assert ranking.ignored == 1
    reasons = {os.path.basename(path): reason for path, reason in ranking.skipped.items()}
    for name, reason in {
        "a_empty.png": "is an empty file",
        "b_script.jpg": "is damaged",
        "c_cut.png": "cannot be decoded: ",
        "d_cut.jpg": "cannot be decoded: ",
        "f_large.png": "has 160,000 pixels, more than 100,000",
        "g_bomb.png": "has more than 200,000 pixels",
        "h_long.png": "is 909 by 9 pixels",
    }.items():
        assert reasons.pop(name).startswith(reason), name
    assert reasons == {}
    assert "7 files were skipped." in ranking.notes


def test_large_pictures_come_in_smaller_batches(adapter, folder, monkeypatch, encoded):
    monkeypatch.setattr(scoring, "MAX_PIXELS_PER_BATCH", 64 * 64 * 4)
    # Where chunks end hangs on the files' names, and so on the folder of this very run.
    monkeypatch.setattr(scoring, "chunks", lambda files: [list(files)])
    rank(folder, STARS, model=adapter)
    assert encoded == [4, 4, 2]


@linux
def test_what_is_no_file_of_pixels_and_a_folder_that_nobody_may_enter(folder, monkeypatch):
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere.png").symlink_to(folder / "gone")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    found = find_images(folder)
    assert len(found.files) == 10
    assert {os.path.basename(path): reason for path, reason in found.skipped.items()} == {
        "nowhere.png": "is a link that leads to no file",
        "pipe.png": "is no ordinary file",
    }
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find_images(folder)
    assert len(found.files) == 8
    assert "cannot be looked into" in found.skipped[str(folder / "sub")]


@linux
def test_odd_names(adapter, folder, tmp_path):
    odd = ["two\nlines.png", "[red]markup.png", "<b>&'\".png", "🌟.png", b"bad\xff.png"]
    for name in odd:
        Image.new("RGB", (70, 70), "blue").save(os.fsencode(folder) + b"/" + os.fsencode(name))
    ranking = rank(folder, STARS, model=adapter)
    assert {os.fsencode(name) for name in odd} <= {os.fsencode(name) for name in names(ranking)}
    table = pd.read_csv(ranking.to_csv(tmp_path / "out.csv") and tmp_path / "out.csv")
    assert len(table) == 15
    assert sum(path.endswith("bad\\udcff.png") for path in table["path"]) == 1
    ranking.to_json(tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert [row["path"] for row in content["images"]] == ranking.table["path"].tolist()
    assert (content["prompt"], content["total"], content["skipped"]) == (STARS, 15, {})
    assert "two\\nlines.png" in repr(ranking)
    assert "<b>" not in ranking._repr_html_()
    assert escape_nonprintable("a\x1b[31mb\u202e") == "a\\x1b[31mb\\u202e"


def test_a_list_of_files(adapter, folder, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "no_ending", "PNG")
    paths = [folder / "1.png", str(folder / "2.png"), folder / "1.png", tmp_path / "no_ending"]
    ranking = rank([*paths, folder / "gone.png", folder / "sub"], STARS, model=adapter)
    assert sorted(names(ranking)) == ["1.png", "2.png", "8.png", "9.png", "no_ending"]
    assert ranking.skipped == {str(folder / "gone.png"): "is missing"}


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ("gone", FileNotFoundError, "no folder 'gone'"),
        ("notes", ValueError, "'notes' holds no pictures .*; 1 other files"),
        ([], ValueError, "list of 0 paths"),
        ("empty", ValueError, r"none of 1 pictures .*\n  'empty/a.png' is an empty file"),
    ],
)
def test_nothing_to_order(adapter, tmp_path, monkeypatch, given, error, says):
    monkeypatch.chdir(tmp_path)
    for file in ("notes/notes.txt", "empty/a.png"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    with pytest.raises(error, match=says):
        rank(given, STARS, model=adapter)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [(" ", "prompt is empty"), ("stars " * 80, "context"), ("a <|endoftext|> b", "end token")],
)
def test_a_sentence_that_cannot_be_read(adapter, folder, prompt, says, monkeypatch):
    # It is told before any picture is looked at.
    monkeypatch.setattr(image_files, "validate_image", None)
    with pytest.raises(ValueError, match=says):
        rank(folder, prompt, model=adapter)


def test_components(adapter, folder, tmp_path):
    adapter.save_pretrained(tmp_path / "mine", {"training_data": "noise"})
    own = rank(folder, STARS, model=tmp_path / "mine", clip=adapter.clip)
    again = rank(folder, STARS, model=tmp_path / "mine", device="cpu")
    assert names(own) == names(again)
    assert own.training_data.startswith("noise, by sentences such as 'Rank by the number of")
    with pytest.raises(ValueError, match="does not fit"):
        rank(folder, STARS, model="coop-dating", clip=adapter.clip)
    CoOp(adapter.clip, adapter.tasks["dating"]).save_pretrained(tmp_path / "coop")
    with pytest.raises(ValueError, match="is a CoOp, which reads no sentences"):
        rank(folder, STARS, model=tmp_path / "coop")
    with pytest.raises(ValueError, match="batch_size = 0"):
        rank(folder, STARS, model=adapter, batch_size=0)


def test_strange_pictures_are_told(adapter, folder, monkeypatch):
    alike = rank(folder, STARS, model=adapter)
    assert alike.num_ood <= 1
    for i in range(5):
        Image.new("RGB", (64, 64), (255, 40 * i, 0)).save(folder / f"plain{i}.png")
    ranking = rank(folder, STARS, model=adapter)
    odd = set(names(ranking.top(15))) & {
        os.path.basename(row.path) for row in ranking.table.itertuples() if row.ood_score > 1
    }
    assert {f"plain{i}.png" for i in range(5)} <= odd
    assert ranking.num_ood == len(odd)
    assert "do not trust this order. It learned from " in ranking.notes[0]
    assert ranking.notes[0].startswith(f"{len(odd)} of 15 pictures are unlike")
    assert "do not trust this order" in repr(ranking)
    # An adapter without likeness claims nothing.
    monkeypatch.setattr(adapter, "ood_detectors", {})
    ranking = rank(folder, STARS, model=adapter)
    assert (ranking.num_ood, ranking.notes) == (None, [])
    assert "ood_score" not in ranking.table
