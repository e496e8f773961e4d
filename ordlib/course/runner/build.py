"""Build notebooks from py:percent sources."""

import base64
import io
import re
import tempfile
from collections import Counter
from collections.abc import Container, Iterator
from itertools import pairwise
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_output
from PIL import Image

from ordlib.course.runner import inline_results
from ordlib.course.runner.execute import OnCell, execute
from ordlib.course.runner.notebook_files import read_notebook
from ordlib.course.runner.versions import make_lab, make_notebook, make_solutions
from ordlib.utils.cache import atomic_write, content_hash

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_METADATA = ("tags",)
MAX_IMAGE_BYTES = 60_000
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_NOTE = "An interactive widget: run this cell in JupyterLab or Colab to use it."
CAPTION = re.compile(r"\*(Figure \d+\..+?)\*\s*(?:\n\n|\Z)", re.S)
# Begins where a number does: else a long row of digits takes quadratic time.
_PROGRESS_BAR = re.compile(r"(?<!\d)\d+(?:%\|.*\||it \[)")


def build(source: str | Path) -> NotebookNode:
    """Build a notebook with all cells of ``notebooks/source/NAME.py``, not executed.

    Magics are uncommented. Cell ids are hashes of the cells' content, so that they do not change
    between builds.

    Raises:
        ValueError: no UTF-8 text in the py:percent format; the message names the file.
    """
    try:
        notebook = jupytext.read(source, fmt="py:percent")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{source}: cannot be read as py:percent: {error}") from error
    occurrences = Counter()
    for cell in notebook.cells:
        content = inline_results.INLINE_RESULT.sub("", cell.source)
        occurrences[content] += 1
        cell.id = content_hash(cell.cell_type, content, occurrences[content])[:8]
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def rebuild(
    source: Path, *, timeout: int | None = None, on_cell: OnCell = lambda cell, cells: None
) -> list[Path]:
    """Build and execute a notebook with its default parameters, and write all derived files.

    ``timeout`` and ``on_cell`` are those of ``execute``. Returns the written files: results, the
    source if an inline result has changed, thumbnail, notebook, lab and solutions.

    Raises:
        ValueError: a cell fails, or Markdown quotes an unknown result; then nothing is written.
    """
    name, folder = source.stem, source.parent.parent
    executed, results = _execute(make_notebook(build(source), name), source, timeout, on_cell)
    text = source.read_text(encoding="utf-8")
    updated = _with_results(source, text, results)
    cells = _build_text(updated, name)
    solutions = make_solutions(cells, name)
    solved, _ = _execute(solutions, source, timeout, on_cell)
    paths = [write_file(folder / "results" / f"{name}.json", results)]
    if updated != text:
        paths.append(write_file(source, updated.encode()))
    if image := first_image(executed):
        paths.append(write_file(folder / "results" / f"{name}.png", image))
    notebook = _with_outputs(make_notebook(cells, name), executed)
    written = {
        f"{name}.ipynb": notebook,
        f"labs/{name}.ipynb": make_lab(notebook, name),
        f"solutions/{name}.ipynb": _with_outputs(solutions, solved),
    }
    return paths + [write_notebook(folder / path, each) for path, each in written.items()]


def _with_results(source: Path, text: str, results: bytes) -> str:
    """The text of a source with the numbers of a results file."""
    with tempfile.TemporaryDirectory() as temporary:
        numbers = inline_results.load_notebook_results(
            write_file(Path(temporary) / f"{source.stem}.json", results)
        )
    if messages := inline_results.check_inline_results(text, numbers):
        raise ValueError(f"{source.name}: " + "; ".join(messages) + ".")
    return inline_results.update_inline_results(text, numbers)


def _build_text(text: str, name: str) -> NotebookNode:
    with tempfile.TemporaryDirectory() as temporary:
        return build(write_file(Path(temporary) / f"{name}.py", text.encode()))


