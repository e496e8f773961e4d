"""Command line interface ``ordlib``. Commands import lazily, so that --help is fast."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option, Typer

from ordlib.course import commands as course
from ordlib.experiments import commands as training
from ordlib.utils.command import (
    INPUT,
    INPUT_FOLDER,
    OUTPUT_FILE,
    OUTPUT_FOLDER,
    OUTPUT_STREAM,
    SETTINGS,
    BatchSize,
    BitDepth,
    Device,
    Group,
    check_surroundings,
    echo,
    input_path,
    plain_errors,
    shorten_logs,
)
from ordlib.utils.shared_folder import share_work

app = Typer(name="ordlib", cls=Group, **SETTINGS)
app.add_typer(training.app)
app.add_typer(course.app, name="course")
app.add_typer(training.results, name="results")
data = Typer(help="The data sets of the papers.", **SETTINGS)
app.add_typer(data, name="data")

Images = Annotated[Path, Argument(help="Image folder, searched recursively.", **INPUT_FOLDER)]
Csv = Annotated[Path | None, Option(help="Write CSV; - for stdout.", **OUTPUT_STREAM)]
Json = Annotated[Path | None, Option(help="Write JSON; - for stdout.", **OUTPUT_STREAM)]
Html = Annotated[Path | None, Option(help="Write an HTML page with the images.", **OUTPUT_FILE)]
Strict = Annotated[bool, Option("--strict", help="Fail if an image was skipped.")]


@app.callback(help="Ordinal regression with CLIP.")
def prepare() -> None:
    """Check what every command needs."""
    with plain_errors():
        check_surroundings()


@app.command()
def doctor(
    network: Annotated[bool, Option(help="Also check whether the hub can be reached.")] = True,
) -> None:
    """Check this machine, and explain how to fix problems.

    The exit code is 1 if anything is marked [FIX]. A missing GPU or hub is no problem.
    """
    with plain_errors():
        from ordlib.course._doctor import doctor

        report = doctor(network=network)
        echo(str(report))
    if not report.ok:
        raise Exit(1)


@app.command()
def cache(
    older_than: Annotated[
        float | None, Option(metavar="DAYS", help="Delete what was not used for some days.")
    ] = None,
    max_size: Annotated[
        float | None, Option(metavar="GB", help="Delete what was used longest ago, down to a size.")
    ] = None,
) -> None:
    """Show what the cache holds; with an option, first delete from it.

    Deleted features and images are computed again when they are needed.
    """
    with plain_errors():
        from ordlib.utils.cache import cache_dir, check_cache_folder
        from ordlib.utils.cache_entries import cache_entries, prune_cache, summarize

        check_cache_folder()
        if older_than is not None or max_size is not None:
            deleted = prune_cache(older_than, None if max_size is None else max_size * 1e9)
            size = sum(entry.size for entry in deleted)
            echo(f"deleted {len(deleted)} entries, {size / 1e6:,.1f} MB")
        echo(f"{cache_dir()}:")
        echo(summarize(cache_entries()))


@data.command("list")
def list_datasets() -> None:
    """List the data sets of the papers, their protocols and where they come from."""
    with plain_errors():
        from ordlib.data.published.load import DATASETS

        for dataset in DATASETS.values():
            echo(f"{dataset.name}\n  {dataset.layout()}\n")


@data.command()
def check(
    name: Annotated[str, Argument(help="A name of `ordlib data list`.")],
    root: Annotated[
        Path, Argument(help="Folder with images and lists.", parser=input_path, metavar="ROOT")
    ],
    protocol: Annotated[str | None, Option(help="Decode the images of this one.")] = None,
) -> None:
    """Check whether a folder holds a data set of the papers, and decode its images."""
    with plain_errors():
        from ordlib.data.published import check_published

        for line in check_published(name, root, protocol):
            echo(line)


@app.command()
def predict(
    folder: Images,
    model: Annotated[
        str, Option(metavar="NAME|FOLDER", help="Component; also owner/name on the hub.")
    ],
    task: Annotated[str | None, Option(help="For an adapter of several tasks, one.")] = None,
    confidence_level: Annotated[float, Option(help="Of the prediction intervals.")] = 0.9,
    batch_size: BatchSize = 64,
    csv: Csv = None,
    json: Json = None,
    html: Html = None,
    bit_depth: BitDepth = None,
    chunks: Annotated[
        Path | None, Option(help="Resume from finished chunks in a folder.", **OUTPUT_FOLDER)
    ] = None,
    strict: Strict = False,
    device: Device = "auto",
) -> None:
    """Predict a folder of images: value, label, probability, interval and OOD score.

    Unreadable images are listed at the end. `accelerate launch -m ordlib predict ...` uses several
    processes: --chunks is then a folder that all can write, by default beside the first output.
    """
    outputs = {"csv": csv, "json": json, "html": html}
    options = {"task": task, "confidence_level": confidence_level, "batch_size": batch_size,
               "bit_depth": bit_depth}  # fmt: skip
    with plain_errors(), share_work(chunks, **outputs) as (shared, processes):
        from ordlib.components import load_component
        from ordlib.inference import predict_files
        from ordlib.inference.console import check_outputs, report
        from ordlib.inference.distributed import predict_in_chunks
        from ordlib.utils.device import pick_local_device

        check_outputs(**outputs)
        component = load_component(model, device=pick_local_device(device))
        if shared is None:
            predictions = predict_files(component, folder, **options)
        else:
            predictions = predict_in_chunks(component, folder, shared, **processes, **options)
        if predictions is not None:
            report(predictions, **outputs)
            if shared is not None:
                shared.delete()
        elif processes["rank"] == 0:
            echo(f"The process that completes the last chunk in {shared.path} writes the output.")
    if strict and predictions is not None and predictions.skipped:
        raise Exit(1)


@app.command()
def evaluate(
    model: Annotated[
        str, Argument(metavar="NAME|FOLDER", help="Component; also owner/name on the hub.")
    ],
    folder: Annotated[Path, Argument(help="Image folder.", **INPUT_FOLDER)],
    labels: Annotated[
        Path | None, Argument(help="Label file; default: class folders.", **INPUT)
    ] = None,
    output: Annotated[
        Path | None, Option(help="Write a report to a folder.", **OUTPUT_FOLDER)
    ] = None,
    split: Annotated[
        str | None, Option(help="Only a split, as `ordlib train` makes them: train, val or test.")
    ] = None,
    image_column: Annotated[str | None, Option(help="Column of image paths.")] = None,
    label_column: Annotated[str | None, Option(help="Column of labels.")] = None,
    group_column: Annotated[str | None, Option(help="Column of groups (a person).")] = None,
    first_label: Annotated[
        int | None, Option(help="Number of the lowest named rank in the labels.")
    ] = None,
    by: Annotated[str | None, Option(help="Column: also metrics by its values.")] = None,
    task: Annotated[str | None, Option(help="For an adapter of several tasks, one.")] = None,
    bit_depth: BitDepth = None,
    device: Device = "auto",
) -> None:
    """Evaluate a component on labelled images: all metrics with confidence intervals.

    The report has the confusion matrix, predicted against true values, the learning curve and the
    24 worst errors. Evaluate on images that were not trained on, such as --split test.
    """
    with plain_errors():
        from ordlib.components import load_component
        from ordlib.data import load_folder
        from ordlib.experiments.train import load_split
        from ordlib.inference.evaluation_report import write_report
        from ordlib.inference.predict import find_task
        from ordlib.metrics.evaluate import check_column, evaluate

        names = {"image_column": image_column, "label_column": label_column,
                 "group_column": group_column, "first_label": first_label,
                 "bit_depth": bit_depth}  # fmt: skip
        columns = {name: value for name, value in names.items() if value is not None}
        component = load_component(model, device=device)
        definition = find_task(component, task)
        if split is None:
            data = load_folder(folder, labels, definition, **columns)
        else:
            data = load_split(component, definition, split, folder, labels, columns)
        if by is not None:
            check_column(data.metadata, by)
        evaluation = evaluate(component, data)
        echo(str(evaluation))
        if by is not None:
            echo(f"\n{evaluation.by(data.metadata, by).round(3).to_string()}")
        if output is not None:
            echo(f"Open {write_report(component, evaluation, data, output)}")


@app.command()
def export(
    model: Annotated[str, Argument(metavar="NAME|FOLDER", help="Trained component.")],
    output: Annotated[Path, Argument(help="ONNX file, such as model.onnx.", **OUTPUT_FILE)],
) -> None:
    """Export a component to one ONNX file, which needs neither ordlib nor torch.

    Checked with onnxruntime against the component. Not for the ranking adapter, which takes a
    prompt with the images.
    """
    with plain_errors():
        from ordlib.components import load_component
        from ordlib.components.export import export_onnx

        component = load_component(model, device="cpu")
        export_onnx(component, output)
        # The file may be standard output.
        echo(f"{output}: {component.task.name}, {output.stat().st_size / 1e6:,.1f} MB", err=True)


@app.command()
def rank(
    folder: Images,
    prompt: Annotated[str, Option(help='Ranking criterion: "the number of stars".')],
    model: Annotated[str, Option(metavar="NAME|FOLDER", help="Adapter.")] = "ranking-adapter",
    backbone: Annotated[str | None, Option(metavar="NAME|FOLDER", help="CLIP checkpoint.")] = None,
    resize: Annotated[
        str | None, Option(help="For --backbone: crop, squash, pad or squash_crop; default: crop.")
    ] = None,
    top: Annotated[int | None, Option(help="Number of images to show.", min=1)] = None,
    batch_size: BatchSize = 64,
    reverse: Annotated[bool, Option("--reverse", help="Reverse the order.")] = False,
    csv: Csv = None,
    json: Json = None,
    html: Html = None,
    bit_depth: BitDepth = None,
    strict: Strict = False,
    device: Device = "auto",
) -> None:
    """Rank a folder of images by a prompt.

    The highest score comes first, unless the prompt asks for the low end first ("from worst to
    best", "fewest first"). Unreadable images are listed at the end.
    """
    with plain_errors():
        from ordlib.inference import rank
        from ordlib.inference.console import check_outputs, report

        check_outputs(csv=csv, json=json, html=html)
        clip = None
        if backbone is None and resize is not None:
            raise ValueError(f"resize = {resize!r}: only for --backbone; a model has its own")
        if backbone is not None:
            from ordlib.clip import load_clip

            clip = load_clip(backbone, device, resize=resize or "crop")
        options = {"batch_size": batch_size, "reverse": reverse, "clip": clip, "device": device,
                   "bit_depth": bit_depth}  # fmt: skip
        ranking = rank(folder, prompt, model=model, **options)
        report(ranking, top=top, csv=csv, json=json, html=html)
    if strict and ranking.skipped:
        raise Exit(1)


def main() -> None:
    """Run the command of this process."""
    if sys.argv[1:2] != ["course"]:  # whose notebooks keep their bars
        shorten_logs()
    app()
