"""Tables of labels as programs and people write them."""

import unicodedata

import pandas as pd
import pytest
from PIL import Image

from ordlib import load_folder
from ordlib.data.published.list_formats import read_columns, read_list
from ordlib.tasks import OrdinalTask

FINGERS = OrdinalTask(name="fingers", unit="fingers", values=tuple(range(21)))
NAMES = ("a.png", "b.png", "c.png", "sub/x.png", "é.png")
TABLE = "path,label\na.png,1\nb.png,2\n"
DECOMPOSED = unicodedata.normalize("NFD", "é.png")
DEEP, LONG = "[" * 100_000, "x" * 1_000_000


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for number, name in enumerate(NAMES):
        (root / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (number, 0, 0)).save(root / name)
    return root


def load(images, folder, name, content, **options):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_folder(images, path, FINGERS, **options)


def one(label):
    return f"path;label\na.png;{label}\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"\xef\xbb\xbf" + TABLE.encode()),
        *[("t.csv", TABLE.replace("\n", end)) for end in ("\r", "\r\n", "\n\n", "\n,\n")],
        *[("t.csv", TABLE.replace(",", separator)) for separator in ";\t"],
        ("t.tsv", TABLE.replace(",", "\t")),
        ("t.csv", TABLE.rstrip("\n")),
        ("t.csv", "path,label,note\na.png,1\nb.png,2,x\n"),
        ("t.csv", "path,label,Label\na.png,1,7\nb.png,2,7\n"),
        ("t.csv", 'path,label\n" a.png ",1\nb.png, 2 \n'),
        ("t.csv", "sep=|\npath|label\na.png|1\nb.png|2\n"),
        ("t.csv", 'path,label,note\na.png,1,"x\ny"\nb.png,2,"say ""hi"""\n'),
        ("t.csv", "path,label,note\na.png,1," + "x" * 100_000 + "\nb.png,2,\n"),
        ("t.csv", "path,label,note\na.png,1,x\u2028y\x0bz\x85\nb.png,2,\n"),
        ("t.csv", "path,label\n./a.png,1\nsub/../b.png,2\n"),
        ("t.jsonl", '{"path": "a.png", "label": 1}\r\n\r\n{"path": "b.png", "label": "2"}'),
        ("t.jsonl", '{"path": "a.png", "label": 1, "t": "x\u2028y\x85"}\n'
                    '{"path": "b.png", "label": 2.0}\n'),
        ("t.txt", "a.png 1\nb.png\t2\n"),
        ("t.txt", "a.png\u00a01\nb.png\u20282\n"),
        ("list", "a.png 1\n\n   \nb.png 2"),
    ],
)  # fmt: skip
def test_tables_that_are_read(images, tmp_path, name, content):
    data = load(images, tmp_path, name, content)
    assert [path.name for path in data.images] == ["a.png", "b.png"]
    assert data.values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e1", 10), ("+3", 3), (" 3 ", 3), ("3.", 3), ("-0", 0), ("1.5", 1.5), ("٣", 3), ("１２", 12),
     ("3\u00a0", 3), ("3\u200f", 3), ("\ufeff3", 3), ("1e-400", 0), ("007", 7)],
)  # fmt: skip
def test_labels_that_are_numbers(images, tmp_path, text, value):
    assert load(images, tmp_path, "t.csv", one(text)).values.tolist() == [value]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        *[(text, "is not a number") for text in
          ("1,5", "0x10", "1_0", "0b11", "1d2", "True", "½", "1/2", "3%", "1 000", "1'000", "?",
           "three", "[1]", "--1", "1e", "=1+1")],
        *[(text, "is outside the ranks") for text in ("inf", "-inf", "Infinity", "1e400", "-1")],
        *[(text, "is missing") for text in
          ("", "NaN", "nan", "None", "null", "NULL", "N/A", "#N/A", "<NA>", "NaT")],
    ],
)  # fmt: skip
def test_labels_that_are_none_are_named_with_row_and_value(images, tmp_path, text, problem):
    with pytest.raises(ValueError, match=f"row 2, column 'label': label .*{problem}") as caught:
        load(images, tmp_path, "t.csv", one(text))
    assert "t.csv" in str(caught.value)
    assert repr(text) in str(caught.value)


