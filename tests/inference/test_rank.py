"""Ranking equals a naive loop, whatever files the folder contains."""

import json
import os
import sys
import warnings
import zlib
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_adapter import noise, small_adapter

from ordlib import ClipBackbone, CoOp, RankingAdapter, load_clip, rank
from ordlib.data import image_index
from ordlib.data.image_io import MISSING_DECODERS, inspect_image
from ordlib.inference import scoring
from ordlib.inference.direction import is_descending
from ordlib.inference.files import find_images
from ordlib.inference.html import write_gallery
from ordlib.inference.rank import match_task
from ordlib.utils.validation import escape_nonprintable

STARS = "the number of stars"
AGES = "Rank from oldest to newest photograph."
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux file names and pipes")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def adapter(tiny_clip_folder):
    return small_adapter(tiny_clip_folder)


@pytest.fixture
def folder(tmp_path):
    """Ten images, two of them in a subfolder."""
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    for i, image in enumerate(noise("counting", "folder", 10)):
        image.save(root / ("sub" if i > 7 else "") / f"{i}.png")
    return root


@pytest.fixture
def batch_sizes(monkeypatch):
    """Sizes of the batches of images that the backbone encodes."""
    sizes, encode = [], ClipBackbone.image_token_features
    monkeypatch.setattr(
        ClipBackbone,
        "image_token_features",
        lambda clip, p: sizes.append(len(p)) or encode(clip, p),
    )
    return sizes


def save_truncated_png(path):
    """Save a PNG with valid checksums and truncated image data."""
    Image.new("RGB", (64, 64), "red").save(path)
    content = path.read_bytes()
    start, end = content.index(b"IDAT") - 4, content.index(b"IEND") - 4
    data = zlib.compress(b"\0\1\2\3")
    crc = zlib.crc32(b"IDAT" + data).to_bytes(4, "big")
    chunk = len(data).to_bytes(4, "big") + b"IDAT" + data + crc
    path.write_bytes(content[:start] + chunk + content[end:])


def names(ranking):
    return [os.path.basename(path) for path in ranking.table["path"]]


def naive_scores(adapter, paths, prompt):
    """Score one image after the other, without a cache; the highest score first."""
    scores = {}
    for path in paths:
        pixels = adapter.clip.preprocess([Image.open(path)])
        tokens = adapter.clip.image_token_features(pixels).half().float()
        tokens = adapter.encode(tokens, adapter.encode_prompt(prompt))
        scores[str(path)] = adapter.net.scores(tokens).item()
    return dict(sorted(scores.items(), key=lambda item: item[1], reverse=True))


def test_rank_equals_naive_loop(adapter, folder):
    ranking = rank(folder, STARS, model=adapter, batch_size=3)
    expected = naive_scores(adapter, folder.rglob("*.png"), STARS)
    assert ranking.table["path"].tolist() == list(expected)
    scores = list(expected.values())
    np.testing.assert_allclose(ranking.table["score"], scores, rtol=1e-4, atol=1e-5)
    assert ranking.table["rank"].tolist() == [*range(1, 11)]
    assert ranking.table["score"].nunique() == 10
    top = ranking.top(3)
    assert (names(top), top.total) == (names(ranking)[:3], 10)
    assert top.title == '"the number of stars": 3 of 10 images, highest score first'


def test_rank_direction(adapter, folder):
    down, up = (rank(folder, prompt, model=adapter) for prompt in (STARS, AGES))
    assert down.table["score"].is_monotonic_decreasing
    assert up.table["score"].is_monotonic_increasing
    reverse = rank(folder, STARS, model=adapter, reverse=True)
    assert names(reverse) == names(down)[::-1]
    firsts = [ranking.first.split()[0] for ranking in (down, up, reverse)]
    assert firsts == ["highest", "lowest", "lowest"]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Rank from youngest to oldest person.", False),
        ("from oldest to youngest", True),
        ("Sort the prints from the latest to the earliest.", True),
        ("Sort the prints from the earliest\nto the latest.", False),
        ("FROM MOST TO FEWEST", True),
        ("letters from home: who is the oldest?", True),
    ],
)
def test_is_descending(prompt, expected):
    assert is_descending(prompt) is expected