def _with_outputs(notebook: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """Copy outputs and execution counts to a notebook, and strip what a run leaves."""
    for cell, ran in zip(notebook.cells, executed.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
    return add_alt_text(shrink_images(strip_metadata(notebook)))


def _execute(
    notebook: NotebookNode, source: Path, timeout: int | None, on_cell: OnCell
) -> tuple[NotebookNode, bytes]:
    """Return the executed notebook and the content of its results file."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        notebook = write_notebook(folder / "notebook.ipynb", notebook)
        output, results = folder / "executed.ipynb", folder / "results" / f"{source.stem}.json"
        options = {"results": results.parent, "folder": folder, "timeout": timeout}
        _, failure = execute(notebook, output, on_cell=on_cell, **options)
        if failure:
            raise ValueError(
                f"{source.name}, {failure}. No file was written; fix the cell and build again."
            )
        executed = read_notebook(output)
        return executed, results.read_bytes() if results.is_file() else b"{}\n"


def write_notebook(path: Path, notebook: NotebookNode) -> Path:
    """Validate a notebook and write it atomically."""
    nbformat.validate(notebook)
    return write_file(path, (nbformat.writes(notebook) + "\n").encode())


def write_file(path: Path, content: bytes) -> Path:
    """Write a file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return path


def first_image(notebook: NotebookNode) -> bytes | None:
    """Return the first PNG among the outputs of a notebook, or None."""
    return next((content for _, content in _images(notebook)), None)


def shrink_images(notebook: NotebookNode) -> NotebookNode:
    """Reduce the colors and the size of PNG outputs above 60 kB, in place."""
    for output, content in _images(notebook):
        output.data["image/png"] = base64.b64encode(_shrink(content)).decode()
    return notebook


def _images(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, bytes]]:
    """Outputs with a PNG that can be decoded, and its bytes; a notebook may display anything."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            try:
                content = base64.b64decode("".join(output.get("data", {})["image/png"]))
                Image.open(io.BytesIO(content), formats=["PNG"]).load()
            except Exception:  # No image, or one that is damaged in any way.
                continue
            yield output, content


def _shrink(content: bytes) -> bytes:
    """Return a PNG of at most 60 kB; of an already small one, the very same bytes."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    for scale, colors in ((1, 256), (0.75, 256), (0.75, 128), (0.6, 256), (0.5, 256), (0.35, 128)):
        if len(content) <= MAX_IMAGE_BYTES:
            break
        size = round(scale * image.width), round(scale * image.height)
        small = image.resize(size, Image.Resampling.LANCZOS) if scale < 1 else image
        buffer = io.BytesIO()
        # The default method drops the colors of small areas, such as a color bar.
        reduced = small.quantize(colors, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        reduced.save(buffer, "PNG", optimize=True)
        content = buffer.getvalue()
    return content


def add_alt_text(notebook: NotebookNode) -> NotebookNode:
    """Describe every image output by the caption in the next Markdown cell, in place."""
    for cell, following in pairwise(notebook.cells):
        caption = CAPTION.match(following.source) if following.cell_type == "markdown" else None
        for output in cell.get("outputs", []):
            if caption and "image/png" in output.get("data", {}):
                text = " ".join(
                    re.sub(r"[`*$]", "", inline_results.MARKER.sub("", caption[1])).split()
                )
                output.metadata.setdefault("image/png", NotebookNode())["alt"] = text
    return notebook


def strip_metadata(notebook: NotebookNode) -> NotebookNode:
    """Strip run metadata, progress bars and widgets from a notebook, in place.

    Outputs and execution counts are kept. Widgets are replaced by a note: their state is large
    and differs in each run, and GitHub does not render notebooks without it.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = _select(cell.metadata, CELL_METADATA)
        if cell.cell_type == "code":
            outputs = [output for output in cell.outputs if not _is_progress_bar(output)]
            cell.outputs = [_replace_widget(output) for output in outputs]
    return notebook


def _select(metadata: NotebookNode, fields: Container[str]) -> NotebookNode:
    return NotebookNode({key: value for key, value in metadata.items() if key in fields})


def _replace_widget(output: NotebookNode) -> NotebookNode:
    if WIDGET not in output.get("data", {}):
        return output
    note = {"text/plain": WIDGET_NOTE, "text/markdown": f"*{WIDGET_NOTE}*"}
    if "text/markdown" in output.data:  # the widget says itself what stands in its place
        note = {kind: output.data[kind] for kind in note}
    return new_output("display_data", data=note)


def _is_progress_bar(output: NotebookNode) -> bool:
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    may_be_bar = output.get("name") == "stderr" or WIDGET in output.get("data", {})
    return may_be_bar and bool(_PROGRESS_BAR.search(text))
