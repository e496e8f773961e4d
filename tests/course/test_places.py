from pathlib import Path

import pytest

from ordlib.course.runner import paths as places

THERE = [Path(f"{name}.ipynb") for name in ("01_b", "00_a", "02_c", "10_d")]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], ["00_a", "01_b", "02_c", "10_d"]),
        (["02", "00"], ["00_a", "02_c"]),
        (["0"], ["00_a", "01_b", "02_c"]),
        (["01_b.ipynb", "01"], ["01_b"]),
        (["notebooks/source/10_d.py"], ["10_d"]),
    ],
)
def test_notebooks_are_chosen_by_prefix_in_course_order(names, chosen):
    assert [path.stem for path in places.choose(THERE, names)] == chosen


def test_a_name_that_fits_none_is_named_with_what_there_is():
    with pytest.raises(ValueError, match="begins with '3'; there are 00_a, 01_b, 02_c, 10_d"):
        places.choose(THERE, ["00", "3"])
    with pytest.raises(ValueError, match="no notebook there"):
        places.choose([], [])


def test_the_folder_is_found_from_anywhere_in_the_project(tmp_path):
    home = tmp_path.resolve() / "notebooks"
    (home / "labs").mkdir(parents=True)
    (tmp_path / "ordlib" / "course").mkdir(parents=True)
    for start in (tmp_path, home, home / "labs", tmp_path / "ordlib" / "course"):
        assert places.notebooks_folder(start) == home


def test_no_folder_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="--notebooks FOLDER"):
        places.notebooks_folder(tmp_path)
