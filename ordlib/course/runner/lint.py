"""Notebook lint rules: one function per rule that yields messages."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import papermill
from nbformat import NotebookNode

from ordlib.course.runner import claims, inline_results, versions
from ordlib.course.runner.build import MAX_IMAGE_BYTES, build
from ordlib.course.runner.notebook_files import read_notebook

MAX_BYTES, MAX_LINES, MAX_COLUMNS, MAX_SETUP_LINES = 1_000_000, 30, 88, 6
MIN_CHECKED_CELLS = 5
PARAMETERS = ("backbone", "seed", "device", "budget")
NBVAL_TAG = "nbval-check-output"
REBUILD = "run `ordlib course build`"


@dataclass(frozen=True)
class NotebookFiles:
    """Executed notebook ``notebooks/NAME.ipynb`` with its source and its lab."""

    path: Path

    @cached_property
    def notebook(self) -> NotebookNode:
        """The executed notebook."""
        return read_notebook(self.path)

    @cached_property
    def source(self) -> NotebookNode | None:
        """All cells of the source, or None without a source."""
        path = self.path.parent / "source" / f"{self.path.stem}.py"
        return build(path) if path.is_file() else None

    def beside(self, folder: str) -> NotebookNode | None:
        """The lab or the solutions, or None."""
        path = self.path.parent / folder / self.path.name
        return read_notebook(path) if path.is_file() else None

    def cells(self, kind: str) -> Iterator[tuple[int, NotebookNode]]:
        """Yield number (from 1) and cell for each "code" or "markdown" cell."""
        cells = enumerate(self.notebook.cells, start=1)
        return ((number, cell) for number, cell in cells if cell.cell_type == kind)


def check_notebook(path: str | Path) -> list[str]:
    """Apply all rules to a notebook; each message names cell, problem and remedy."""
    files = NotebookFiles(Path(path))
    return [f"{files.path.name}, {message}" for rule in LINT_RULES for message in rule(files)]


def check_header(files: NotebookFiles) -> Iterator[str]:
    """Cell 1 has a title, "after this you can", prerequisites and minutes."""
    first = files.notebook.cells[0]
    text = first.source.lower() if first.cell_type == "markdown" else ""
    required = {
        "a title (# ...)": text.startswith("# "),
        "'after this you can'": "after this you can" in text,
        "the prerequisites": "prerequisites" in text,
        "minutes to read and to run": len(re.findall(r"\d+ min|minute", text)) >= 2,
    }
    for element, present in required.items():
        if not present:
            yield f"cell 1: lacks {element}: add it in the source, then {REBUILD}"


def check_setup_cell(files: NotebookFiles) -> Iterator[str]:
    """Cell 2 is the short set-up cell, identical in all notebooks."""
    cell = _second_cell(files.notebook)
    if cell is None or "from ordlib.course import notebook" not in cell:
        yield "cell 2: is not the set-up cell: copy it from another notebook's source"
        return
    if len(cell.splitlines()) > MAX_SETUP_LINES:
        yield f"cell 2: more than {MAX_SETUP_LINES} lines: move code into the library"
    for path in sorted(files.path.parent.glob("*.ipynb")):
        if _second_cell(read_notebook(path)) != cell:
            yield f"cell 2: differs from that of {path.name}: copy one to the other's source"


def _second_cell(notebook: NotebookNode) -> str | None:
    return next((c.source for c in notebook.cells[1:2] if c.cell_type == "code"), None)


def check_parameters(files: NotebookFiles) -> Iterator[str]:
    """Only cell 3 is tagged; it declares the common parameters with types and comments."""
    cells = files.cells("code")
    tagged = [number for number, cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if tagged != [3]:
        yield 'cell 3: must be the only one tagged: `# %% tags=["parameters"]` in the source'
        return
    declared = papermill.inspect_notebook(files.path)
    for name in PARAMETERS:
        parameter = declared.get(name, {"help": ""})
        if not parameter["help"] or parameter["inferred_type_name"] == "None":
            yield f"cell 3: lacks {name}: write `{name}: type = default  # what it is`"
    if "budget" in declared and declared["budget"]["default"].strip("\"'") != "quick":
        yield 'cell 3: the committed budget must be "quick"'


def check_execution_counts(files: NotebookFiles) -> Iterator[str]:
    """Execution counts are 1..N."""
    for expected, (number, cell) in enumerate(files.cells("code"), start=1):
        if (count := cell.execution_count) != expected:
            yield f"cell {number}: execution count is {count}, not {expected}: {REBUILD}"
            return


def check_no_errors(files: NotebookFiles) -> Iterator[str]:
    """No output is an error, and papermill recorded no exception."""
    for number, cell in files.cells("code"):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {number}: shows {output.ename}: fix the cell, then {REBUILD}"
    if "exception" in files.notebook.metadata.get("papermill", {}):
        yield f"metadata: papermill recorded an exception: never commit a failed run, {REBUILD}"


def check_no_run_metadata(files: NotebookFiles) -> Iterator[str]:
    """Neither the notebook nor its cells have metadata of papermill or timers."""
    if "papermill" in files.notebook.metadata:
        yield f"metadata: papermill is left over from a run: {REBUILD}"
    for number, cell in enumerate(files.notebook.cells, start=1):
        for field in sorted({"papermill", "execution", "ExecuteTime"} & set(cell.metadata)):
            yield f"cell {number}: metadata {field!r} is left over from a run: {REBUILD}"


def check_widget_state(files: NotebookFiles) -> Iterator[str]:
    """GitHub does not render notebooks with widget metadata without state."""
    for kind, content in files.notebook.metadata.get("widgets", {}).items():
        if "state" not in content:
            yield f"metadata: widgets {kind!r} has no state, GitHub refuses that: {REBUILD}"


def check_file_size(files: NotebookFiles) -> Iterator[str]:
    """The file has at most one megabyte, and each figure 60 kB."""
    for number, cell in files.cells("code"):
        for output in cell.outputs:
            size = len(output.get("data", {}).get("image/png", "")) * 3 // 4
            if size > MAX_IMAGE_BYTES + 3:
                yield f"cell {number}: a figure has {size:,} bytes, at most {MAX_IMAGE_BYTES:,}"
    if (size := files.path.stat().st_size) > MAX_BYTES:
        yield f"file: {size:,} bytes, at most {MAX_BYTES:,}: draw fewer or smaller figures"


def check_cell_length(files: NotebookFiles) -> Iterator[str]:
    """Code cells have at most 30 lines of 88 columns."""
    for number, cell in files.cells("code"):
        lines = cell.source.splitlines()
        if len(lines) > MAX_LINES:
            yield f"cell {number}: {len(lines)} lines, at most {MAX_LINES}: split it, or use ordlib"
        for line in lines:
            if len(line) > MAX_COLUMNS:
                yield f"cell {number}: {len(line)} columns, at most {MAX_COLUMNS}: break {line!r}"


def check_nbval_tags(files: NotebookFiles) -> Iterator[str]:
    """At least five cells have nbval's tag, a count and an output; none has its comment."""
    tagged = 0
    for number, cell in files.cells("code"):
        if "NBVAL" in cell.source:
            yield f"cell {number}: has a comment for nbval: use the tag {NBVAL_TAG!r}"
        if versions.has_tag(cell, NBVAL_TAG):
            tagged += 1
            if cell.execution_count is None or not cell.outputs:
                remedy = f"show a fact that never changes, then {REBUILD}"
                yield f"cell {number}: nbval has nothing to compare: {remedy}"
    if tagged < MIN_CHECKED_CELLS:
        yield f"file: {tagged} cells have the tag {NBVAL_TAG!r}: tag {MIN_CHECKED_CELLS} or more"


