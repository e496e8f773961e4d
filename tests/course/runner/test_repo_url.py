import shutil
from pathlib import Path

import nbformat
import pytest
from course_demo import INSTALL, NAME, REPOSITORY, SETUP, badge, make_project, pretend_executed

from ordlib.course.runner.repo_url import files, install_line, repository, rewrite

ROOT = Path(__file__).parents[3]
OTHER = "https://github.com/ada-lovelace/number.sense"
README = f"""# ordlib
{badge(REPOSITORY, NAME)}
    git clone {REPOSITORY}.git
    git clone {REPOSITORY}
See {REPOSITORY}/issues, [x]({REPOSITORY}),
[Kaggle](https://kaggle.com/kernels/welcome?src={REPOSITORY}/blob/main/x.ipynb)
[Binder](https://mybinder.org/v2/gh/OWNER/ordlib/main?urlpath=lab)
[Codespaces](https://codespaces.new/OWNER/ordlib)"""
NOT_OWN = "\nand not https://github.com/OWNER/ordlib-data or https://github.com/someone/ordlib.\n"


@pytest.fixture
def project(tmp_path):
    pretend_executed(make_project(tmp_path))
    (tmp_path / "README.md").write_text(README + NOT_OWN)
    (tmp_path / "CITATION.cff").write_text(f'title: x\nrepository-code: "{REPOSITORY}"\nurl: y\n')
    return tmp_path


def move(path, old=REPOSITORY):
    path.write_text(path.read_text().replace(old, OTHER))


def test_rewrite_changes_all_own_urls_and_no_others(project):
    assert rewrite(project) == []
    move(project / "pyproject.toml")
    changed = {path.relative_to(project).as_posix() for path in rewrite(project)}
    source = f"notebooks/source/{NAME}.py"
    folders = ("", "labs/", "solutions/")
    notebooks = {source, *(f"notebooks/{folder}{NAME}.ipynb" for folder in folders)}
    assert changed == {"README.md", "CITATION.cff"} | notebooks
    assert rewrite(project) == []
    moved = README.replace("OWNER/ordlib", "ada-lovelace/number.sense")
    assert (project / "README.md").read_text() == moved + NOT_OWN
    pip = '%pip install -q "ordlib @ git+https://github.com/ada-lovelace/number.sense@main"'
    assert SETUP.replace(INSTALL, f"# {pip}") in (project / source).read_text()
    setup = nbformat.read(project / f"notebooks/labs/{NAME}.ipynb", as_version=4).cells[1]
    assert setup.source == SETUP.replace(INSTALL, pip)


def test_rewrite_pins_a_ref_until_another_is_given(project):
    move(project / "pyproject.toml")
    rewrite(project, "v1.2")
    lab = project / f"notebooks/labs/{NAME}.ipynb"
    for path in (project / f"notebooks/source/{NAME}.py", lab):
        text = path.read_text()
        assert "ada-lovelace/number.sense@v1.2" in text
        assert "ada-lovelace/number.sense/blob/v1.2/notebooks" in text
        assert "main" not in text
    readme = (project / "README.md").read_text()
    assert "number.sense/v1.2?urlpath" in readme
    assert "number.sense/blob/v1.2/x.ipynb" in readme
    assert rewrite(project) == []
    assert rewrite(project, "v1.2") == []
    with pytest.raises(ValueError, match="--ref 'a b': must be"):
        rewrite(project, "a b")
    rewrite(project, "main")
    assert "number.sense@main" in nbformat.read(lab, as_version=4).cells[1].source


def test_rewrite_takes_a_placeholder_back(project):
    move(project / "pyproject.toml")
    rewrite(project)
    (project / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{REPOSITORY}"\n')
    rewrite(project)
    assert SETUP in (project / f"notebooks/source/{NAME}.py").read_text()


def test_rewrite_completes_a_partial_move(project):
    move(project / "pyproject.toml")
    move(project / "CITATION.cff")
    assert len(rewrite(project)) == 5


@pytest.mark.parametrize("url", ["", "https://gitlab.com/a/b", "https://github.com/a"])
def test_repository_rejects_urls_that_colab_cannot_open(tmp_path, url):
    (tmp_path / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{url}"\n')
    with pytest.raises(ValueError, match=f"Repository = '{url}': must be of the form"):
        repository(tmp_path)


def test_every_notebook_has_its_badge_and_the_setup_cell():
    url = repository(ROOT)
    paths = sorted((ROOT / "notebooks" / "source").glob("*.py"))
    assert paths
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in paths:
        text, own = path.read_text(encoding="utf-8"), badge(url, path.stem)
        assert own in text, path
        assert own.rpartition("(")[2].removesuffix(")") in readme, f"README has no {path.stem}"
        line = install_line(url.removeprefix("https://github.com/"), "main")
        assert SETUP.replace(INSTALL, line.replace("%pip", "# %pip")) in text, path


def test_rewrite_leaves_no_old_url_in_this_project(tmp_path):
    for path in [ROOT / "pyproject.toml", *files(ROOT)]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    assert rewrite(tmp_path) == [], "run `ordlib course set-url`"
    url = repository(ROOT)
    move(tmp_path / "pyproject.toml", url)
    rewrite(tmp_path)
    name = url.removeprefix("https://github.com/")
    assert [path for path in files(tmp_path) if name in path.read_text("utf-8")] == []
