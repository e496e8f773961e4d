"""Commands of ``ordlib course``: run and build the notebooks, labs, slides, data and URL."""

import os
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from ..utils.command import (
    INPUT,
    INPUT_FOLDER,
    OUTPUT_FILE,
    OUTPUT_FOLDER,
    SETTINGS,
    echo,
    plain_errors,
)
from ..utils.output import check_distinct
from ..utils.validation import check_choice

app = typer.Typer(help="Run, build and check the course's notebooks.", **SETTINGS)

Names = Annotated[
    list[str] | None, typer.Argument(help="Notebooks by prefix, such as 00; none means all.")
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="KEY VALUE", help="Set a parameter; repeatable."),
]
Output = Annotated[Path, typer.Option(help="Output folder.", **OUTPUT_FOLDER)]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Continue after a failure.")]
Home = Annotated[
    Path | None, typer.Option("--notebooks", help="Folder of the notebooks.", **INPUT_FOLDER)
]
Limit = Annotated[int, typer.Option(metavar="SECONDS", help="Cell timeout.", min=1)]
Jobs = Annotated[
    int | None,
    typer.Option(help="Notebooks in parallel; 1 below two cores or 8 GB, else 2.", min=1),
]
Tasks = Annotated[
    list[str] | None, typer.Argument(help="counting, dating, ageing, quality; none means all four.")
]
Root = Annotated[Path, typer.Option(help="Project folder.", **INPUT_FOLDER)]
Ref = Annotated[str | None, typer.Option(help="Branch, tag or commit to open and install.")]


class _PairsCommand(TyperCommand):
    """Command with ``-p KEY VALUE`` as in papermill; typer has no options with two values."""

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        """Join ``-p key value`` and ``--parameter=key value`` into ``-p key=value``."""
        joined, remaining = [], iter(args)
        for arg in remaining:
            option, equals, key = arg.partition("=")
            if option not in ("-p", "--parameter"):
                joined.append(arg)
                continue
            key = key if equals else next(remaining, "")
            if "=" not in key:
                value = next(remaining, None)
                if value is None:
                    ctx.fail(f"{option} {key}: needs a value, as in {option} {key} 3")
                key = f"{key}={value}"
            joined += ["-p", key]
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

    Exits with code 1 if a notebook fails or is skipped.
    """
    with plain_errors():
        from ordlib.course.runner import console
        from ordlib.course.runner.run import notebooks_folder, select_notebooks

        paths = (notebooks or notebooks_folder()).glob("*.ipynb")
        values = dict(pair.split("=", 1) for pair in parameter or [])
        options = {"values": values, "keep_going": keep_going, "timeout": timeout, "jobs": jobs}
        runs = console.show_run(select_notebooks([*paths], names or []), output, options)
    if any(run.status != "ok" for run in runs):
        raise typer.Exit(1)


@app.command("build")
def build_notebooks(names: Names = None, timeout: Limit = 300, notebooks: Home = None) -> None:
    """Build and execute notebooks from their sources; update inline results and labs."""
    with plain_errors():
        from ordlib.course.grading.assignments import make_assignment
        from ordlib.course.runner import console, lint
        from ordlib.course.runner.build import build, rebuild
        from ordlib.course.runner.run import notebooks_folder, select_notebooks

        # Results, which the text quotes, depend on the number of threads in their last digits.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        folder = notebooks or notebooks_folder()
        problems = []
        sources = select_notebooks([*(folder / "source").glob("*.py")], names or [])
        for source in sources:  # What takes no time, before what takes minutes.
            make_assignment(build(source), source.stem)
        for source in sources:
            console.show_build(rebuild, source, timeout)
            problems += lint.check_notebook(folder / f"{source.stem}.ipynb")
        for problem in problems:
            typer.secho(problem, fg="red")
    if problems:
        raise typer.Exit(1)


@app.command()
def labs(output: Output, notebooks: Home = None) -> None:
    """Write the labs for students and instructors, and a course for nbgrader, into a folder."""
    with plain_errors():
        from ordlib.course.grading.labs import write_labs
        from ordlib.course.runner.run import notebooks_folder

        for path in write_labs(notebooks or notebooks_folder(), output):
            echo(f"wrote {path}")


@app.command()
def slides(output: Output, names: Names = None, notebooks: Home = None) -> None:
    """Write slides of executed notebooks, for each one HTML file that needs no network."""
    with plain_errors():
        from ordlib.course.runner.run import notebooks_folder, select_notebooks
        from ordlib.course.slides.page import write_slides

        folder = notebooks or notebooks_folder()
        for path in select_notebooks([*folder.glob("*.ipynb")], names or []):
            echo(f"wrote {write_slides(path, output)}")


@app.command()
def grade(
    submissions: Annotated[
        Path, typer.Argument(help="STUDENT/NAME.ipynb or STUDENT.ipynb.", **INPUT_FOLDER)
    ],
    csv: Annotated[Path, typer.Option(help="Table of points and reasons.", **OUTPUT_FILE)],
    seconds: Annotated[int, typer.Option(help="For one submission.", min=5, max=86_400)] = 20,
    gradebook: Annotated[
        Path | None, typer.Option(help="Table with a row for each student.", **OUTPUT_FILE)
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option(help="All students: a CSV column 'student', or lines.", **INPUT),
    ] = None,
    notebooks: Home = None,
) -> None:
    """Grade labs: run the answers with limits and the installed checks, two at a time.

    This is no security boundary: run it in a container if you do not know the students.
    """
    with plain_errors():
        check_distinct(csv=csv, gradebook=gradebook, roster=roster)
        from ordlib.course.grading import console
        from ordlib.course.grading.assignments import load_assignments
        from ordlib.course.grading.run_answers import Limits
        from ordlib.course.runner.run import notebooks_folder

        assignments = load_assignments((notebooks or notebooks_folder()) / "source")
        limits = Limits(seconds=seconds)
        console.show_grading(submissions, assignments, limits, csv, gradebook, roster)


@app.command()
def audit(tasks: Tasks = None) -> None:
    """Audit the synthetic tasks for shortcuts in metadata and low-level image statistics.

    Exits with code 1 if a metadata column predicts the order of the labels beyond the limit.
    """
    with plain_errors():
        from ordlib.synthetic import TASKS
        from ordlib.synthetic.audit import audit_shortcuts

        for task in tasks or ():
            check_choice("task", task, TASKS)
        audits = []
        for task in tasks or TASKS:
            audits.append(audit_shortcuts(task))
            echo(f"{audits[-1]}\n")
    if not all(result.passed for result in audits):
        raise typer.Exit(1)


@app.command()
def set_url(root: Root = Path("."), ref: Ref = None) -> None:
    """Update badges, citation and set-up cells to the repository URL of pyproject.toml."""
    with plain_errors():
        from ordlib.course.runner import repo_url

        changed = repo_url.rewrite(root, ref)
        for path in changed:
            echo(f"wrote {path}")
        if not changed:
            echo("Every URL already agrees with pyproject.toml.")