ZIP, OLD_EXCEL = b"PK\x03\x04" + bytes(99), b"\xd0\xcf\x11\xe0" + bytes(99)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", "is empty"),
        ("t.csv", "\n \n", "is empty"),
        ("t.csv", "path,label\n", "no images below its header"),
        ("t.csv", "a.png,1\nb.png,2\n", "no column 'path'; it has 'a.png', '1'"),
        ("t.csv", "Path,Label\na.png,1\n", "no column 'path'; it has 'Path', 'Label'"),
        ("t.csv", "path,label,label\na.png,1,2\n", "duplicate column names"),
        ("t.csv", "path,label,,\na.png,1,x,y\n", "duplicate column names"),
        ("t.csv", "path,label\na.png,1\nb.png,2,3\n", "row 3: 3 fields for 2 columns"),
        ("t.csv", "path,label\na.png\n", "row 2, column 'label': label '' is missing"),
        ("t.csv", "path|label\na.png|1\n", r"a single column, 'path\|label'; separate columns"),
        ("t.csv", "path label\na.png 1\n", "a single column, 'path label'"),
        ("t.csv", "# by me\npath,label\na.png,1\n", "a single column, '# by me'.*above the header"),
        ("t.csv", 'path,label\na.png,1\n"b.png,2\n', "row 3: invalid table.*check its quotes"),
        ("t.csv", 'path,label\n"a.png,1\nb.png,2\n', "row 2: invalid table.*check its quotes"),
        ("t.csv", f"path,label\na.png,1\nb.png,{LONG}\n", "row 3: invalid table: field larger"),
        ("t.csv", "path,label\na.png\0,1\n", "line 2: has zero bytes"),
        ("t.csv", TABLE + "\0" * 99, "line 4: has zero bytes"),
        ("t.csv", TABLE.encode("utf-16"), "is UTF-16, not UTF-8 text; save the file as UTF-8"),
        ("t.csv", TABLE.encode("utf-16-le"), "line 1: has zero bytes, as UTF-16"),
        ("t.csv", TABLE.encode("utf-16-be"), "line 1: has zero bytes, as UTF-16"),
        ("t.csv", TABLE.encode("utf-32"), "is UTF-16, not UTF-8 text"),
        *[("t.csv", "path,label\né.png,1\n".encode(code), "line 2: byte .* is not UTF-8")
          for code in ("latin-1", "cp1252", "mac_roman", "cp437")],
        ("t.csv", ZIP, "is a spreadsheet or another ZIP file"),
        ("t.csv", OLD_EXCEL, "is an old Excel file"),
        ("t.csv", b"PAR1" + bytes(99), "is a Parquet file"),
        ("t.parquet", b"PAR1" + bytes(99), "is a Parquet file"),
        ("t.csv.gz", b"\x1f\x8b" + bytes(99), "is a gzip file"),
        ("t.txt", b"\x89PNG\r\n", "is an image"),
        *[(name, content, "is no spreadsheet or damaged") for name in ("t.xlsx", "t.xls", "t.ods")
          for content in (b"", TABLE)],
        ("t.jsonl", '{"path": "a.png", "label": 1, "label": 2}', "line 1: .*equal keys"),
        ("t.jsonl", '{"path": "a.png", "label": ' + DEEP, "line 1: invalid JSON"),
        ("t.jsonl", '{"path": "a.png", "label": ' + "9" * 5000 + "}", "line 1: invalid JSON"),
        ("t.jsonl", '[{"path": "a.png", "label": 1}]', "line 1: .* is no JSON object"),
        ("t.jsonl", '{"path": "a.png"}\n{"path": "b.png", "label": 1}', "line 1, .*missing"),
        *[("t.jsonl", '{"path": "a.png", "label": ' + label + "}", "line 1, column 'label'")
          for label in ("null", "NaN", "true", "[1]", '{"x": 1}')],
        ("t.json", '[{"path": "a.png", "label": 1}]', r"t\.json: is JSON; write one object"),
        ("t.txt", "a.png,1\n", "line 1, path: 'a.png,1' is missing"),
        ("t.txt", "1 a.png\n", "line 1, label: label 'a.png' is not a number"),
    ],
)  # fmt: skip
def test_tables_that_are_rejected_are_named(images, tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(images, tmp_path, name, content)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 3_000


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nowhere.png", "is missing"), ("A.PNG", "is missing"), ("~/a.png", "is missing"),
        ("%61.png", "is missing"), ("C:\\x\\a.png", "is missing"), ("sub", "is a folder"),
        (".", "is a folder"), ("../secret.png", "is outside"), ("/etc/passwd", "is outside"),
        ("https://example.com/a.png", "is a URL; download"), ("S3://b/a.png", "is a URL; download"),
        ("file:///a.png", "is a URL; download"), ("a\n.png", "is missing"), ("", "is empty"),
        ("Ã©.png", "is missing"), ("\x1b[31m.png", "is missing"), (LONG[:100_000], r"x \.\.\. x"),
    ],
)  # fmt: skip
def test_paths_that_are_no_images_are_named(images, tmp_path, path, problem):
    with pytest.raises(ValueError, match=f"row 2, column 'path': .*{problem}") as caught:
        load(images, tmp_path, "t.csv", f'path,label\n"{path}",1\n')
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 3_000