def test_match_task_requires_a_single_match():
    templates = {"a": ["the {thing} of it"], "b": ["the size of it"], "c": ["the (size"]}
    assert match_task("the size of it", templates) is None
    assert match_task("the age of it", templates) == "a"
    assert match_task("the (size of it", templates) == "a"


def test_rank_returns_values_only_for_prompts_of_a_task(adapter, folder):
    counting = rank(folder, "rank by the number of red  umbrellas", model=adapter)
    assert (counting.task, counting.unit) == ("counting", "objects")
    scaler = adapter.label_scalers["counting"]
    values = (scaler.slope * counting.table["score"] + scaler.intercept).clip(1, 20)
    np.testing.assert_allclose(counting.table["value"], values)
    dating = rank(folder, AGES, model=adapter)
    assert set(dating.table["label"]) <= {"1930s", "1940s", "1950s", "1960s", "1970s"}
    other = rank(folder, "rust", model=adapter)
    assert other.task is None
    assert "value" not in other.table
    assert any("no training prompt" in warning for warning in other.warnings)


def test_rank_decodes_only_invalid_files_again(adapter, folder, monkeypatch, batch_sizes):
    bad = folder / "late.png"
    save_truncated_png(bad)
    first = rank(folder, STARS, model=adapter)
    batch_sizes.clear()
    spy = Mock(wraps=inspect_image)
    monkeypatch.setattr(image_index, "inspect_image", spy)
    second = rank(folder, AGES, model=adapter)
    assert second.skipped == first.skipped == {str(bad): second.skipped[str(bad)]}
    assert [c.args[0] for c in spy.call_args_list if c.kwargs.get("decode", True)] == [bad]
    assert batch_sizes == []
    Image.new("RGB", (64, 64), "red").save(bad)
    assert rank(folder, STARS, model=adapter).skipped == {}


def test_rank_encodes_only_new_images(adapter, folder, batch_sizes):
    before = rank(folder, STARS, model=adapter)
    assert batch_sizes == [16]  # ten images, filled up
    batch_sizes.clear()
    assert names(rank(folder, AGES, model=adapter)) != names(before)
    assert names(rank(folder, STARS, model=adapter)) == names(before)
    assert batch_sizes == []
    Image.new("RGB", (64, 64), "green").save(folder / "5.png")
    after = rank(folder, STARS, model=adapter)
    assert batch_sizes == [8]  # one image, filled up
    expected = naive_scores(adapter, folder.rglob("*.png"), STARS)
    assert after.table["path"].tolist() == list(expected)


def test_rank_scores_in_chunks(adapter, folder, monkeypatch):
    whole = rank(folder, STARS, model=adapter)
    monkeypatch.setattr(scoring, "CHUNK_SIZE", 3)
    save_truncated_png(folder / "5b.png")
    chunked = rank(folder, STARS, model=adapter)
    pd.testing.assert_frame_equal(chunked.table, whole.table)
    assert list(chunked.skipped) == [str(folder / "5b.png")]


def test_rank_without_a_cache_encodes_each_image_once_and_warns_once(
    adapter, folder, batch_sizes, monkeypatch, tmp_path
):
    """Scores and OOD scores need the tokens of the same images."""
    expected = rank(folder, STARS, model=adapter)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(scoring, "CHUNK_SIZE", 4)
    batch_sizes.clear()
    with pytest.warns(UserWarning, match=r"cannot cache the features .*set ORDLIB_CACHE") as caught:
        ranking = rank(folder, STARS, model=adapter)
    assert len(caught) == 1
    assert batch_sizes == [8, 8, 8]  # Of 4, 4 and 2 images.
    pd.testing.assert_frame_equal(ranking.table, expected.table)


