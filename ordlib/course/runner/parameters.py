"""What a notebook may be told from outside: checked and typed before anything runs."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

import papermill

_WORDS = {"True": True, "False": False, "None": None}
_FITS = {"int": int, "float": (int, float), "bool": bool}


def typed(text: str) -> object:
    """Read a value as ``papermill -p`` does.

    Args:
        text: what was typed.

    Returns:
        A bool, None, int or float if the text reads as one, else the text itself.

    Example:
        >>> [typed(text) for text in ("3", "1e-3", "True", "full")]
        [3, 0.001, True, 'full']
    """
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def checked(paths: Iterable[Path], texts: Mapping[str, str]) -> dict[Path, dict[str, object]]:
    """Type the parameters for every notebook, and refuse what one of them does not know.

    papermill only logs an unknown parameter and goes on, so that a typing mistake would
    cost a whole run.

    Args:
        paths: the notebooks about to run.
        texts: name and value of each parameter, as typed.

    Returns:
        For each notebook the parameters with their values. A parameter declared ``str``
        stays text, also when it reads as a number.

    Raises:
        ValueError: naming the notebook, the parameter, and the ones it knows.
    """
    return {path: _checked_for(path, texts) if texts else {} for path in paths}


def _checked_for(path: Path, texts: Mapping[str, str]) -> dict[str, object]:
    known = papermill.inspect_notebook(path)
    values = {}
    for name, text in texts.items():
        if name not in known:
            raise ValueError(f"{path.name} has no parameter {name!r}; {_known(name, known)}")
        declared = known[name]["inferred_type_name"]
        values[name] = text if declared == "str" else typed(text)
        wrong_bool = isinstance(values[name], bool) and declared != "bool"
        if declared in _FITS and (wrong_bool or not isinstance(values[name], _FITS[declared])):
            default = known[name]["default"]
            raise ValueError(
                f"{path.name}: parameter {name!r} takes a value of type {declared} "
                f"(its default is {default}), not {text!r}."
            )
    return values


def _known(name: str, known: Mapping[str, object]) -> str:
    if not known:
        return "it has no cell tagged 'parameters'."
    guess = get_close_matches(name, known, n=1)
    return f"it has {', '.join(known)}." + (f" Did you mean {guess[0]!r}?" if guess else "")
