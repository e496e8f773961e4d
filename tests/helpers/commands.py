"""Commands of ordlib, run in this process."""

import shlex
from unittest.mock import patch

from click.testing import Result
from typer import testing

from ordlib.cli import app

# Built once: a tenth of a short command's time, of which there are hundreds.
COMMAND = testing._get_command(app)


class Parsed(Exception):
    """Raised in place of the work of a command."""


def invoke(*words: object, color: bool = False) -> Result:
    with patch.object(testing, "_get_command", return_value=COMMAND):
        return testing.CliRunner().invoke(app, [*map(str, words)], color=color)


def run(*words: object) -> Result:
    """Run a command that has to succeed."""
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result


def fail(message: str, *words: object) -> str:
    """Run a command that has to fail with a message, and return its output."""
    result = invoke(*words)
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert message in result.stderr
    return result.output.strip()


def parse(line: str, module: object, function: str) -> tuple[tuple, dict]:
    """Return the arguments with which a command line calls a function of a module."""
    program, *words = shlex.split(line)
    assert program == "ordlib"
    with patch.object(module, function, side_effect=Parsed) as mock:
        result = invoke(*words)
    assert isinstance(result.exception, Parsed), result.output
    return mock.call_args.args, mock.call_args.kwargs