def test_paths_with_lone_surrogates_can_be_printed(images, tmp_path):
    with pytest.raises(ValueError, match="is missing") as caught:
        load(images, tmp_path, "t.jsonl", '{"path": "\\ud800.png", "label": 1}')
    str(caught.value).encode()


@pytest.mark.parametrize("spelling", ["{}/a.png", "./a.png", "sub/../a.png", "a.png"])
def test_one_path_in_two_spellings_is_an_error(images, tmp_path, spelling):
    table = f"path,label\na.png,1\n{spelling.format(images)},1\n"
    with pytest.raises(ValueError, match=r"row 3, column 'path': .*duplicates row 2"):
        load(images, tmp_path, "t.csv", table)


def test_one_name_in_two_unicode_forms_is_an_error(images, tmp_path):
    assert len(load(images, tmp_path, "t.csv", f"path,label\n{DECOMPOSED},1\n")) == 1
    with pytest.raises(ValueError, match=r"row 3, column 'path': .*duplicates row 2"):
        load(images, tmp_path, "t.csv", f"path,label\n{DECOMPOSED},1\né.png,2\n")


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_one_file_under_two_names_is_warned_of(tmp_path, link):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    getattr(tmp_path / "b.png", link)(tmp_path / "a.png")
    with pytest.warns(UserWarning, match=r"1 files have two names \(.*a\.png and .*b\.png"):
        load(tmp_path, tmp_path, "t.csv", TABLE.replace("2", "1"))
    with pytest.warns(UserWarning, match=r"a\.png: 1 and .*b\.png: 2"):
        load(tmp_path, tmp_path, "t.csv", TABLE)


def test_copies_with_other_labels_are_warned_of(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (16, 16)).save(tmp_path / name)
    with pytest.warns(UserWarning, match=r"1 images have copies .* other labels .*a\.png: 1 and"):
        load(tmp_path, tmp_path, "t.csv", TABLE)


@pytest.mark.parametrize("group", ["NaN", "nan", "None", "null", "#N/A", "n/a", "<NA>", ""])
def test_a_missing_group_or_split_is_an_error(images, tmp_path, group):
    table = f"path,label,who\na.png,1,{group}\nb.png,2,x\n"
    for option in ("group_column", "split_column"):
        with pytest.raises(ValueError, match=r"row 2, column 'who': .*is missing"):
            load(images, tmp_path, "t.csv", table, **{option: "who"})


@pytest.mark.parametrize(
    ("a", "b", "count"),
    [("é", unicodedata.normalize("NFD", "é"), 1), ("7", "7.0", 1), ("7", "07", 2),
     ("Ann", "ann", 2), (" x ", "x", 1)],
)  # fmt: skip
def test_spellings_of_groups(images, tmp_path, a, b, count):
    table = f"path,label,who\na.png,1,{a}\nb.png,2,{b}\n"
    data = load(images, tmp_path, "t.csv", table, group_column="who")
    assert len(set(data.groups)) == count


@pytest.mark.filterwarnings("ignore:.* ranks of task")
def test_spellings_of_splits(images, tmp_path):
    table = "path,label,s\na.png,1,train\nb.png,2,TRAIN\nc.png,3,{}\n"
    parts = load(images, tmp_path, "t.csv", table.format("Test"), split_column="s")
    assert {name: len(part) for name, part in parts.items()} == {"train": 2, "test": 1}
    with pytest.raises(ValueError, match="'s': 'train', 'training' all mean 'train'"):
        load(images, tmp_path, "t.csv", table.format("Training"), split_column="s")
    table = table.replace("TRAIN", "val")
    with pytest.raises(ValueError, match="'s': 'val', 'valid' all mean 'val'"):
        load(images, tmp_path, "t.csv", table.format("valid"), split_column="s")


def test_a_damaged_spreadsheet_is_named(images, tmp_path, monkeypatch):
    def damaged(file, **options):
        raise KeyError("xl/workbook.xml")

    monkeypatch.setattr(pd, "read_excel", damaged)
    with pytest.raises(ValueError, match=r"t\.xlsx: is no spreadsheet or damaged"):
        load(images, tmp_path, "t.xlsx", ZIP)


@pytest.mark.parametrize("content", [TABLE.encode("utf-16"), TABLE.encode("utf-16-le"), ZIP])
@pytest.mark.parametrize("read", [read_list, lambda file: read_columns(file, ["path", "label"])])
def test_lists_of_published_data_are_named(tmp_path, content, read):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"list\.csv.*save the file as UTF-8"):
        read(tmp_path / "list.csv")
