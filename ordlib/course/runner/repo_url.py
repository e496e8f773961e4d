"""The repository's address: stated in pyproject.toml, repeated wherever a reader needs it."""

import re
import tomllib
from pathlib import Path

from ordlib.utils.cache import replacing

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
    """Read the address from pyproject.toml.

    Args:
        root: the project's folder.

    Returns:
        ``https://github.com/OWNER/NAME``.

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


def badge(repository: str, name: str) -> str:
    """Return the Markdown of a notebook's Colab badge.

    Args:
        repository: ``https://github.com/OWNER/NAME``.
        name: the notebook's path below ``notebooks/`` without suffix.

    Example:
        >>> badge("https://github.com/OWNER/ordlib", "00_start_here").split("(")[-1]
        'https://colab.research.google.com/github/OWNER/ordlib/blob/main/notebooks/00_start_here.ipynb)'
    """
    colab = "https://colab.research.google.com"
    place = repository.removeprefix("https://github.com")
    link = f"{colab}/github{place}/blob/main/notebooks/{name}.ipynb"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({link})"


def setup_cell(repository: str) -> str:
    """Return the code of the set-up cell, the same in every notebook.

    Args:
        repository: ``https://github.com/OWNER/NAME``.

    Example:
        >>> len(setup_cell("https://github.com/OWNER/ordlib").splitlines())
        6
    """
    return (
        "# Set-up, the same in every notebook: on Colab it installs ordlib first.\n"
        "try:\n"
        "    from ordlib.course import notebook\n"
        "except ModuleNotFoundError:\n"
        f'    %pip install -q "ordlib @ git+{repository}"\n'
        "    from ordlib.course import notebook"
    )


def rewrite(root: str | Path) -> list[Path]:
    """Bring every file in line with pyproject.toml; a second call changes nothing.

    Args:
        root: the project's folder.

    Returns:
        The files that changed.
    """
    new = repository(root).removeprefix("https://github.com/")
    texts = {path: path.read_text(encoding="utf-8") for path in files(root)}
    old = {place for text in texts.values() for place in _own(text)} - {new}
    changed = []
    for path, text in texts.items():
        fresh = text
        for place in sorted(old):
            stands = rf"(github(?:\.com)?/){re.escape(place)}(?![\w-])"
            fresh = re.sub(stands, rf"\g<1>{new}", fresh)
        if fresh != text:
            with replacing(path) as temporary:
                temporary.write_text(fresh, encoding="utf-8")
            changed.append(path)
    return changed


def others(root: str | Path) -> list[str]:
    """List the addresses of ours that do not agree with pyproject.toml.

    Args:
        root: the project's folder.

    Returns:
        One message for each file and address; empty if all agree.
    """
    new = repository(root).removeprefix("https://github.com/")
    return [
        f"{path}: {place} instead of {new}; run `ordlib course set-url`"
        for path in files(root)
        for place in sorted(_own(path.read_text(encoding="utf-8")) - {new})
    ]


def files(root: str | Path) -> list[Path]:
    """List the files in which the address stands.

    Args:
        root: the project's folder.
    """
    root = Path(root)
    named = [root / name for name in _FILES]
    found = [path for form in _NOTEBOOKS for path in sorted((root / "notebooks").glob(form))]
    return [path for path in named if path.is_file()] + found


def _own(text: str) -> set[str]:
    return {next(filter(None, match.groups())) for match in _OWN.finditer(text)}
