import csv
import os
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ordlib import load_folder
from ordlib.data import image_files
from ordlib.tasks import OrdinalTask

FINGERS = OrdinalTask(name="fingers", unit="fingers", values=tuple(range(6)))
ROWS = [(f"{i % 6}_{i:02d}.png", str(i % 6), f"p{i // 6}") for i in range(60)]


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Sixty images of ten people with six ranks each; image i has gray value 4 * i."""
    root = tmp_path_factory.mktemp("album")
    for i, (name, _, _) in enumerate(ROWS):
        Image.new("RGB", (20, 16), (4 * i,) * 3).save(root / name)
    return root


@pytest.fixture
def write(album, tmp_path):
    """Write a table of the album, with some cells changed, outside of the album."""

    def write_table(changes=(), name="labels.csv", delimiter=",", encoding="utf-8", **columns):
        table = [["path", "fingers", "person", *columns]]
        table += [[*row, *(cells[i] for cells in columns.values())] for i, row in enumerate(ROWS)]
        for row, column, cell in changes:
            table[row - 1][table[0].index(column)] = cell
        path = tmp_path / name
        with path.open("w", newline="", encoding=encoding) as file:
            csv.writer(file, delimiter=delimiter).writerows(table)
        return path

    return write_table


def load(album, labels, **options):
    return load_folder(album, labels, FINGERS, label_column="fingers", **options)


def brightness(data):
    return [data[i].getpixel((0, 0))[0] for i in range(len(data))]


@pytest.mark.parametrize(
    "form", [("l.csv", ",", "utf-8"), ("l.csv", ";", "utf-8-sig"), ("l.tsv", "\t", "utf-8")]
)
def test_load_folder_table(album, write, form):
    data = load(album, write((), *form), group_column="person")
    assert brightness(data) == [4 * i for i in range(60)]
    assert data.values.tolist() == [i % 6 for i in range(60)]
    assert data.groups.tolist() == [person for *_, person in ROWS]
    assert data.metadata.columns.tolist() == ["path", "fingers", "person"]
    assert data.split == "all"


def test_read_table_numbers_rows_as_in_the_file(album, tmp_path):
    lines = ["path,fingers", "", ROWS[0][0] + ",0", ",", ROWS[1][0] + ",17", ""]
    (tmp_path / "t.csv").write_text("\r\n".join(lines))
    with pytest.raises(ValueError, match=r"row 5, column 'fingers': label '17' is outside"):
        load(album, tmp_path / "t.csv")


def test_read_list_paths_with_blanks(album, tmp_path):
    Image.new("RGB", (8, 8)).save(album / "a b c.png")
    (tmp_path / "list.txt").write_text("a b c.png 3\n\n1_01.png\t1\n")
    data = load_folder(album, tmp_path / "list.txt", FINGERS)
    assert [path.name for path in data.images] == ["a b c.png", "1_01.png"]
    assert data.values.tolist() == [3, 1]
    (tmp_path / "list.txt").write_text("1_01.png 1\n2_02.png\n")
    with pytest.raises(ValueError, match=r"line 2, label: label '' is missing"):
        load_folder(album, tmp_path / "list.txt", FINGERS)


def test_read_class_folders(tmp_path):
    for path in ("1950s/a.png", "1930s/b.JPG", "1930s/deeper/c.png", "1930s/notes.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / path, format="png")
    (tmp_path / ".hidden").mkdir()
    data = load_folder(tmp_path, task="dating")
    assert data.metadata["path"].tolist() == ["1930s/b.JPG", "1930s/deeper/c.png", "1950s/a.png"]
    assert data.values.tolist() == [0, 0, 2]


def test_read_class_folders_leaves_out_junk_and_names_the_rest(tmp_path, monkeypatch):
    monkeypatch.setitem(image_files.MISSING_DECODERS, ".heic", "needs a decoder")
    readable = ["1930s/a.png", "1930s/b.jfif", "1930s/c.jpe", "1950s/deep/d.PNM"]
    junk = ["1930s/.ipynb_checkpoints/a.png", "1950s/@eaDir/d.png", "__MACOSX/1930s/a.png"]
    junk += ["1930s/.hidden.png", "1950s/__MACOSX/x.png"]
    for path in [*readable, *junk, "1930s/phone.heic", "1950s/notes.txt", "elsewhere/e.png"]:
        file = tmp_path / ("set" if path != "elsewhere/e.png" else "") / path
        file.parent.mkdir(parents=True, exist_ok=True)
        kind = "ppm" if path.endswith("PNM") else "png" if path.endswith("png") else "jpeg"
        Image.new("RGB", (8, 8)).save(file, format=kind)
    (tmp_path / "set" / "1950s" / "linked").symlink_to(tmp_path / "elsewhere")
    left_out = r"left out:\s+'.*phone.heic' needs a decoder\s+1 files without an image suffix$"
    with pytest.warns(UserWarning, match=left_out):
        data = load_folder(tmp_path / "set", task="dating")
    assert data.metadata["path"].tolist() == [*readable, "1950s/linked/e.png"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["1890s/b.png", "1890s/c.png"], r"1 error:\s+subfolder: label '1890s' is no rank"),
        (["stray.png"], r"1 images outside .*stray\.png"),
        (["1930s/notes.txt"], r"without images \(1930s\)"),
        (["train/3/a.png"], "'train' is a split, '1950s' is not"),
    ],
)
def test_read_class_folders_errors(tmp_path, paths, message):
    for path in ["1950s/a.png", *paths]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / path, format="png")
    with pytest.raises(ValueError, match=message):
        load_folder(tmp_path, task="dating")


def test_validate_samples_reports_every_error_with_its_row(album, write):
    (album / "broken.png").write_bytes((album / ROWS[3][0]).read_bytes()[:40])
    errors = [
        (2, "path", "nowhere.png", "'nowhere.png' is missing"),
        (3, "fingers", "", "label '' is missing"),
        (4, "fingers", "nan", "label 'nan' is missing"),
        (5, "path", "broken.png", "'broken.png' is damaged"),
        (6, "fingers", "6", "label '6' is outside"),
        (7, "fingers", "lots", "label 'lots' is not a number"),
        # The later of two duplicates is the error.
        (9, "path", ROWS[6][0], f"{ROWS[6][0]!r} duplicates row 8"),
        (10, "path", "../secret.png", "'../secret.png' is outside"),
        (11, "person", " ", "is missing"),
        (12, "path", "", "is empty"),
    ]
    table = write([error[:3] for error in errors])
    with pytest.raises(ValueError, match=": 10 errors") as caught:
        load(album, table, group_column="person")
    lines = str(caught.value).splitlines()
    assert str(table) in lines[0]
    for line, (row, column, _, message) in zip(lines[1:], errors, strict=True):
        assert line.strip().startswith(f"row {row}, column {column!r}: {message}")


def test_validate_samples_shows_ten_errors_and_counts_the_rest(album, write):
    table = write([(row, "fingers", "x") for row in range(2, 15)])
    with pytest.raises(ValueError, match=": 13 errors") as caught:
        load(album, table)
    assert len(str(caught.value).splitlines()) == 12
    assert str(caught.value).endswith("and 3 more")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"path,fingers\n", "no images below its header"),
        (b"path,count\na.png,1\n", r"no column 'fingers'; it has 'path', 'count'"),
        (b"file,fingers\na.png,1\n", r"no column 'path'; it has 'file', 'fingers'"),
        (b"path,fingers\na.png,1\nb.png,1,2\n", "row 3: 3 fields for 2 columns"),
        (b"path,path\na.png,1\n", "duplicate column names: 'path', 'path'"),
        (b'path,fingers\n"a.png,1\n', "invalid table"),
        ("path,fingers\na.png,1\né.png,2\n".encode("latin-1"), "line 3: byte 0xe9 is not UTF-8"),
    ],
)
def test_read_table_errors(album, tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(album, tmp_path / "t.csv")


@pytest.mark.parametrize("option", ["group_column", "split_column"])
def test_load_folder_missing_column_lists_columns(album, write, option):
    with pytest.raises(ValueError, match=r"no column 'x'.* 'path', 'fingers', 'person'"):
        load(album, write(), **{option: "x"})


def test_load_folder_invalid_arguments(album, write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*no such folder"):
        load(tmp_path / "nowhere", None)
    with pytest.raises(NotADirectoryError, match="is a file"):
        load(write(), None)
    with pytest.raises(FileNotFoundError, match=r"labels = 'nothing\.csv'"):
        load(album, "nothing.csv")
    with pytest.raises(TypeError, match="task = None"):
        load_folder(album, write())
    with pytest.raises(ValueError, match="there are splits already"):
        load(album, write(), split_column="person", splits={"a": 1.0})
    with pytest.raises(ValueError, match="no class folders"):
        load(album, None)


def test_load_folder_label_file_in_image_folder_first(album, tmp_path, monkeypatch):
    (album / "own.csv").write_text("path,label\n1_01.png,1\n")
    (tmp_path / "own.csv").write_text("path,label\n2_02.png,2\n")
    monkeypatch.chdir(tmp_path)
    assert load_folder(album, "own.csv", FINGERS).values.tolist() == [1]
    (album / "own.csv").unlink()
    assert load_folder(album, "own.csv", FINGERS).values.tolist() == [2]


def test_load_folder_creates_grouped_splits(album, write):
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}
    parts = load(album, write(), group_column="person", splits=shares, seed=3)
    people = [person for part in parts.values() for person in set(part.groups)]
    assert len(people) == len(set(people)) == 10
    assert {name: len(part) for name, part in parts.items()} == {"train": 36, "val": 12, "test": 12}
    for name, part in parts.items():
        assert part.split == name
        assert len(set(Counter(part.ranks.tolist()).values())) == 1
        # Images, labels and metadata still belong together.
        rows = [row for path in part.images for row in ROWS if row[0] == path.name]
        assert part.metadata.to_numpy().tolist() == [list(row) for row in rows]
        assert part.values.tolist() == [float(row[1]) for row in rows]
        assert brightness(part) == [4 * ROWS.index(row) for row in rows]
    assert len({part.fingerprint for part in parts.values()}) == 3


def test_load_folder_split_column(album, write):
    split = ["test" if i < 12 else "train" for i in range(60)]
    parts = load(album, write(split=split), split_column="split", group_column="person")
    assert {name: len(part) for name, part in parts.items()} == {"test": 12, "train": 48}
    assert brightness(parts["test"]) == [4 * i for i in range(12)]
    table = write(split=["test" if i < 9 else "train" for i in range(60)])
    with pytest.warns(UserWarning, match=r"1 groups are in both 'test' and 'train' \(p1, ...\)"):
        load(album, table, split_column="split", group_column="person")


def test_load_folder_merges_numbers_and_cases_of_columns(album, write):
    table = write(
        [(i + 2, "person", person) for i, person in enumerate(["7", "7.0", "07", "8.00"])],
        split=["Train", "train", " TRAIN", "Holdout", "holdout"] * 12,
    )
    parts = load(album, table, split_column="split", group_column="person")
    assert {name: len(part) for name, part in parts.items()} == {"train": 36, "Holdout": 24}
    assert parts["train"].groups[:3].tolist() == ["7", "7", "07"]
    assert parts["Holdout"].groups[0] == "8"


def test_load_folder_first_label_of_named_ranks(album, tmp_path):
    (tmp_path / "grades.csv").write_text("path,label\n1_01.png,1.0\n2_02.png,5\n")
    data = load_folder(album, tmp_path / "grades.csv", "aesthetics", first_label=1)
    assert data.values.tolist() == [0, 4]
    with pytest.raises(ValueError, match=r"row 2, column 'label': label '1.0' is no rank .*flawed"):
        load_folder(album, tmp_path / "grades.csv", "aesthetics")


def test_load_folder_fingerprint_depends_on_content(album, write):
    key = load(album, write()).fingerprint
    assert load(album, write()).fingerprint == key
    assert load(album, write([(4, "fingers", "5")])).fingerprint != key
    touched = album / ROWS[5][0]
    before = touched.stat()
    os.utime(touched, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))
    assert load(album, write()).fingerprint != key


def test_load_folder_fingerprints_of_equal_folders_differ(album, tmp_path):
    """Names, sizes, times and labels are equal; the images are not."""
    fingerprints = set()
    for color in ("red", "blue"):
        (tmp_path / color).mkdir()
        Image.new("RGB", (8, 8), color).save(tmp_path / color / "a.bmp")
        os.utime(tmp_path / color / "a.bmp", ns=(10**18, 10**18))
        fingerprints.add(load_folder(tmp_path / color, [("a.bmp", 1)], FINGERS).fingerprint)
    assert len(fingerprints) == 2
    file = tmp_path / "red" / "a.bmp"
    file.write_bytes((tmp_path / "blue" / "a.bmp").read_bytes())
    os.utime(file, ns=(10**18, 10**18))
    assert load_folder(tmp_path / "red", [("a.bmp", 1)], FINGERS).fingerprint not in fingerprints


def test_load_folder_windows_paths_and_links(album, tmp_path):
    (tmp_path / "set" / "sub").mkdir(parents=True)
    os.symlink(album / "1_01.png", tmp_path / "set" / "sub" / "x.png")
    (tmp_path / "set" / "t.csv").write_text("path,label\nsub\\x.png,1\n")
    data = load_folder(tmp_path / "set", "t.csv", FINGERS)
    assert data[0].getpixel((0, 0)) == (4, 4, 4)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("excel.csv", "path;label;;\r\n1_01.png;1;;\r\n2_02.png;2;;\r\n;;;\r\n"),
        ("sep.csv", "sep=;\r\npath;label\r\n1_01.png;1\r\n2_02.png;2\r\n"),
        ("quoted.csv", '"sep=\t"\n\npath\tlabel\n1_01.png\t1\n2_02.png\t2\n'),
        ("blank.csv", "\n \npath,label\n1_01.png,1\n2_02.png,2\n"),
        ("list.txt", "1_01.png\t1\n2_02.png\t 2\n"),
        (
            "metadata.jsonl",
            '{"file_name": "1_01.png", "label": 1}\n\n{"file_name": "2_02.png", "label": 2.0}\n',
        ),
    ],
)
def test_load_folder_reads_tables_as_programs_write_them(album, tmp_path, name, text):
    (tmp_path / name).write_text(text, newline="")
    data = load_folder(album, tmp_path / name, FINGERS)
    assert [path.name for path in data.images] == ["1_01.png", "2_02.png"]
    assert data.values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("t.csv", "\n\nsep=;\n\npath;label\n1_01.png;9\n", "row 6, column 'label'"),
        ("m.jsonl", '\n{"file_name": "1_01.png", "label": 9}\n', "line 2, column 'label'"),
    ],
)
def test_load_folder_counts_rows_as_in_the_file(album, tmp_path, name, text, where):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{where}: label '9' is outside"):
        load_folder(album, tmp_path / name, FINGERS)


@pytest.mark.parametrize("line", ["{", "[1]", "3"])
def test_load_folder_names_line_that_is_no_json_object(album, tmp_path, line):
    (tmp_path / "m.jsonl").write_text(f'{{"file_name": "1_01.png", "label": 1}}\n{line}\n')
    with pytest.raises(ValueError, match=r"m\.jsonl, line 2: .*JSON"):
        load_folder(album, tmp_path / "m.jsonl", FINGERS)


def test_load_folder_list_with_names_of_several_words(album, tmp_path):
    ages = OrdinalTask(name="ages", unit="steps", values=("adult", "young adult", "very old"))
    (tmp_path / "list.txt").write_text("1_01.png Young Adult\n2_02.png adult\n0_00.png very old\n")
    assert load_folder(album, tmp_path / "list.txt", ages).values.tolist() == [1, 0, 2]


def test_load_folder_rows_in_memory(album):
    rows = [("1_01.png", 1), ("2_02.png", 2.0)]
    frame = pd.DataFrame(rows, columns=["path", "label"], index=[7, 7]).assign(who=[3, None])
    for labels in (rows, frame):
        assert load_folder(album, labels, FINGERS).values.tolist() == [1, 2]
    assert load_folder(album, frame, FINGERS).metadata["who"].tolist() == ["3.0", ""]
    with pytest.raises(ValueError, match=r"labels: 1 error:\s+row 1, column 'who': is missing"):
        load_folder(album, frame, FINGERS, group_column="who")


def test_load_folder_names_compare_in_nfc(album, tmp_path):
    decomposed, composed = "cafe\u0301.png", "caf\u00e9.png"
    Image.new("RGB", (8, 8)).save(tmp_path / decomposed)
    data = load_folder(tmp_path, [(composed, 2)], FINGERS)
    assert [path.name for path in data.images] == [decomposed]
    with pytest.raises(ValueError, match="duplicates row 0"):
        load_folder(tmp_path, [(composed, 2), (decomposed, 2)], FINGERS)


def test_load_folder_accepts_absolute_paths_through_a_link(album, tmp_path):
    (tmp_path / "link").symlink_to(album)
    data = load_folder(tmp_path / "link", [(str(album / "1_01.png"), 1)], FINGERS)
    assert data[0].getpixel((0, 0)) == (4, 4, 4)
    with pytest.raises(ValueError, match="is outside"):
        load_folder(tmp_path / "link", [(str(tmp_path / "x.png"), 1)], FINGERS)


def test_load_folder_class_folders_in_split_folders(album, tmp_path):
    for i, path in enumerate(["Train/3/a.png", "Train/4/b.png", "test/3/a.png"]):
        (tmp_path / path).parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / path)
    parts = load_folder(tmp_path, task=FINGERS)
    assert {name: part.values.tolist() for name, part in parts.items()} == {
        "train": [3, 4],
        "test": [3],
    }
    assert brightness(parts["test"]) == [2]
    with pytest.raises(ValueError, match="there are splits already"):
        load_folder(tmp_path, task=FINGERS, splits={"a": 0.5, "b": 0.5})


def test_load_folder_group_pattern(album):
    rows = [(name, rank) for name, rank, _ in ROWS]
    data = load_folder(album, rows, FINGERS, group_pattern=r"_(\d)\d")
    assert data.groups.tolist() == [name[2] for name, _ in rows]
    for pattern, message in {
        r"_\d": "no capture group",
        r"(": "invalid regular expression",
        r"_(3\d)": r"does not match the path '0_00.png'",
    }.items():
        with pytest.raises(ValueError, match=message):
            load_folder(album, rows, FINGERS, group_pattern=pattern)
    with pytest.raises(ValueError, match="exclude each other"):
        load_folder(album, rows, FINGERS, group_pattern="(x)", group_column="x")


def test_load_folder_split_pattern(album):
    rows = [(name, rank) for name, rank, _ in ROWS]
    parts = load_folder(album, rows, FINGERS, split_pattern=r"_(\d)\d", group_pattern=r"_\d(\d)")
    assert {name: [p.name[2] for p in part.images] for name, part in parts.items()} == {
        digit: [name[2] for name, _ in rows if name[2] == digit] for digit in parts
    }
    with pytest.raises(ValueError, match=r"split_pattern = .*does not match the path '0_00.png'"):
        load_folder(album, rows, FINGERS, split_pattern=r"_(3\d)")
    with pytest.raises(ValueError, match="split_column and split_pattern exclude each other"):
        load_folder(album, rows, FINGERS, split_pattern="(x)", split_column="x")
    with pytest.raises(ValueError, match="there are splits already"):
        load_folder(album, rows, FINGERS, split_pattern=r"_(\d)", splits={"a": 0.5, "b": 0.5})


def test_load_folder_reads_excel_or_names_the_missing_package(album, tmp_path, monkeypatch):
    table = pd.DataFrame({"path": ["1_01.png", None, "2_02.png"], "label": ["1", None, "2.0"]})
    monkeypatch.setattr(pd, "read_excel", lambda file, **options: table.fillna(""))
    data = load_folder(album, _touch(tmp_path / "t.xlsx"), FINGERS)
    assert data.values.tolist() == [1, 2]

    def missing(file, **options):
        raise ImportError("Missing optional dependency 'openpyxl'")

    monkeypatch.setattr(pd, "read_excel", missing)
    with pytest.raises(ImportError, match=r"t\.xlsx: .*'openpyxl'; or save the table as CSV"):
        load_folder(album, tmp_path / "t.xlsx", FINGERS)


def _touch(path):
    path.touch()
    return path


def test_load_folder_scales_deep_images_alike(tmp_path):
    def save(names, levels, **options):
        for name, level in zip(names, levels, strict=True):
            Image.fromarray(np.full((8, 8), level, np.uint16)).save(tmp_path / name, **options)

    rows = [("a.png", 1), ("b.png", 2)]
    save(["a.png", "b.png"], [1000, 3000])
    message = r"row 0, .*'a\.png' \(and 1 more\) .*such images is 3000: set .*=12 .* or .*=16 "
    for check in ("decode", "header"):
        with pytest.raises(ValueError, match=message):
            load_folder(tmp_path, rows, FINGERS, check=check)
    with pytest.raises(
        ValueError, match=r"row 1, .*b\.png' has values from 3000 to 3000, .*bit_depth=11"
    ):
        load_folder(tmp_path, rows, FINGERS, bit_depth=11)
    data = load_folder(tmp_path, rows, FINGERS, bit_depth=12)
    assert brightness(data) == brightness(data.subset([0, 1])) == [62, 186]
    rows = [("a.tif", 1), ("b.tif", 2)]
    for name, level in (("a.tif", 1000), ("b.tif", 3000)):
        # The largest value of each image, which alone would mean ten bits for the first.
        save([name], [level], tiffinfo={281: level})
    data = load_folder(tmp_path, rows, FINGERS)
    assert (data.bit_depth, brightness(data)) == (12, [62, 186])
    assert load_folder(tmp_path, rows, FINGERS, bit_depth=16).bit_depth == 16


def test_load_folder_checks_by_decoding_or_by_header(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        Image.effect_noise((64, 64), 90).save(tmp_path / name)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:-500])
    rows = [("a.jpg", 1), ("b.jpg", 2)]
    with pytest.raises(ValueError, match=r"row 1, .*'b\.jpg' cannot be decoded"):
        load_folder(tmp_path, rows, FINGERS)
    data = load_folder(tmp_path, rows, FINGERS, check="header")
    with pytest.raises(
        OSError, match=r"fingers/all: 1 image cannot be read:\n .*b\.jpg' cannot be decoded"
    ):
        data.check_files()
    data.subset([0]).check_files()
    with pytest.raises(ValueError, match="check = 'none'"):
        load_folder(tmp_path, rows, FINGERS, check="none")


@pytest.mark.parametrize(
    ("splits", "sizes"),
    [((0.5, 0.5), {"train": 5, "test": 5}), ([0.6, 0.2, 0.2], {"train": 6, "val": 2, "test": 2})],
)
def test_load_folder_takes_fractions_without_names(tmp_path, splits, sizes):
    rows = []
    for i in range(10):
        Image.new("RGB", (64, 64), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
        rows.append((f"{i}.png", 1))
    parts = load_folder(tmp_path, rows, "counting", splits=splits)
    assert {name: len(part) for name, part in parts.items()} == sizes
    for wrong in (0.5, "half", (1.0,), (0.25,) * 4):
        with pytest.raises(ValueError, match=r"splits = .*: must be a dict of fractions"):
            load_folder(tmp_path, rows, "counting", splits=wrong)