def test_rank_scales_deep_images_of_a_folder_alike(adapter, tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    for level in (1000, 3000):
        Image.fromarray(np.full((64, 64), level, np.uint16)).save(folder / f"{level}.png")
    with pytest.raises(
        ValueError, match=r"1000\.png' has .* such images is 3000: set bit_depth=12 "
    ):
        rank(folder, STARS, model=adapter)
    ranking = rank(folder, STARS, model=adapter, bit_depth=12)
    gray = tmp_path / "gray"
    gray.mkdir()
    for level in (1000, 3000):
        Image.new("L", (64, 64), level * 255 // 4095).save(gray / f"{level}.png")
    reference = rank(gray, STARS, model=adapter)
    assert np.array_equal(ranking.table["score"], reference.table["score"])
    assert "cannot be read" not in write_gallery(ranking, tmp_path / "out.html").read_text("utf-8")
    for level in (1000, 3000):
        path = folder / f"{level}.png"
        path.unlink()
        deep = Image.fromarray(np.full((64, 64), level, np.uint16))
        deep.save(path.with_suffix(".tif"), tiffinfo={281: level})
    # The largest depth of the files holds for all: 1000 alone would mean ten bits.
    tagged = rank(folder, STARS, model=adapter)
    assert tagged.bit_depth == 12
    assert np.array_equal(tagged.table["score"], reference.table["score"])


def test_rank_skips_invalid_files(adapter, folder, monkeypatch):
    valid = names(rank(folder, STARS, model=adapter))
    (folder / "a_empty.png").touch()
    (folder / "b_script.jpg").write_text("<script>")
    save_truncated_png(folder / "c_cut.png")
    Image.new("RGB", (90, 60)).save(folder / "d_cut.jpg", comment=b"\xff\xd9" * 9)
    (folder / "d_cut.jpg").write_bytes((folder / "d_cut.jpg").read_bytes()[:-20])
    Image.new("L", (400, 400)).save(folder / "f_large.png")
    Image.new("L", (900, 900)).save(folder / "g_bomb.png")
    Image.new("L", (909, 9)).save(folder / "h_long.png")
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.png").touch()
    # Both pass as long as nothing is decoded.
    for name in ("c_cut.png", "d_cut.jpg"):
        assert inspect_image(folder / name, decode=False).error is None
    # Pillow warns above this limit, and raises above twice the limit.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ranking = rank(folder, STARS, model=adapter)
    assert names(ranking) == valid
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
    assert ranking.warnings[-2].startswith("1 file was ignored")
    assert ranking.warnings[-1] == "7 files were skipped."


def test_find_images_leaves_out_junk_and_names_missing_decoders(folder, monkeypatch):
    monkeypatch.setitem(MISSING_DECODERS, ".heic", "needs a decoder")
    before = find_images(folder)
    for name in ("@eaDir/a.png", "__MACOSX/a.png", "sub/.cache/a.png", "phone.HEIC", "b.jfif"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 64)).save(folder / name, format="png")
    scan = find_images(folder)
    assert set(scan.files) - set(before.files) == {str(folder / "b.jfif")}
    new = scan.skipped.items() - before.skipped.items()
    assert new == {(str(folder / "phone.HEIC"), "needs a decoder")}


@linux
def test_find_images_skips_links_pipes_and_unreadable_folders(folder, monkeypatch):
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere.png").symlink_to(folder / "gone")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    scan = find_images(folder)
    assert len(scan.files) == 10
    assert {os.path.basename(path): reason for path, reason in scan.skipped.items()} == {
        "nowhere.png": "is a broken link",
        "pipe.png": "is not a regular file",
    }
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    scan = find_images(folder)
    assert len(scan.files) == 8
    assert "cannot be opened" in scan.skipped[str(folder / "sub")]


@linux
def test_ranking_exports_unusual_names(adapter, folder, tmp_path):
    unusual = ["two\nlines.png", "[red]markup.png", "<b>&'\".png", "🌟.png", b"bad\xff.png"]
    for name in unusual:
        Image.new("RGB", (70, 70), "blue").save(os.fsencode(folder) + b"/" + os.fsencode(name))
    ranking = rank(folder, STARS, model=adapter)
    assert set(map(os.fsencode, unusual)) <= set(map(os.fsencode, names(ranking)))
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


def test_rank_accepts_a_list_of_files_and_folders(adapter, folder, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "no_extension", "PNG")
    paths = [folder / "1.png", str(folder / "2.png"), folder / "1.png", tmp_path / "no_extension"]
    ranking = rank([*paths, folder / "gone.png", folder / "sub"], STARS, model=adapter)
    assert sorted(names(ranking)) == ["1.png", "2.png", "8.png", "9.png", "no_extension"]
    assert ranking.skipped == {str(folder / "gone.png"): "is missing"}


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        ("gone", FileNotFoundError, "paths = 'gone'"),
        ("notes", ValueError, "paths = 'notes': no image files .*; 1 other files"),
        ([], ValueError, "list of 0 paths"),
        ("empty", ValueError, r"none of 1 images .*\n  'empty/a.png' is an empty file"),
    ],
    ids=["missing", "no images", "empty list", "no valid images"],
)
def test_rank_rejects_paths_without_images(adapter, tmp_path, monkeypatch, paths, error, message):
    monkeypatch.chdir(tmp_path)
    for file in ("notes/notes.txt", "empty/a.png"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    with pytest.raises(error, match=message):
        rank(paths, STARS, model=adapter)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [(" ", "prompt is empty"), ("stars " * 80, "context"), ("a <|endoftext|> b", "endoftext")],
    ids=["empty", "long", "end token"],
)
def test_rank_rejects_invalid_prompts_before_opening_images(
    adapter, folder, prompt, message, monkeypatch
):
    monkeypatch.setattr(scoring, "inspect_images", None)
    with pytest.raises(ValueError, match=message):
        rank(folder, prompt, model=adapter)


