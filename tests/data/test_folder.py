import csv
import os
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from ordlib import load_folder, load_task
from ordlib.tasks import OrdinalTask

FINGERS = OrdinalTask(name="fingers", unit="fingers", values=tuple(range(6)))
ROWS = [(f"{i % 6}_{i:02d}.png", str(i % 6), f"p{i // 6}") for i in range(60)]


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Sixty pictures of ten people, six ranks each; picture i is i times 4 bright."""
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
    ("name", "delimiter", "encoding"),
    [
        ("labels.csv", ",", "utf-8"),
        ("labels.csv", ";", "utf-8-sig"),
        ("labels.tsv", "\t", "utf-8"),
    ],
)
def test_a_table(album, write, name, delimiter, encoding):
    data = load(album, write((), name, delimiter, encoding), group="person")
    assert brightness(data) == [4 * i for i in range(60)]
    assert data.values.tolist() == [i % 6 for i in range(60)]
    assert data.groups.tolist() == [person for *_, person in ROWS]
    assert data.records.columns.tolist() == ["path", "fingers", "person"]
    assert data.split == "all"


def test_rows_are_counted_as_in_the_file(album, tmp_path):
    lines = ["path,fingers", "", ROWS[0][0] + ",0", ",", ROWS[1][0] + ",17", ""]
    (tmp_path / "t.csv").write_text("\r\n".join(lines))
    with pytest.raises(ValueError, match=r"row 5, column 'fingers': label '17' is outside"):
        load(album, tmp_path / "t.csv")


def test_a_list_of_paths_with_blanks(album, tmp_path):
    Image.new("RGB", (8, 8)).save(album / "a b c.png")
    (tmp_path / "list.txt").write_text("a b c.png 3\n\n1_01.png\t1\n")
    data = load_folder(album, tmp_path / "list.txt", FINGERS)
    assert [path.name for path in data.images] == ["a b c.png", "1_01.png"]
    assert data.values.tolist() == [3, 1]
    (tmp_path / "list.txt").write_text("1_01.png 1\n2_02.png\n")
    with pytest.raises(ValueError, match=r"line 2, label: label '' is missing"):
        load_folder(album, tmp_path / "list.txt", FINGERS)


def test_class_named_subfolders(tmp_path):
    for place in ("1950s/a.png", "1930s/b.JPG", "1930s/deeper/c.png", "1930s/notes.txt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / place, format="png")
    (tmp_path / ".hidden").mkdir()
    data = load_folder(tmp_path, task="dating")
    assert data.records["path"].tolist() == ["1930s/b.JPG", "1930s/deeper/c.png", "1950s/a.png"]
    assert data.values.tolist() == [0, 0, 2]


def test_a_wrong_subfolder_is_told_once(tmp_path):
    for place in ("1950s/a.png", "1890s/b.png", "1890s/c.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / place)
    with pytest.raises(ValueError, match=r"has 1 fault:\s+subfolder: label '1890s' is no rank"):
        load_folder(tmp_path, task="dating")
    (tmp_path / "stray.png").write_bytes((tmp_path / "1950s/a.png").read_bytes())
    with pytest.raises(ValueError, match=r"1 pictures outside its subfolders \(stray.png"):
        load_folder(tmp_path, task="dating")
    (tmp_path / "1930s").mkdir()
    (tmp_path / "stray.png").unlink()
    with pytest.raises(ValueError, match=r"subfolders without pictures \(1930s\)"):
        load_folder(tmp_path, task="dating")
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match="'train', a split and not a rank"):
        load_folder(tmp_path, task="dating")


def test_every_fault_is_named_with_its_row(album, write):
    (album / "broken.png").write_bytes((album / ROWS[3][0]).read_bytes()[:40])
    table = write(
        [
            (2, "path", "nowhere.png"),
            (3, "fingers", ""),
            (4, "fingers", "nan"),
            (5, "path", "broken.png"),
            (6, "fingers", "6"),
            (7, "fingers", "lots"),
            (8, "path", ROWS[7][0]),
            (10, "path", "../secret.png"),
            (11, "person", " "),
            (12, "path", ""),
        ]
    )
    with pytest.raises(ValueError, match="has 10 faults") as caught:
        load(album, table, group="person")
    lines = str(caught.value).splitlines()
    assert str(table) in lines[0]
    expected = [
        "row 2, column 'path': 'nowhere.png' is missing",
        "row 3, column 'fingers': label '' is missing",
        "row 4, column 'fingers': label 'nan' is missing",
        "row 5, column 'path': 'broken.png' is damaged",
        "row 6, column 'fingers': label '6' is outside",
        "row 7, column 'fingers': label 'lots' is no number",
        # Row 8 was made to repeat row 9; the later one of the two is the fault.
        f"row 9, column 'path': {ROWS[7][0]!r} stands in row 8 already",
        "row 10, column 'path': '../secret.png' leaves the folder",
        "row 11, column 'person': is empty",
        "row 12, column 'path': is empty",
    ]
    for line, start in zip(lines[1:], expected, strict=True):
        assert line.strip().startswith(start)


def test_ten_faults_are_told_and_the_rest_counted(album, write):
    table = write([(row, "fingers", "x") for row in range(2, 15)])
    with pytest.raises(ValueError, match="has 13 faults") as caught:
        load(album, table)
    assert len(str(caught.value).splitlines()) == 12
    assert str(caught.value).endswith("and 3 more")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"path,fingers\n", "lists no pictures below its header"),
        (b"path,count\na.png,1\n", r"no column 'fingers'; it has 'path', 'count'"),
        (b"file,fingers\na.png,1\n", r"no column 'path'; it has 'file', 'fingers'"),
        (b"path,fingers\na.png,1\nb.png,1,2\n", "row 3 has 3 fields under 2 columns"),
        (b"path,path\na.png,1\n", "two columns of one name"),
        (b'path,fingers\n"a.png,1\n', "no proper table"),
        ("path,fingers\na.png,1\né.png,2\n".encode("latin-1"), "line 3: byte 0xe9 is not UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used(album, tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(album, tmp_path / "t.csv")


def test_missing_columns_list_those_that_exist(album, write):
    known = "it has 'path', 'fingers', 'person'"
    with pytest.raises(ValueError, match=f"no column 'persons'; {known}"):
        load(album, write(), group="persons")
    with pytest.raises(ValueError, match=f"no column 'split'; {known}"):
        load(album, write(), split_column="split")


def test_wrong_calls(album, write, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        load(tmp_path / "nowhere", None)
    with pytest.raises(NotADirectoryError, match="is a file"):
        load(write(), None)
    with pytest.raises(FileNotFoundError, match=r"no label file nothing\.csv"):
        load(album, "nothing.csv")
    with pytest.raises(TypeError, match="task="):
        load_folder(album, write())
    with pytest.raises(ValueError, match="not both"):
        load(album, write(), split_column="person", splits={"a": 1.0})
    with pytest.raises(ValueError, match="no subfolders"):
        load(album, None)


def test_labels_are_looked_for_in_the_folder_first(album, tmp_path, monkeypatch):
    (album / "own.csv").write_text("path,label\n1_01.png,1\n")
    (tmp_path / "own.csv").write_text("path,label\n2_02.png,2\n")
    monkeypatch.chdir(tmp_path)
    assert load_folder(album, "own.csv", FINGERS).values.tolist() == [1]
    (album / "own.csv").unlink()
    assert load_folder(album, "own.csv", FINGERS).values.tolist() == [2]


def test_splits_of_groups(album, write):
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}
    parts = load(album, write(), group="person", splits=shares, seed=3)
    people = [set(part.groups) for part in parts.values()]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]
    assert {name: len(part) for name, part in parts.items()} == {"train": 36, "val": 12, "test": 12}
    for name, part in parts.items():
        assert part.split == name
        assert len(set(Counter(part.ranks.tolist()).values())) == 1
        # Pictures, labels and records still belong together.
        rows = [dict(zip([r[0] for r in ROWS], ROWS, strict=True))[p.name] for p in part.images]
        assert part.records.to_numpy().tolist() == [list(row) for row in rows]
        assert part.values.tolist() == [float(row[1]) for row in rows]
        assert brightness(part) == [4 * ROWS.index(row) for row in rows]
    assert len({part.key for part in parts.values()}) == 3


def test_splits_given_by_a_column(album, write):
    split = ["test" if i < 12 else "train" for i in range(60)]
    parts = load(album, write(split=split), split_column="split", group="person")
    assert {name: len(part) for name, part in parts.items()} == {"test": 12, "train": 48}
    assert brightness(parts["test"]) == [4 * i for i in range(12)]


def test_given_splits_that_tear_a_group_are_warned_of(album, write):
    table = write(split=["test" if i < 9 else "train" for i in range(60)])
    with pytest.warns(UserWarning, match=r"1 values of 'person' .* \('p1', ...\)"):
        load(album, table, split_column="split", group="person")


def test_the_key_names_the_content(album, write):
    key = load(album, write()).key
    assert load(album, write()).key == key
    assert load(album, write([(4, "fingers", "5")])).key != key
    touched = album / ROWS[5][0]
    before = touched.stat()
    os.utime(touched, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))
    assert load(album, write()).key != key


def test_paths_from_windows_and_links(album, tmp_path):
    (tmp_path / "set" / "sub").mkdir(parents=True)
    os.symlink(album / "1_01.png", tmp_path / "set" / "sub" / "x.png")
    (tmp_path / "set" / "t.csv").write_text("path,label\nsub\\x.png,1\n")
    data = load_folder(tmp_path / "set", "t.csv", FINGERS)
    assert data[0].getpixel((0, 0)) == (4, 4, 4)


def test_named_ranks_and_floats(album, tmp_path):
    (tmp_path / "t.csv").write_text("path,label\n1_01.png,1940s\n2_02.png,1970S\n")
    assert load_folder(album, tmp_path / "t.csv", "dating").values.tolist() == [1, 4]
    (tmp_path / "t.csv").write_text("path,label\n1_01.png,3.4\n2_02.png,excellent\n")
    data = load_folder(album, tmp_path / "t.csv", load_task("quality"))
    assert data.values.tolist() == [3.4, 5]
    assert data.ranks.tolist() == [2, 4]
    assert data.values.dtype == np.float64
