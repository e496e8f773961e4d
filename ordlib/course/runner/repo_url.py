"""The repository's address: stated in pyproject.toml, repeated wherever a reader needs it."""

import re
import tomllib
from pathlib import Path

from ordlib.utils.cache import atomic_write

# Forms in which only this project's own address stands; what they hold is replaced everywhere.
_OWN = re.compile(
    r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+?)/blob/"
    r"|ordlib @ git\+https://github\.com/([\w.-]+/[\w.-]+?)[\"'\\]"
    r"|repository-code: *[\"']?https://github\.com/([\w.-]+/[\w.-]+?)[\"']?\s"
    r"|git clone https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?\s"
)
_FILES = ("README.md", "CITATION.cff", "environment.yml")
_NOTEBOOKS = ("source/*.py", "*.ipynb", "labs/*.ipynb")


def repository(root: str | Path) -> str:
    """Read the address, ``https://github.com/OWNER/NAME``, from a project's pyproject.toml.

    Raises:
        FileNotFoundError: no pyproject.toml there.
        ValueError: no address, or not one on GitHub, from where Colab opens notebooks.
    """
    path = Path(root) / "pyproject.toml"
    if not path.is_file():
        where = Path(root).resolve()
        raise FileNotFoundError(f"No pyproject.toml in {where}: name the folder with --root.")
    urls = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}).get("urls", {})
    found = urls.get("Repository", "").removesuffix("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", found):
        raise ValueError(
            f"{path}: [project.urls] Repository is {found!r}; it must be of the form "
            "https://github.com/OWNER/NAME, because Colab's badges open notebooks from GitHub."
        )
    return found


def rewrite(root: str | Path) -> list[Path]:
    """Bring every file in line with pyproject.toml, and return those that changed."""
    new = repository(root).removeprefix("https://github.com/")
    texts = {path: path.read_text(encoding="utf-8") for path in files(root)}
    old = sorted({place for text in texts.values() for place in _own(text)} - {new})
    anywhere = re.compile(rf"(github(?:\.com)?/)(?:{'|'.join(map(re.escape, old))})(?![\w-])")
    changed = []
    for path, text in texts.items():
        fresh = anywhere.sub(rf"\g<1>{new}", text) if old else text
        if fresh != text:
            with atomic_write(path) as temporary:
                temporary.write_text(fresh, encoding="utf-8")
            changed.append(path)
    return changed


def files(root: str | Path) -> list[Path]:
    """List the files in which the address stands."""
    root = Path(root)
    named = [root / name for name in _FILES]
    found = [path for form in _NOTEBOOKS for path in sorted((root / "notebooks").glob(form))]
    return [path for path in named if path.is_file()] + found


def _own(text: str) -> set[str]:
    return {next(filter(None, match.groups())) for match in _OWN.finditer(text)}
