"""Shared settings and error handling of the command line; heavy imports stay in the commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

SETTINGS = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
File = Path | None
Device = Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")]
BatchSize = Annotated[int, typer.Option(help="Batch size.", min=1)]
BitDepth = Annotated[int | None, typer.Option(help="Of images with more than 8 bits: 12 or 16.")]
COURSE_TOOLS = {"papermill", "jupytext", "nbformat", "nbconvert", "nbclient", "nbgrader"}


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print user errors as one red line and exit with code 1."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in COURSE_TOOLS:
            raise
        _exit(
            f"This needs the course tools ({error.name} is missing): pip install 'ordlib[course]'"
        )
    except KeyboardInterrupt:
        typer.secho("Interrupted; checkpoints and caches are kept.", err=True)
        raise typer.Exit(130) from None
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        _exit(str(error))


def _exit(message: str) -> None:
    typer.secho(message, fg="red", err=True)
    raise typer.Exit(1)
