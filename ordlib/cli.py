"""The ``ordlib`` command. Heavy imports wait inside the commands, so that help is quick."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer.core import TyperCommand

app = typer.Typer(
    name="ordlib",
    help="Teach CLIP to count, date, age and judge: run the course, build it, look around.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COURSE_TOOLS = {"papermill", "jupytext", "nbformat", "nbconvert", "nbclient", "nbgrader"}

Names = Annotated[
    list[str] | None, typer.Argument(help="Notebooks by prefix, such as 00; none means all.")
]
Home = Annotated[
    Path | None,
    typer.Option("--notebooks", metavar="FOLDER", help="Where the notebooks are, if elsewhere."),
]
Limit = Annotated[int, typer.Option(metavar="SECONDS", help="What one cell may take.", min=1)]
Parameters = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="KEY VALUE", help="Set a parameter; repeatable."),
]
Output = Annotated[Path, typer.Option(metavar="FOLDER", help="Where everything goes.")]
File = Path | None
Jobs = Annotated[
    int | None,
    typer.Option(
        help="Notebooks at a time; 2 unless the machine has one core or under 8 GB.", min=1
    ),
]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Go on after a failure.")]


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn what a user can mend into one clear line and exit code 1."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in COURSE_TOOLS:
            raise
        _stop(
            f"This needs the course tools ({error.name} is missing): pip install 'ordlib[course]'"
        )
    except (ValueError, OSError) as error:
        _stop(str(error))


def _stop(message: str) -> None:
    typer.secho(message, fg="red", err=True)
    raise typer.Exit(1)


class _Pairs(TyperCommand):
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


@app.command(cls=_Pairs)
def run(
    names: Names = None,
    parameter: Parameters = None,
    output: Output = Path("build/course"),
    keep_going: KeepGoing = False,
    jobs: Jobs = None,
    timeout: Limit = 300,
    notebooks: Home = None,
) -> None:
    """Run notebooks with papermill and leave FOLDER/index.html to look at.

    The exit code is 1 if a notebook fails or is not run.
    """
    with _plain_errors():
        from ordlib.course import console as lines
        from ordlib.course import places, report, running

        home = notebooks or places.notebooks_folder()
        chosen = places.choose([*home.glob("*.ipynb")], names or [])
        console, outcomes, began = Console(), [], time.perf_counter()
        with lines.progress(console) as watch:
            each = running.run(
                chosen,
                output,
                values=dict(pair.split("=", 1) for pair in parameter or []),
                keep_going=keep_going,
                timeout=timeout,
                jobs=jobs,
                watch=watch,
            )
            try:
                for outcome in each:
                    outcomes.append(outcome)
                    lines.tell(console, outcome)
            finally:
                outcomes.sort(key=lambda outcome: chosen.index(outcome.source))
                seconds = time.perf_counter() - began
                index = report.write_index(outcomes, seconds, output)
        lines.summary(console, outcomes, seconds, index)
    if any(outcome.status != "ok" for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def notebooks(names: Names = None, timeout: Limit = 300, notebooks: Home = None) -> None:
    """Build and execute notebooks from their text, and refresh numbers, results and labs."""
    with _plain_errors():
        from ordlib.course import console as lines
        from ordlib.course import documents, places, sources

        home = notebooks or places.notebooks_folder()
        chosen = places.choose([*(home / "source").glob("*.py")], names or [])
        console, complaints = Console(), []
        for source in chosen:
            with lines.progress(console) as watch:
                written = sources.rebuild(
                    source, timeout=timeout, watch=lambda *at, s=source: watch(s.stem, *at)
                )
            for path in written:
                lines.say(console, f"wrote {path}")
            complaints += documents.check_notebook(home / f"{source.stem}.ipynb")
        for complaint in complaints:
            lines.say(console, complaint, "red")
    if complaints:
        raise typer.Exit(1)


@app.command()
def doctor(
    network: Annotated[bool, typer.Option(help="Also ask whether the hub can be reached.")] = True,
) -> None:
    """Say what is well here, and what to do about the rest.

    The exit code is 1 if anything is [FIX]. A missing GPU or hub is not: the course needs neither.
    """
    from ordlib.doctor import doctor as examine

    report = examine(network=network)
    typer.echo(str(report))
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def rank(
    folder: Annotated[Path, typer.Argument(help="Pictures, here and in all subfolders.")],
    by: Annotated[str, typer.Option(help='What to order by, such as "the number of stars".')],
    component: Annotated[
        str, typer.Option(metavar="NAME|FOLDER", help="Which trained adapter gives the scores.")
    ] = "ranking-adapter",
    backbone: Annotated[
        str | None, typer.Option(metavar="NAME|FOLDER", help="The CLIP that it was trained on.")
    ] = None,
    top: Annotated[int | None, typer.Option(help="Only the first so many.", min=1)] = None,
    batch_size: Annotated[int, typer.Option(help="Pictures in memory at once.", min=1)] = 64,
    reverse: Annotated[bool, typer.Option("--reverse", help="Turn the order around.")] = False,
    csv: Annotated[File, typer.Option(dir_okay=False, help="Table to write; - prints.")] = None,
    json: Annotated[File, typer.Option(dir_okay=False, help="The same as JSON.")] = None,
    gallery: Annotated[
        File, typer.Option(dir_okay=False, help="Page with the pictures, such as out.html.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 if anything had to be skipped.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="auto, cuda, mps or cpu.")] = None,
) -> None:
    """Put a folder of pictures in order by a sentence.

    A sentence "from A to B" asks for the lowest first, any other for the highest. Pictures that
    cannot be read are listed at the end.
    """
    with _plain_errors():
        from ordlib.ranking import rank as order
        from ordlib.ranking.terminal import ROWS, show

        clip = None
        if backbone:
            from ordlib.clip import load_clip

            clip = load_clip(backbone, device)
        ranking = order(
            *(folder, by),
            component=component,
            clip=clip,
            device=device,
            batch_size=batch_size,
            reverse=reverse,
        )
        shown = ranking.top(top) if top else ranking
        # Files first: whoever reads the terminal may leave early.
        for path, write in ((csv, shown.to_csv), (json, shown.to_json)):
            if path and path != Path("-"):
                write(path)
        if gallery:
            from ordlib.gallery import write_gallery

            write_gallery(shown, gallery)
        # What is printed for a program has standard output to itself.
        console = Console(stderr=Path("-") in (csv, json))
        show(console, shown, rows=top or ROWS)
        for path, write in ((csv, shown.to_csv), (json, shown.to_json)):
            if path == Path("-"):
                typer.echo(write().encode("utf-8", "backslashreplace"), nl=False)
        if gallery:
            typer.echo(f"Open {gallery.resolve()}", err=console.stderr)
    if strict and ranking.skipped:
        raise typer.Exit(1)


@app.command()
def address(
    root: Annotated[Path, typer.Option(metavar="FOLDER", help="The project's folder.")] = Path("."),
) -> None:
    """Rewrite badges, citation and set-up cells from the address in pyproject.toml."""
    with _plain_errors():
        from ordlib.course import address as addresses

        changed = addresses.rewrite(root)
        for path in changed:
            typer.echo(f"wrote {path}")
        if not changed:
            typer.echo("Every address agrees with pyproject.toml already.")


@app.command()
def audit(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(help="counting, dating, ageing, quality; none means all four."),
    ] = None,
) -> None:
    """Look for shortcuts in the tasks: what their records and plain pixels give away.

    The exit code is 1 if a recorded number orders the labels beyond the limit.
    """
    with _plain_errors():
        from ordlib.audit import audit as look
        from ordlib.world import TASKS

        found = []
        for task in tasks or TASKS:
            found.append(look(task))
            typer.echo(f"{found[-1]}\n")
    if not all(each.passed for each in found):
        raise typer.Exit(1)
