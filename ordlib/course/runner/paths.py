"""Where the notebooks are, and which of them were meant."""

from collections.abc import Sequence
from pathlib import Path


def notebooks_folder(start: str | Path = ".") -> Path:
    """Find the course's ``notebooks`` folder from anywhere inside the project.

    Args:
        start: folder to start from; its parents are searched too.

    Returns:
        The absolute path of the nearest folder named ``notebooks``.

    Raises:
        FileNotFoundError: when there is none.

    Example:
        >>> import tempfile
        >>> project = Path(tempfile.mkdtemp()).resolve()
        >>> (project / "notebooks" / "labs").mkdir(parents=True)
        >>> notebooks_folder(project / "notebooks" / "labs") == project / "notebooks"
        True
    """
    start = Path(start).resolve()
    for folder in [start, *start.parents]:
        if folder.name == "notebooks":
            return folder
        if (folder / "notebooks").is_dir():
            return folder / "notebooks"
    raise FileNotFoundError(
        f"No folder named 'notebooks' in {start} or above it: "
        "go to the project's folder, or name it with --notebooks FOLDER."
    )


def choose(paths: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """Pick the notebooks that were named, by prefix or in full, in course order.

    Args:
        paths: what there is.
        names: prefixes of file names, such as ``00`` or ``00_start_here.ipynb``; none
            means all.

    Returns:
        The chosen paths, sorted by name, each once.

    Raises:
        ValueError: when a name fits none, or there is nothing to choose from.

    Example:
        >>> there = [Path("01_number_sense.ipynb"), Path("00_start_here.ipynb")]
        >>> [path.name for path in choose(there, ["00"])]
        ['00_start_here.ipynb']
        >>> choose(there, ["7"])
        Traceback (most recent call last):
        ValueError: No notebook begins with '7'; there are 00_start_here, 01_number_sense.
    """
    paths = sorted(paths, key=lambda path: path.name)
    if not paths:
        raise ValueError("There is no notebook there: name the folder with --notebooks FOLDER.")
    prefixes = [Path(name).name.removesuffix(".ipynb").removesuffix(".py") for name in names]
    for prefix in prefixes:
        if not any(path.stem.startswith(prefix) for path in paths):
            there = ", ".join(path.stem for path in paths)
            raise ValueError(f"No notebook begins with {prefix!r}; there are {there}.")
    return [path for path in paths if not prefixes or path.stem.startswith(tuple(prefixes))]
