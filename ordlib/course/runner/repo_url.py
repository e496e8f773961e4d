"""Repository URL: keep badges, set-up cells and citation in sync with pyproject.toml."""

import re
import tomllib
from pathlib import Path

from ordlib.utils.cache import atomic_write

# Contexts in which only the URL of this project occurs.
_OWN_URL = re.compile(
    r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+?)/blob/"
    r"|ordlib @ git\+https://github\.com/([\w.-]+/[\w.-]+?)[\"'\\]"
    r"|repository-code: *[\"']?https://github\.com/([\w.-]+/[\w.-]+?)[\"']?\s"
    r"|git clone https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?\s"
)
_FILES = ("README.md", "CITATION.cff", "environment.yml")
_NOTEBOOKS = ("source/*.py", "*.ipynb", "labs/*.ipynb", "solutions/*.ipynb")


def repository(root: str | Path) -> str:
    """Return the URL, ``https://github.com/OWNER/NAME``, from a project's pyproject.toml."""
    path = Path(root) / "pyproject.toml"
    if not path.is_file():
        raise FileNotFoundError(
            f"No pyproject.toml in {path.parent.resolve()}: pass --root FOLDER."
        )
    urls = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}).get("urls", {})
    url = urls.get("Repository", "").removesuffix("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise ValueError(
            f"{path}: [project.urls] Repository = {url!r}: must be of the form "
            "https://github.com/OWNER/NAME, because Colab opens notebooks from GitHub."
        )
    return url


def rewrite(root: str | Path) -> list[Path]:
    """Update the URL in all files to that of pyproject.toml; return the changed files."""
    new = repository(root).removeprefix("https://github.com/")
    texts = {path: path.read_text(encoding="utf-8") for path in files(root)}
    matches = (match for text in texts.values() for match in _OWN_URL.finditer(text))
    old = sorted({match[match.lastindex] for match in matches} - {new})
    pattern = re.compile(rf"(github(?:\.com)?/)(?:{'|'.join(map(re.escape, old))})(?![\w-])")
    changed = []
    for path, text in texts.items():
        updated = pattern.sub(rf"\g<1>{new}", text) if old else text
        if updated != text:
            with atomic_write(path) as temporary:
                temporary.write_text(updated, encoding="utf-8")
            changed.append(path)
    return changed


def files(root: str | Path) -> list[Path]:
    """Return the files that contain the URL."""
    root = Path(root)
    named = [root / name for name in _FILES]
    notebooks = [path for glob in _NOTEBOOKS for path in sorted((root / "notebooks").glob(glob))]
    return [path for path in named if path.is_file()] + notebooks
