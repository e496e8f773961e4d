"""The address agrees everywhere, here and after a move to another one."""

import shutil
from pathlib import Path

import pytest
from course_demo import NAME, REPOSITORY, make_project, pretend_executed

from ordlib.course.runner import repo_url as address

ROOT = Path(__file__).parents[2]
OTHER = "https://github.com/ada-lovelace/number.sense"
README = """# ordlib
{badge}
    git clone https://github.com/OWNER/ordlib.git
    git clone https://github.com/OWNER/ordlib
See https://github.com/OWNER/ordlib/issues, [x](https://github.com/OWNER/ordlib),
and not https://github.com/OWNER/ordlib-data or https://github.com/someone/ordlib.
"""


@pytest.fixture
def project(tmp_path):
    home = make_project(tmp_path)
    pretend_executed(home)
    (tmp_path / "README.md").write_text(README.format(badge=address.badge(REPOSITORY, NAME)))
    (tmp_path / "CITATION.cff").write_text(f'title: x\nrepository-code: "{REPOSITORY}"\nurl: y\n')
    return tmp_path


def move(project: Path) -> None:
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace(REPOSITORY, OTHER))


def test_a_move_rewrites_every_place_once(project):
    assert address.rewrite(project) == []
    assert address.others(project) == []
    move(project)
    assert len(address.others(project)) == 5
    changed = {path.relative_to(project).as_posix() for path in address.rewrite(project)}
    notebooks = {f"notebooks/{n}" for n in (f"{NAME}.ipynb", f"labs/{NAME}.ipynb")}
    assert changed == {"README.md", "CITATION.cff", f"notebooks/source/{NAME}.py"} | notebooks
    assert address.others(project) == []
    assert address.rewrite(project) == []


def test_only_our_own_address_moves(project):
    move(project)
    address.rewrite(project)
    readme = (project / "README.md").read_text()
    assert readme == README.format(badge=address.badge(OTHER, NAME)).replace(
        "OWNER/ordlib", "ada-lovelace/number.sense"
    ).replace("ada-lovelace/number.sense-data", "OWNER/ordlib-data")
    source = (project / "notebooks" / "source" / f"{NAME}.py").read_text()
    assert address.setup_cell(OTHER).replace("    %pip", "    # %pip") in source


def test_a_half_done_move_is_finished(project):
    move(project)
    cff = project / "CITATION.cff"
    cff.write_text(cff.read_text().replace(REPOSITORY, OTHER))
    assert address.rewrite(project)
    assert address.others(project) == []


@pytest.mark.parametrize("found", ["", "https://gitlab.com/a/b", "https://github.com/a"])
def test_an_address_that_colab_cannot_open_is_refused(tmp_path, found):
    (tmp_path / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{found}"\n')
    with pytest.raises(ValueError, match="must be of the form"):
        address.repository(tmp_path)


def test_no_project_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No pyproject\.toml"):
        address.repository(tmp_path)


def test_this_project_agrees_with_itself():
    assert address.others(ROOT) == []


def test_every_notebook_here_has_its_badge_and_setup_cell():
    repository = address.repository(ROOT)
    found = sorted((ROOT / "notebooks" / "source").glob("*.py"))
    assert found, "there is no notebook: nothing was checked"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    setup = address.setup_cell(repository).replace("    %pip", "    # %pip")
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert address.badge(repository, path.stem) in text, path
        link = address.badge(repository, path.stem).rpartition("(")[2].removesuffix(")")
        assert link in readme, f"the README has no Colab badge for {path.stem}"
        assert setup in text, path


def test_this_project_can_move(tmp_path):
    for path in [ROOT / "pyproject.toml", *address.files(ROOT)]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    move(tmp_path)
    address.rewrite(tmp_path)
    left = [path for path in address.files(tmp_path) if "OWNER/ordlib" in path.read_text("utf-8")]
    assert left == []
