"""Shared settings and error handling of the command line; heavy imports stay in the commands."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .output import printable, write_error
from .validation import escape_nonprintable

STDOUT = Path("-")
MIN_COLUMNS = 20
SETTINGS = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
Device = Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")]
BatchSize = Annotated[int, typer.Option(help="Batch size.", min=1)]
BitDepth = Annotated[int | None, typer.Option(help="Of images with more than 8 bits: 12 or 16.")]
COURSE_TOOLS = {"papermill", "jupytext", "nbformat", "nbconvert", "nbclient", "nbgrader"}


def input_path(text: str | Path) -> Path:
    """Parse the path of an argument; an empty one would be the current folder."""
    if not str(text):
        raise typer.BadParameter("is empty; write . for the current folder")
    return Path(text)


def output_file(text: str | Path) -> Path:
    """Parse the path of an output file; an error if it cannot be written comes before the work."""
    return _output_path(text, is_folder=False)


def output_folder(text: str | Path) -> Path:
    """Parse the path of an output folder, as `output_file`."""
    return _output_path(text, is_folder=True)


def output_stream(text: str | Path) -> Path:
    """Parse the path of an output file, or - for standard output."""
    if str(text) != "-":
        return output_file(text)
    if sys.stdout is None:
        raise typer.BadParameter("standard output is closed")
    return STDOUT


def _output_path(text: str | Path, is_folder: bool) -> Path:
    path = input_path(text)
    if str(text).endswith((os.sep, os.altsep or os.sep)) and not is_folder:
        raise typer.BadParameter(f"{escape_nonprintable(str(text))} is a folder; give a file")
    dash = f"is no file name here; write {os.path.join('.', '-')} for a file of that name"
    if error := dash if str(text) == "-" else write_error(path, is_folder):
        raise typer.BadParameter(f"{escape_nonprintable(str(text))} {error}")
    return path


# Settings of arguments and options.
INPUT = {"parser": input_path, "metavar": "PATH"}
INPUT_FOLDER = {"parser": input_path, "metavar": "FOLDER"}
OUTPUT_FILE = {"parser": output_file, "metavar": "FILE"}
OUTPUT_FOLDER = {"parser": output_folder, "metavar": "FOLDER"}
OUTPUT_STREAM = {"parser": output_stream, "metavar": "FILE"}


class Group(TyperGroup):
    """Commands that ignore a terminal width at which errors and help would show nothing."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run a command."""
        columns = os.environ.get("COLUMNS", "")
        if not columns.isdecimal() or int(columns) < MIN_COLUMNS:
            os.environ.pop("COLUMNS", None)
        return super().main(*arguments, **options)


def check_surroundings() -> None:
    """Check what every command needs.

    Raises:
        FileNotFoundError: the current folder has been deleted.
    """
    if sys.stderr is None:  # closed; progress bars and warnings would fail
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise FileNotFoundError("the current folder has been deleted: cd to another") from error
    if "ACCELERATE_MIXED_PRECISION" in os.environ and "WORLD_SIZE" not in os.environ:
        hint = "with --multi_gpu, it starts as many as --num_processes says, on CPUs too"
        typer.echo(f"accelerate launch has started one process; {hint}.", err=True)


def shorten_logs() -> None:
    """Show progress every ten seconds only if it goes to a file: each update would stay there.

    Before tqdm is imported, which reads its settings then.
    """
    if sys.stderr is not None and not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "10")


def echo(text: str, err: bool = False) -> None:
    """Print text of any origin: without control characters, and in any encoding."""
    with stdout_errors():
        stream = sys.stderr if err else sys.stdout
        typer.echo(printable(text, getattr(stream, "encoding", None) or "utf-8"), err=err)


@contextmanager
def stdout_errors() -> Iterator[None]:
    """Name standard output in the errors of writing to it, such as that of a full disk."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


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
    except BrokenPipeError:  # The reader, such as `| head`, has what it wants.
        raise
    except MemoryError:
        _exit("Not enough memory: lower the batch size, or the number of processes.")
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        is_limit = isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
        _exit(f"{error}; raise the limit, such as by ulimit -n 4096" if is_limit else str(error))


def _exit(message: str) -> None:
    typer.secho(printable(message), fg="red", err=True)
    raise typer.Exit(1)