def check_source(files: NotebookFiles) -> Iterator[str]:
    """Notebook and source have the same cells, but for the solutions."""
    if files.source is None:
        yield f"file: has no source/{files.path.stem}.py: write it there, then {REBUILD}"
        return
    try:
        expected = versions.make_notebook(files.source, files.path.stem)
    except ValueError as error:
        yield f"source: {error}"
    else:
        yield from _differences(files.notebook, expected)


def _differences(notebook: NotebookNode, expected: NotebookNode) -> Iterator[str]:
    count, expected_count = len(notebook.cells), len(expected.cells)
    if count != expected_count:
        yield f"file: {count} cells, but its source makes {expected_count}: {REBUILD}"
        return
    for number, (a, b) in enumerate(zip(notebook.cells, expected.cells, strict=True), start=1):
        if (a.cell_type, a.source) != (b.cell_type, b.source):
            yield f"cell {number}: differs from its source: edit the source only, then {REBUILD}"


def check_lab(files: NotebookFiles) -> Iterator[str]:
    """The lab is up to date, and has no outputs or execution counts."""
    lab = files.beside("labs")
    if lab is None:
        yield f"labs: there is no labs/{files.path.name}: {REBUILD}"
        return
    expected = versions.make_lab(files.notebook, files.path.stem)
    yield from (f"labs: {message}" for message in _differences(lab, expected))
    for number, cell in enumerate(lab.cells, start=1):
        if cell.get("outputs") or cell.get("execution_count"):
            yield f"labs, cell {number}: has an output or an execution count: {REBUILD}"


def check_solutions(files: NotebookFiles) -> Iterator[str]:
    """The solutions are up to date and executed, and every check passed."""
    solutions = files.beside("solutions")
    if solutions is None:
        yield f"solutions: there is no solutions/{files.path.name}: {REBUILD}"
        return
    if files.source is not None:
        expected = versions.make_solutions(files.source, files.path.stem)
        yield from (f"solutions: {message}" for message in _differences(solutions, expected))
    for number, cell in enumerate(solutions.cells, start=1):
        if versions.has_tag(cell, versions.SOLUTION) and "passed" not in str(cell.outputs):
            yield f"solutions, cell {number}: no check has passed: mend it, then {REBUILD}"


