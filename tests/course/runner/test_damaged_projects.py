"""Project files of any content under ``set-url``: named, and none is changed before an error."""

import os

import pytest
from commands import fail, run

TOML = b'[project.urls]\nRepository = "https://github.com/ada/ordlib"\n'
BADGE = b"see https://colab.research.google.com/github/OWNER/ordlib/blob/main/x.ipynb "


@pytest.fixture
def project(tmp_path):
    (tmp_path / "notebooks" / "source").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_bytes(TOML)
    (tmp_path / "README.md").write_bytes(BADGE)
    return tmp_path


@pytest.mark.parametrize("content", [
    b"[project\n", b'[project]\nurls = "x"', b'project = "x"', b"[project.urls]\nRepository = 3",
    b"# \xe9\n" + TOML, b"\xef\xbb\xbf" + TOML, TOML.decode().encode("utf-16"), b"\0",
    b"[project.urls]\nRepository = []", b"[[project]]\nurls = 3",
])  # fmt: skip
def test_damaged_pyproject_is_named(project, content):
    (project / "pyproject.toml").write_bytes(content)
    fail(f"{project}/pyproject.toml", "course", "set-url", "--root", project)
    assert (project / "README.md").read_bytes() == BADGE


def pipe(path):
    os.mkfifo(path)


KINDS = {
    "Latin-1": lambda path: path.write_bytes(b"\xe9"),
    "UTF-16": lambda path: path.write_text("x", encoding="utf-16"),
    "folder": lambda path: path.mkdir(), "pipe": pipe,
    "read-only": lambda path: (path.write_bytes(BADGE), path.chmod(0o444)),
}  # fmt: skip


@pytest.mark.parametrize("name", ["notebooks/x.ipynb", "notebooks/source/x.py"])
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_damaged_file_is_named_and_no_other_is_changed(project, name, make):
    make(project / name)
    fail(f"{project}/{name}", "course", "set-url", "--root", project)
    assert (project / "README.md").read_bytes() == BADGE


def test_line_ends_are_kept(project):
    (project / "README.md").write_bytes(BADGE + b"\r\nline\r\n")
    run("course", "set-url", "--root", project)
    expected = BADGE.replace(b"OWNER", b"ada") + b"\r\nline\r\n"
    assert (project / "README.md").read_bytes() == expected


@pytest.mark.parametrize("ref", ["..", "-x", "a..b", ".", "a b", "a\n", "é/x"])
def test_refs_that_are_none_are_named(project, ref):
    fail("--ref", "course", "set-url", "--root", project, f"--ref={ref}")
    assert (project / "README.md").read_bytes() == BADGE