def test_rank_loads_models_and_rejects_unsuitable_ones(adapter, folder, tmp_path):
    adapter.save_pretrained(tmp_path / "mine", {"training_data": "noise"})
    loaded = rank(folder, STARS, model=tmp_path / "mine", clip=adapter.clip)
    assert names(loaded) == names(rank(folder, STARS, model=tmp_path / "mine", device="cpu"))
    squash = RankingAdapter(
        load_clip(adapter.clip.name, "cpu", resize="squash"), adapter.tasks["dating"]
    )
    squash.save_pretrained(tmp_path / "squash", {})
    assert len(rank(folder, STARS, model=tmp_path / "squash", device="cpu")) == len(loaded)
    assert loaded.training_data.startswith("noise, with prompts such as 'Rank by the number of")
    with pytest.raises(ValueError, match="does not fit"):
        rank(folder, STARS, model="coop-dating", clip=adapter.clip)
    CoOp(adapter.clip, adapter.tasks["dating"]).save_pretrained(tmp_path / "coop")
    with pytest.raises(ValueError, match="is a CoOp, which takes no prompt"):
        rank(folder, STARS, model=tmp_path / "coop")
    with pytest.raises(ValueError, match="batch_size = 0"):
        rank(folder, STARS, model=adapter, batch_size=0)


def test_rank_warns_of_ood_images(adapter, folder, monkeypatch):
    assert rank(folder, STARS, model=adapter).num_ood <= 1
    plain = {f"plain{i}.png" for i in range(5)}
    for i, name in enumerate(sorted(plain)):
        Image.new("RGB", (64, 64), (255, 40 * i, 0)).save(folder / name)
    ranking = rank(folder, STARS, model=adapter)
    ood = {os.path.basename(path) for path in ranking.table.query("ood_score > 1")["path"]}
    assert plain <= ood
    assert ranking.num_ood == len(ood)
    assert ranking.warnings[0].startswith(f"{len(ood)} of 15 images are unlike the training data")
    assert "do not trust this order. Training data: " in ranking.warnings[0]
    assert "do not trust this order" in repr(ranking)
    # Without OOD detectors.
    monkeypatch.setattr(adapter, "ood_detectors", {})
    ranking = rank(folder, STARS, model=adapter)
    assert (ranking.num_ood, ranking.warnings) == (None, [])
    assert "ood_score" not in ranking.table


def test_write_gallery_embeds_noisy_images(adapter, tmp_path):
    (tmp_path / "noisy").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noisy" / "a.png")
    ranking = rank(tmp_path / "noisy", STARS, model=adapter)
    page = write_gallery(ranking, tmp_path / "out.html").read_text("utf-8")
    assert "data:image/jpeg;base64," in page
