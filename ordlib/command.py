"""What the commands of the library have in common."""

import typer


def new_app() -> typer.Typer:
    """Return a command line that answers -h too, and tells an error without typer's frames.

    Example:
        >>> new_app().info.context_settings
        {'help_option_names': ['-h', '--help']}
    """
    return typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
