"""What a committed notebook must be like: one small function for each rule."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
import papermill
from nbformat import NotebookNode

from ordlib.course.runner import build as sources
from ordlib.course.runner import inline_results as numbers
from ordlib.course.runner import labs

BYTES, LINES, COLUMNS, CHECKED_CELLS, SETUP_LINES = 1_000_000, 30, 88, 5, 6
PARAMETERS = ("backbone", "seed", "device", "budget")
MARKER = "NBVAL_CHECK_OUTPUT"
REBUILD = "run `ordlib course build`"


@dataclass(frozen=True)
class Page:
    """A committed notebook, ``notebooks/NAME.ipynb``, with the files beside it."""

    path: Path

    @cached_property
    def notebook(self) -> NotebookNode:
        """The executed notebook."""
        return nbformat.read(self.path, as_version=4)

    @cached_property
    def source(self) -> NotebookNode | None:
        """The notebook as its text source would build it, or None without one."""
        path = self.path.parent / "source" / f"{self.path.stem}.py"
        return sources.build(path) if path.is_file() else None

    @cached_property
    def lab(self) -> NotebookNode | None:
        """The student version, or None without one."""
        path = self.path.parent / "labs" / self.path.name
        return nbformat.read(path, as_version=4) if path.is_file() else None

    def cells(self, kind: str) -> Iterator[tuple[int, NotebookNode]]:
        """Yield number (from 1) and cell for each cell of a kind."""
        cells = enumerate(self.notebook.cells, start=1)
        return ((number, cell) for number, cell in cells if cell.cell_type == kind)


Rule = Callable[[Page], Iterator[str]]


def check_notebook(path: str | Path) -> list[str]:
    """Apply every rule to a notebook; say of each breach where, what, and the way out."""
    page = Page(Path(path))
    return [f"{page.path.name}, {message}" for rule in RULES for message in rule(page)]


def opens_with_a_header(page: Page) -> Iterator[str]:
    """Cell 1 has a title, "after this you can", prerequisites, and minutes."""
    first = page.notebook.cells[0]
    text = first.source.lower() if first.cell_type == "markdown" else ""
    needed = {
        "a title (# ...)": text.startswith("# "),
        "'after this you can'": "after this you can" in text,
        "the prerequisites": "prerequisites" in text,
        "minutes to read and to run": len(re.findall(r"\d+ min|minute", text)) >= 2,
    }
    for what, there in needed.items():
        if not there:
            yield f"cell 1: lacks {what}: add it in the source, then {REBUILD}"


def sets_up(page: Page) -> Iterator[str]:
    """Cell 2 is the set-up cell: short, and byte for byte the same in every notebook."""
    cell = _second(page.notebook)
    if cell is None or "from ordlib.course import notebook" not in cell:
        yield "cell 2: is not the set-up cell: copy it from another notebook's source"
        return
    if len(cell.splitlines()) > SETUP_LINES:
        yield f"cell 2: more than {SETUP_LINES} lines: move what it does into the library"
    for path in sorted(page.path.parent.glob("*.ipynb")):
        if _second(nbformat.read(path, as_version=4)) != cell:
            yield f"cell 2: is not the one of {path.name}: copy one to the other's source"


def _second(notebook: NotebookNode) -> str | None:
    return next((c.source for c in notebook.cells[1:2] if c.cell_type == "code"), None)


def takes_parameters(page: Page) -> Iterator[str]:
    """Cell 3 is tagged and declares what every notebook takes, with types and comments."""
    cells = page.cells("code")
    tagged = [number for number, cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if tagged != [3]:
        yield 'cell 3: must be the only one tagged: `# %% tags=["parameters"]` in the source'
        return
    declared = papermill.inspect_notebook(page.path)
    for name in PARAMETERS:
        one = declared.get(name, {"help": ""})
        if not one["help"] or one["inferred_type_name"] == "None":
            yield f"cell 3: lacks {name}: write `{name}: type = default  # what it is`"
    if "budget" in declared and declared["budget"]["default"].strip("\"'") != "quick":
        yield 'cell 3: the committed budget must be "quick"'


def runs_in_order(page: Page) -> Iterator[str]:
    """Execution counts are 1..N."""
    for count, (number, cell) in enumerate(page.cells("code"), start=1):
        if (found := cell.execution_count) != count:
            yield f"cell {number}: execution count {found} where {count} belongs: {REBUILD}"
            return


def has_no_errors(page: Page) -> Iterator[str]:
    """No output is an error, and papermill left no mark of a failed run."""
    for number, cell in page.cells("code"):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {number}: shows {output.ename}: mend the cell, then {REBUILD}"
    if "exception" in page.notebook.metadata.get("papermill", {}):
        yield f"metadata: papermill noted an exception: never commit a failed run, {REBUILD}"


def has_no_run_metadata(page: Page) -> Iterator[str]:
    """Neither the notebook nor its cells carry papermill's or timers' metadata."""
    if "papermill" in page.notebook.metadata:
        yield f"metadata: papermill is left over from a run: {REBUILD}"
    for number, cell in enumerate(page.notebook.cells, start=1):
        for field in sorted({"papermill", "execution", "ExecuteTime"} & set(cell.metadata)):
            yield f"cell {number}: metadata {field!r} is left over from a run: {REBUILD}"


def opens_on_github(page: Page) -> Iterator[str]:
    """Widget metadata without its state makes GitHub refuse the page."""
    for kind, content in page.notebook.metadata.get("widgets", {}).items():
        if "state" not in content:
            yield f"metadata: widgets {kind!r} has no state, GitHub refuses that: {REBUILD}"


def is_small(page: Page) -> Iterator[str]:
    """The file has at most one megabyte."""
    if (size := page.path.stat().st_size) > BYTES:
        yield f"file: {size:,} bytes, at most {BYTES:,}: draw fewer or smaller figures"


def has_short_cells(page: Page) -> Iterator[str]:
    """Code cells have at most 30 lines of 88 columns; prose may be as long as it needs."""
    for number, cell in page.cells("code"):
        lines = cell.source.splitlines()
        if len(lines) > LINES:
            yield f"cell {number}: {len(lines)} lines, at most {LINES}: split it, or use ordlib"
        for line in lines:
            if len(line) > COLUMNS:
                yield f"cell {number}: {len(line)} columns, at most {COLUMNS}: break {line!r}"


def is_checked_by_nbval(page: Page) -> Iterator[str]:
    """Five cells or more are marked, each marker alone on its line, with count and output."""
    marked = 0
    for number, cell in page.cells("code"):
        lines = [line.strip() for line in cell.source.splitlines() if MARKER in line]
        if any(line != f"# {MARKER}" for line in lines):
            yield f"cell {number}: nbval overlooks the marker: put `# {MARKER}` alone on its line"
        elif lines:
            marked += 1
            if cell.execution_count is None or not cell.outputs:
                way_out = f"let the cell show a fact that never changes, then {REBUILD}"
                yield f"cell {number}: nbval has nothing to compare: {way_out}"
    if marked < CHECKED_CELLS:
        yield f"file: {marked} cells are marked `# {MARKER}`: mark {CHECKED_CELLS} or more"


def agrees_with_source(page: Page) -> Iterator[str]:
    """Notebook and text source have the same code and prose, cell by cell."""
    if page.source is None:
        yield f"file: has no source/{page.path.stem}.py: write it there, then {REBUILD}"
    else:
        yield from _differences(page.notebook, page.source)


def _differences(notebook: NotebookNode, made: NotebookNode) -> Iterator[str]:
    ours, theirs = notebook.cells, made.cells
    if len(ours) != len(theirs):
        yield f"file: {len(ours)} cells, but its source makes {len(theirs)}: {REBUILD}"
        return
    for number, (cell, other) in enumerate(zip(ours, theirs, strict=True), start=1):
        if (cell.cell_type, cell.source) != (other.cell_type, other.source):
            yield f"cell {number}: differs from its source: edit the source only, then {REBUILD}"


def has_a_clean_lab(page: Page) -> Iterator[str]:
    """The lab is up to date, and holds no solution line, output or count."""
    if page.lab is None:
        yield f"labs: there is no labs/{page.path.name}: {REBUILD}"
        return
    if page.source is not None:
        fresh = labs.make_lab(page.source, page.path.stem)
        yield from (f"labs: {message}" for message in _differences(page.lab, fresh))
    secret = labs.solution_lines(page.source or page.notebook)
    for number, cell in enumerate(page.lab.cells, start=1):
        for line in cell.source.splitlines():
            if line.strip() in secret or "SOLUTION" in line:
                yield f"labs, cell {number}: gives away {line.strip()!r}: {REBUILD}"
        if cell.get("outputs") or cell.get("execution_count"):
            yield f"labs, cell {number}: holds an output or a count: {REBUILD}"


def quotes_its_results(page: Page) -> Iterator[str]:
    """Numbers in the prose are those that the committed run saved."""
    path = page.path.parent / "results" / f"{page.path.stem}.json"
    results = numbers.load_results(path)
    for number, cell in page.cells("markdown"):
        for message in numbers.unknown(cell.source, results):
            yield f"cell {number}: {message}"
        if numbers.refresh(cell.source, results) != cell.source:
            yield f"cell {number}: quotes a number that the run did not give: {REBUILD}"


def describes_its_images(page: Page) -> Iterator[str]:
    """Every image in the prose has an alternative text."""
    for number, cell in page.cells("markdown"):
        bare = re.findall(r"!\[\s*\]\([^)]*\)", cell.source)
        tags = re.findall(r"<img\b[^>]*>", cell.source)
        bare += [tag for tag in tags if not re.search(r"\balt=([\"'])\s*\S.*?\1", tag)]
        for image in bare:
            yield f"cell {number}: {image} has no alternative text: say what one sees in it"


def links_to_what_exists(page: Page) -> Iterator[str]:
    """Links within the project are relative, and lead to a file that is there."""
    for number, cell in page.cells("markdown"):
        prose = re.sub(r"(?s)```.*?```|`[^`\n]*`", "", cell.source)
        for link in re.findall(r"(?:\]\(|\b(?:src|href)=[\"'])([^)\"'\s]+)", prose):
            place = link.partition("#")[0]
            if re.match(r"\w[\w+.-]*:", link) or not place:
                continue
            if place.startswith("/"):
                yield f"cell {number}: link {link} is absolute: write it relative to the notebook"
            elif not (page.path.parent / place).exists():
                yield f"cell {number}: link {link} leads nowhere: mend or remove it"


def reads_the_same_everywhere(page: Page) -> Iterator[str]:
    """Outputs show no memory address and no folder of the machine they were made on."""
    private = re.compile(r"\bat 0x[0-9a-f]{6,}|(?:/home|/root|/Users|/tmp|C:\\Users)[/\\][\w.]+")
    for number, cell in page.cells("code"):
        data = [output.get("data", {}) for output in cell.outputs]
        texts = [output.get("text", "") for output in cell.outputs]
        texts += [each.get(kind, "") for each in data for kind in ("text/plain", "text/html")]
        if found := private.search(json.dumps(texts, ensure_ascii=False)):
            yield f"cell {number}: shows {found[0]!r}, which differs elsewhere: print less"


RULES: tuple[Rule, ...] = (
    opens_with_a_header, sets_up, takes_parameters, runs_in_order, has_no_errors,
    has_no_run_metadata, opens_on_github, is_small, has_short_cells, is_checked_by_nbval,
    agrees_with_source, has_a_clean_lab, quotes_its_results, describes_its_images,
    links_to_what_exists, reads_the_same_everywhere,
)  # fmt: skip
