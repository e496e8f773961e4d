"""A public set of photographs for notebook 06: hands that show zero to five fingers.

https://github.com/ardamavi/Sign-Language-Digits-Dataset (Apache-2.0; Mavi, 2020, arXiv:2011.08927):
218 students, ten digits each, 100 x 100 pixels. The digits 0 to 5 are shown by as many fingers, the
others are not, so they are left out. The file names count on from student to student and from digit
to digit: the file number less the digit names the student.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd

from ..utils.cache import atomic_write, cache_dir

URL = "https://github.com/ardamavi/Sign-Language-Digits-Dataset"
# Not the address but the commit decides what is fetched: git compares the content with it.
COMMIT = "306fffc703199e5986ab003935914b72483733ec"
FOLDER = "Dataset"  # in the repository: one folder for each digit
MAX_FINGERS = 5
FILE_NUMBER = re.compile(r"IMG_(\d+)", re.I)
TIMEOUT = 600  # seconds


def fetch_sign_digits(url: str = URL, commit: str = COMMIT) -> Path:
    """Fetch the photographs with git, unless they are there; return their folder in the cache.

    ``labels.csv`` in it has the columns path, fingers and person.

    Raises:
        OSError: git is missing, or the repository or the commit cannot be reached.
    """
    folder = cache_dir() / "datasets" / f"sign-digits-{commit[:12]}"
    if not folder.is_dir():
        with atomic_write(folder) as temporary:
            _fetch(url, commit, temporary)
            table = label_table(temporary / FOLDER)
            table.to_csv(temporary / FOLDER / "labels.csv", index=False, lineterminator="\n")
    return folder / FOLDER


def label_table(folder: Path) -> pd.DataFrame:
    """Label table of the photographs of 0 to 5 fingers in ``FOLDER/DIGIT/IMG_NUMBER.JPG``.

    Raises:
        ValueError: there are none.
    """
    rows = []
    for fingers in range(MAX_FINGERS + 1):
        for path in sorted((folder / str(fingers)).glob("*")):
            if match := FILE_NUMBER.match(path.name):
                person = int(match[1]) - fingers
                rows.append({"path": f"{fingers}/{path.name}", "fingers": fingers,
                             "person": person})  # fmt: skip
    if not rows:
        raise ValueError(f"{folder}: has no files 0/IMG_NUMBER.JPG to {MAX_FINGERS}/IMG_...")
    return pd.DataFrame(rows)


def _fetch(url: str, commit: str, folder: Path) -> None:
    """Check out one commit, without its history."""
    folder.mkdir(parents=True)
    steps = (
        ("init", "--quiet"),
        ("fetch", "--quiet", "--depth", "1", url, commit),
        ("checkout", "--quiet", "FETCH_HEAD"),
    )
    remedy = "Check the network, or download the photographs elsewhere and set `folder` to them"
    for step in steps:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *step], capture_output=True, text=True, timeout=TIMEOUT,
                env=_environment(), check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise OSError("git is not installed, and it fetches the photographs") from None
        except subprocess.TimeoutExpired:
            raise OSError(f"{url}: git {step[0]} took more than {TIMEOUT} s. {remedy}") from None
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["unknown reason"]
            raise OSError(f"{url}: git {step[0]} failed: {reason[0]}. {remedy}")
    shutil.rmtree(folder / ".git")


def _environment() -> dict[str, str]:
    """Git must not ask for a password, nor find the repository that we are in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {"GIT_TERMINAL_PROMPT": "0"}
