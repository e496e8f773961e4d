"""The address agrees everywhere, here and after a move to another one."""

import shutil
from pathlib import Path

import pytest
from course_demo import NAME, REPOSITORY, SETUP, badge, make_project, pretend_executed

from ordlib.course.runner import repo_url as address

ROOT = Path(__file__).parents[3]
OTHER = "https://github.com/ada-lovelace/number.sense"
README = f"""# ordlib
{badge(REPOSITORY, NAME)}
    git clone {REPOSITORY}.git
    git clone {REPOSITORY}
See {REPOSITORY}/issues, [x]({REPOSITORY}),"""
NOT_OURS = "\nand not https://github.com/OWNER/ordlib-data or https://github.com/someone/ordlib.\n"


@pytest.fixture
def project(tmp_path):
    pretend_executed(make_project(tmp_path))
    (tmp_path / "README.md").write_text(README + NOT_OURS)
    (tmp_path / "CITATION.cff").write_text(f'title: x\nrepository-code: "{REPOSITORY}"\nurl: y\n')
    return tmp_path


def move(project: Path, name: str = "pyproject.toml") -> None:
    path = project / name
    path.write_text(path.read_text().replace(REPOSITORY, OTHER))


def test_a_move_rewrites_every_place_once_and_only_our_own_address(project):
    assert address.rewrite(project) == []
    move(project)
    changed = {path.relative_to(project).as_posix() for path in address.rewrite(project)}
    notebooks = {f"notebooks/{n}" for n in (f"{NAME}.ipynb", f"labs/{NAME}.ipynb")}
    source = f"notebooks/source/{NAME}.py"
    assert changed == {"README.md", "CITATION.cff", source} | notebooks
    assert address.rewrite(project) == []
    moved = README.replace("OWNER/ordlib", "ada-lovelace/number.sense")
    assert (project / "README.md").read_text() == moved + NOT_OURS
    assert SETUP.replace(REPOSITORY, OTHER) in (project / source).read_text()


def test_a_half_done_move_is_finished(project):
    move(project)
    move(project, "CITATION.cff")
    assert len(address.rewrite(project)) == 4
    assert address.rewrite(project) == []


@pytest.mark.parametrize("found", ["", "https://gitlab.com/a/b", "https://github.com/a"])
def test_an_address_that_colab_cannot_open_is_refused(tmp_path, found):
    (tmp_path / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{found}"\n')
    with pytest.raises(ValueError, match="must be of the form"):
        address.repository(tmp_path)


def test_every_notebook_here_has_its_badge_and_setup_cell():
    repository = address.repository(ROOT)
    found = sorted((ROOT / "notebooks" / "source").glob("*.py"))
    assert found, "there is no notebook: nothing was checked"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    setup = SETUP.replace(REPOSITORY, repository)
    for path in found:
        text, own = path.read_text(encoding="utf-8"), badge(repository, path.stem)
        assert own in text, path
        link = own.rpartition("(")[2].removesuffix(")")
        assert link in readme, f"the README has no Colab badge for {path.stem}"
        assert setup in text, path


def test_this_project_agrees_with_itself_and_can_move(tmp_path):
    for path in [ROOT / "pyproject.toml", *address.files(ROOT)]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    assert address.rewrite(tmp_path) == [], "run `ordlib course set-url`"
    here = address.repository(ROOT)
    path = tmp_path / "pyproject.toml"
    path.write_text(path.read_text().replace(here, OTHER))
    address.rewrite(tmp_path)
    place = here.removeprefix("https://github.com/")
    assert [path for path in address.files(tmp_path) if place in path.read_text("utf-8")] == []
