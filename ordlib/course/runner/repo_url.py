"""Repository URL: keep badges, set-up cells and citation in sync with pyproject.toml."""

import json
import re
import tomllib
from pathlib import Path

from ordlib.utils.cache import atomic_write
from ordlib.utils.output import write_error
from ordlib.utils.reading import errors_name, read_file

PLACEHOLDER = "OWNER"  # of a repository that has no address yet
_NAME = r"([\w.-]+/[\w.-]+?)"
# Contexts in which only the URL of this project occurs.
_OWN_URL = re.compile(
    rf"colab\.research\.google\.com/github/{_NAME}/blob/"
    rf"|kernels/welcome\?src=https://github\.com/{_NAME}/blob/"
    rf"|mybinder\.org/v2/gh/{_NAME}/"
    rf"|codespaces\.new/{_NAME}[?)\s]"
    rf"|ordlib @ git\+https://github\.com/{_NAME}[@\"'\\]"
    rf"|repository-code: *[\"']?https://github\.com/{_NAME}[\"']?\s"
    rf"|git clone https://github\.com/{_NAME}(?:\.git)?\s"
)
# What precedes the branch or tag in badges.
_REF = r"((?:google\.com/github|src=https://github\.com)/{0}/blob/|/v2/gh/{0}/)([\w.-]+)"
# The line of the set-up cell that installs ordlib, in a source or in a notebook's JSON.
_INSTALL = re.compile(r'(except ImportError:(\n|\\n",\n *") {4}).*?(\2 {4}__import__)')
_FILES = ("README.md", "CITATION.cff", "environment.yml")
_NOTEBOOKS = ("source/*.py", "*.ipynb", "labs/*.ipynb", "solutions/*.ipynb")


def repository(root: str | Path) -> str:
    """Return the URL, ``https://github.com/OWNER/NAME``, from a project's pyproject.toml."""
    path = Path(root) / "pyproject.toml"
    if not path.is_file():
        raise FileNotFoundError(
            f"No pyproject.toml in {path.parent.resolve()}: pass --root FOLDER."
        )
    with errors_name(path):
        url = tomllib.loads(_read(path)).get("project", {}).get("urls", {}).get("Repository", "")
        url = url.removesuffix("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise ValueError(
            f"{path}: [project.urls] Repository = {url!r}: must be of the form "
            "https://github.com/OWNER/NAME, because Colab opens notebooks from GitHub."
        )
    return url


def rewrite(root: str | Path, ref: str | None = None) -> list[Path]:
    """Update the URL in all files to that of pyproject.toml; return the changed files.

    Args:
        root: project folder.
        ref: branch, tag or commit that badges open and set-up cells install; by default, the one
            that the badges have.

    Raises:
        ValueError: a URL of another form, or a ref with other characters than letters, digits,
            dots, hyphens and underscores.
    """
    if ref is not None and not re.fullmatch(r"(?!.*\.\.)\w[\w.-]*", ref):
        raise ValueError(f"--ref {ref!r}: must be a branch, tag or commit without slashes")
    name = repository(root).removeprefix("https://github.com/")
    before = {path: _read(path) for path in files(root)}
    after = _set_ref(_set_name(before, name), name, ref)
    changed = [path for path in before if before[path] != after[path]]
    for path in changed:  # Before the first of them is changed.
        if error := write_error(path):
            raise PermissionError(f"{path}: {error}; make it writable")
    for path in changed:
        with atomic_write(path) as temporary:
            temporary.write_bytes(after[path].encode())
    return changed


def install_line(name: str, ref: str) -> str:
    """Return the line of the set-up cell that installs ordlib from the repository ``name``.

    Example:
        >>> install_line("ada/ordlib", "v1")
        '%pip install -q "ordlib @ git+https://github.com/ada/ordlib@v1"'
        >>> install_line("OWNER/ordlib", "main")
        'print("Cannot install ordlib: this copy has no address. See README.md, Colab.")'
    """
    if name.startswith(f"{PLACEHOLDER}/"):
        return 'print("Cannot install ordlib: this copy has no address. See README.md, Colab.")'
    return f'%pip install -q "ordlib @ git+https://github.com/{name}@{ref}"'


def files(root: str | Path) -> list[Path]:
    """Return the files that contain the URL."""
    root = Path(root)
    named = [root / name for name in _FILES]
    notebooks = [path for glob in _NOTEBOOKS for path in sorted((root / "notebooks").glob(glob))]
    return [path for path in named if path.is_file()] + notebooks


def _read(path: Path) -> str:
    """Text of a UTF-8 file with the line ends it has."""
    content = read_file(path)
    with errors_name(path):
        return content.decode("utf-8")


def _set_name(texts: dict[Path, str], name: str) -> dict[Path, str]:
    """Replace every name under which the repository occurs."""
    matches = (match for text in texts.values() for match in _OWN_URL.finditer(text))
    old = {match[match.lastindex] for match in matches} - {name}
    if not old:
        return texts
    names = "|".join(map(re.escape, sorted(old)))
    pattern = re.compile(rf"((?:github(?:\.com)?|/gh|codespaces\.new)/)(?:{names})(?![\w-])")
    return {path: pattern.sub(rf"\g<1>{name}", text) for path, text in texts.items()}


def _set_ref(texts: dict[Path, str], name: str, ref: str | None) -> dict[Path, str]:
    """Set the branch or tag of badges, and the line of set-up cells that installs it."""
    badge = re.compile(_REF.format(re.escape(name)))
    found = (match[2] for text in texts.values() for match in badge.finditer(text))
    ref = ref or next(found, "main")
    line = install_line(name, ref)
    # Sources are valid Python: jupytext uncomments the magic.
    lines = {".ipynb": json.dumps(line)[1:-1], ".py": line.replace("%pip", "# %pip")}
    updated = {}
    for path, text in texts.items():
        text, code = badge.sub(rf"\g<1>{ref}", text), lines.get(path.suffix, line)
        updated[path] = _INSTALL.sub(lambda m, code=code: m[1] + code + m[3], text)
    return updated
