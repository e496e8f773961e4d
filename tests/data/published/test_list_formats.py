import pytest
from published_fixtures import write_list

from ordlib.data.published.list_formats import (
    read_columns,
    read_id_split,
    read_list,
    read_numbers,
)

INVALID = [
    (read_list, ["a.jpg 1", "b.jpg"], "line 2: 'b.jpg': must be a path, a blank or tab"),
    (read_list, [""], "contains no entries"),
    (read_id_split, ['{"train_id": []}'], "must be an object with the lists train_id, test_id"),
    (read_id_split, ["{"], "invalid JSON"),
    (lambda f: read_columns(f, ["path", "age"]), ["path,years", "a,1"], "no column 'age'; it has"),
    (lambda f: read_columns(f, ["path", "age"]), ["path age", "a b 1"], "line 2: 3 fields for 2"),
    (lambda f: read_numbers(f, "abc"), ["1 2 3", "1 2"], "line 2: 2 numbers instead of 3"),
    (lambda f: read_numbers(f, "ab"), ["1 x"], "line 1: '1 x': must be 2 numbers"),
]


@pytest.mark.parametrize(("read", "lines", "message"), INVALID)
def test_invalid_lists_name_file_and_line(tmp_path, read, lines, message):
    write_list(tmp_path, "list.txt", lines)
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path / "list.txt")
    assert "list.txt" in str(caught.value)


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_read_columns_accepts_separators_and_newlines(tmp_path, separator, newline):
    lines = [separator.join(row) for row in (("name", "age"), ("a.jpg", "3"), ("b.jpg", "4"))]
    write_list(tmp_path, "t.csv", lines, newline, last=False)
    frame = read_columns(tmp_path / "t.csv", ["name", "age"])
    assert frame[["path", "age"]].values.tolist() == [["a.jpg", "3"], ["b.jpg", "4"]]


def test_read_columns_drops_an_index_without_a_name(tmp_path):
    write_list(tmp_path, "t.txt", [",race,filename", "0,2,a.jpg"])
    frame = read_columns(tmp_path / "t.txt", ["filename"])
    assert sorted(frame) == ["origin", "path", "race"]
