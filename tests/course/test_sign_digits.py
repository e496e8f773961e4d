"""The public photographs, fetched from a repository on this disk."""

import subprocess

import pandas as pd
import pytest

from ordlib.course.sign_digits import fetch_sign_digits, label_table


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with three photographs; its address and its only commit."""
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "repository"
    for name in ("0/IMG_1118.JPG", "5/IMG_1123.JPG", "7/IMG_1125.JPG"):
        path = folder / "Dataset" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(name.encode())
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "photographs")
    return folder.as_uri(), git(folder, "rev-parse", "HEAD")


def test_fetch_writes_photographs_and_a_table_of_fingers_and_persons(repository):
    folder = fetch_sign_digits(*repository)
    table = pd.read_csv(folder / "labels.csv")
    assert table.to_dict("list") == {
        "path": ["0/IMG_1118.JPG", "5/IMG_1123.JPG"], "fingers": [0, 5], "person": [1118, 1118],
    }  # fmt: skip
    assert (folder / table["path"][1]).read_bytes() == b"5/IMG_1123.JPG"
    assert not (folder.parent / ".git").exists()


def test_fetched_photographs_are_not_fetched_again(repository):
    _, commit = repository
    assert fetch_sign_digits(*repository) == fetch_sign_digits("file:///nowhere", commit)


def test_fetch_without_a_network_says_what_to_do(repository):
    with pytest.raises(OSError, match=r"file:///nowhere: git fetch failed: .*Check the network"):
        fetch_sign_digits("file:///nowhere", "0" * 40)


def test_fetch_refuses_another_commit(repository):
    url, _ = repository
    with pytest.raises(OSError, match="git fetch failed"):
        fetch_sign_digits(url, "1" * 40)


def test_fetch_without_git_says_so(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OSError, match="git is not installed"):
        fetch_sign_digits(*repository)


def test_label_table_without_photographs_raises(tmp_path):
    with pytest.raises(ValueError, match="has no files 0/IMG_NUMBER"):
        label_table(tmp_path)
