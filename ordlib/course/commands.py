"""``ordlib course``: run, build and check the notebooks."""

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from ..utils.command import SETTINGS, plain_errors

app = typer.Typer(help="Run, build and check the course's notebooks.", **SETTINGS)

Names = Annotated[
    list[str] | None, typer.Argument(help="Notebooks by prefix, such as 00; none means all.")
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="KEY VALUE", help="Set a parameter; repeatable."),
]
Output = Annotated[Path, typer.Option(metavar="FOLDER", help="Output folder.")]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Go on after a failure.")]
Home = Annotated[
    Path | None,
    typer.Option("--notebooks", metavar="FOLDER", help="Where the notebooks are, if elsewhere."),
]
Limit = Annotated[int, typer.Option(metavar="SECONDS", help="Cell timeout.", min=1)]
Jobs = Annotated[
    int | None,
    typer.Option(
        help="Notebooks at a time; 2 unless the machine has one core or under 8 GB.", min=1
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Argument(help="counting, dating, ageing, quality; none means all four."),
]
Root = Annotated[Path, typer.Option(metavar="FOLDER", help="The project's folder.")]


class _PairsCommand(TyperCommand):
    """Lets ``-p key value`` be typed as for papermill; typer itself knows no pairs."""

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        """Join name and value into one argument, ``-p key=value``, before typer reads them."""
        joined, rest = [], iter(args)
        for arg in rest:
            joined.append(arg)
            if arg in ("-p", "--parameter"):
                key = next(rest, "")
                joined.append(key if "=" in key else f"{key}={next(rest, '')}")
        return super().parse_args(ctx, joined)


@app.command(cls=_PairsCommand)
def run(
    names: Names = None,
    parameter: Parameters = None,
    output: Output = Path("build/course"),
    keep_going: KeepGoing = False,
    jobs: Jobs = None,
    timeout: Limit = 300,
    notebooks: Home = None,
) -> None:
    """Run notebooks with papermill and write FOLDER/index.html.

    The exit code is 1 if a notebook fails or is not run.
    """
    with plain_errors():
        from ordlib.course.runner import console
        from ordlib.course.runner.run import choose, notebooks_folder

        chosen = choose([*(notebooks or notebooks_folder()).glob("*.ipynb")], names or [])
        values = dict(pair.split("=", 1) for pair in parameter or [])
        how = {"values": values, "keep_going": keep_going, "timeout": timeout, "jobs": jobs}
        outcomes = console.show_run(chosen, output, how)
    if any(outcome.status != "ok" for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def build(names: Names = None, timeout: Limit = 300, notebooks: Home = None) -> None:
    """Build and execute notebooks from their text, and refresh numbers, results and labs."""
    with plain_errors():
        from ordlib.course.runner import console, lint
        from ordlib.course.runner.build import rebuild
        from ordlib.course.runner.run import choose, notebooks_folder

        home = notebooks or notebooks_folder()
        faults = []
        for source in choose([*(home / "source").glob("*.py")], names or []):
            console.show_build(rebuild, source, timeout)
            faults += lint.check_notebook(home / f"{source.stem}.ipynb")
        for fault in faults:
            typer.secho(fault, fg="red")
    if faults:
        raise typer.Exit(1)


@app.command()
def audit(tasks: Tasks = None) -> None:
    """Look for shortcuts in the rendered tasks: what records and plain pixels give away.

    The exit code is 1 if a recorded number orders the labels beyond the limit.
    """
    with plain_errors():
        from ordlib.synthetic import TASKS
        from ordlib.synthetic.audit import audit_shortcuts as look

        found = []
        for task in tasks or TASKS:
            found.append(look(task))
            typer.echo(f"{found[-1]}\n")
    if not all(each.passed for each in found):
        raise typer.Exit(1)


@app.command()
def set_url(root: Root = Path(".")) -> None:
    """Rewrite badges, citation and set-up cells from the repository's URL in pyproject.toml."""
    with plain_errors():
        from ordlib.course.runner import repo_url

        changed = repo_url.rewrite(root)
        for path in changed:
            typer.echo(f"wrote {path}")
        if not changed:
            typer.echo("Every URL agrees with pyproject.toml already.")