def check_results(files: NotebookFiles) -> Iterator[str]:
    """Inline results are those of the committed run."""
    path = files.path.parent / "results" / f"{files.path.stem}.json"
    results = inline_results.load_notebook_results(path)
    for number, cell in files.cells("markdown"):
        for message in inline_results.check_inline_results(cell.source, results):
            yield f"cell {number}: {message}"
        if inline_results.update_inline_results(cell.source, results) != cell.source:
            yield f"cell {number}: quotes a number that differs from the results: {REBUILD}"


def check_alt_text(files: NotebookFiles) -> Iterator[str]:
    """Every image in Markdown and every figure has an alternative text."""
    for number, cell in files.cells("code"):
        for output in cell.outputs:
            is_image = "image/png" in output.get("data", {})
            if is_image and not output.metadata.get("image/png", {}).get("alt"):
                remedy = "begin the next cell with *Figure 1. What it shows.*"
                yield f"cell {number}: the figure has no caption: {remedy}, then {REBUILD}"
    for number, cell in files.cells("markdown"):
        images = re.findall(r"!\[\s*\]\([^)]*\)", cell.source)
        tags = re.findall(r"<img\b[^>]*>", cell.source)
        images += [tag for tag in tags if not re.search(r"\balt=([\"'])\s*\S.*?\1", tag)]
        for image in images:
            yield f"cell {number}: {image} has no alternative text: describe the image"


def check_links(files: NotebookFiles) -> Iterator[str]:
    """Links within the project are relative and lead to existing files."""
    for number, cell in files.cells("markdown"):
        text = re.sub(r"(?s)```.*?```|`[^`\n]*`", "", cell.source)
        for link in re.findall(r"(?:\]\(|\b(?:src|href)=[\"'])([^)\"'\s]+)", text):
            target = link.partition("#")[0]
            if re.match(r"\w[\w+.-]*:", link) or not target:
                continue
            if target.startswith("/"):
                yield f"cell {number}: link {link} is absolute: write it relative to the notebook"
            elif not (files.path.parent / target).exists():
                yield f"cell {number}: link {link} leads nowhere: fix or remove it"


def check_portable_outputs(files: NotebookFiles) -> Iterator[str]:
    """Outputs show no memory address and no local path."""
    private = re.compile(r"\bat 0x[0-9a-f]{6,}|(?:/home|/root|/Users|/tmp|C:\\Users)[/\\][\w.]+")
    for number, cell in files.cells("code"):
        if match := private.search(_printed(cell)):
            yield f"cell {number}: shows {match[0]!r}, which differs elsewhere: print less"


def check_negative_zeros(files: NotebookFiles) -> Iterator[str]:
    """Outputs show no rounded -0.0, whose sign means nothing."""
    for number, cell in files.cells("code"):
        if match := re.search(r"(?<![\w.])-0\.0+(?![\d])", _printed(cell)):
            yield f"cell {number}: shows {match[0]}: add 0.0 after rounding"


def check_summaries(files: NotebookFiles) -> Iterator[str]:
    """Summaries that unfold are HTML, in which Markdown is shown as it stands."""
    for number, cell in files.cells("markdown"):
        for summary in re.findall(r"(?s)<summary>(.*?)</summary>", cell.source):
            if match := re.search(r"[`$*]", summary):
                yield f"cell {number}: a <summary> shows {match[0]!r} as it stands: write HTML"


def _printed(cell: NotebookNode) -> str:
    """Texts and tables that a cell shows, as one JSON string."""
    texts = [output.get("text", "") for output in cell.outputs]
    for data in (output.get("data", {}) for output in cell.outputs):
        texts += [data.get(kind, "") for kind in ("text/plain", "text/html")]
    return json.dumps(texts, ensure_ascii=False)


def check_code_blocks(files: NotebookFiles) -> Iterator[str]:
    """Fences of code blocks in Markdown stand on lines of their own, in pairs."""
    for number, cell in files.cells("markdown"):
        fences = [line.strip() for line in cell.source.splitlines() if "```" in line]
        joined = [line for line in fences if not re.fullmatch(r"```\w*", line)]
        if joined:
            yield f"cell {number}: {joined[0][:40]!r}: put ``` on a line of its own"
        elif len(fences) % 2:
            yield f"cell {number}: a code block does not end"


def check_claims(files: NotebookFiles) -> Iterator[str]:
    """Every claim of ``source/claims.json`` is in the text and holds in the results."""
    text = "\n\n".join(cell.source for _, cell in files.cells("markdown"))
    yield from claims.check_claims(files.path, text)


LINT_RULES: tuple[Callable[[NotebookFiles], Iterator[str]], ...] = (
    check_header, check_setup_cell, check_parameters, check_execution_counts, check_no_errors,
    check_no_run_metadata, check_widget_state, check_file_size, check_cell_length,
    check_nbval_tags, check_source, check_lab, check_solutions, check_results, check_alt_text,
    check_links, check_portable_outputs, check_negative_zeros, check_summaries,
    check_code_blocks, check_claims,
)  # fmt: skip
