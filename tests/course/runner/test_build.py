import base64
import io

import jupytext
import nbformat
import numpy as np
import pytest
from course_demo import GOOD, INSTALL, NAME, SETUP, make_project
from PIL import Image

from ordlib.course.runner import build as builder
from ordlib.course.runner.build import build, rebuild
from ordlib.course.runner.lint import check_notebook


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("rebuilt"))
    return folder, rebuild(folder / "source" / f"{NAME}.py", timeout=120)


@pytest.fixture
def source(tmp_path):
    return make_project(tmp_path) / "source" / f"{NAME}.py"


def test_build_uncomments_magics_reversibly(source, tmp_path):
    source.write_text(GOOD.replace(INSTALL, "# %pip install -q ordlib"))
    notebook = build(source)
    assert notebook.cells[1].source == SETUP.replace(INSTALL, "%pip install -q ordlib")
    text = jupytext.writes(notebook, fmt="py:percent")
    compile(text, "source", "exec")  # valid Python, so that formatters and editors work
    (copy := tmp_path / "copy.py").write_text(text)
    assert [c.source for c in build(copy).cells] == [c.source for c in notebook.cells]


def test_build_derives_cell_ids_from_content(source):
    def ids(text):
        source.write_text(text)
        return [cell.id for cell in build(source).cells]

    first = ids(GOOD)
    assert len(set(first)) == len(first)
    assert ids(GOOD.replace("9.99<!--", "0.12<!--")) == first
    assert ids(GOOD + "\n# %%\n1 + 1\n")[: len(first)] == first


def test_rebuild_writes_all_files_and_passes_the_lint_rules(rebuilt):
    folder, written = rebuilt
    names = [path.relative_to(folder).as_posix() for path in written]
    versions = ["{}.ipynb", "labs/{}.ipynb", "solutions/{}.ipynb"]
    expected = ["results/{}.json", "source/{}.py", "results/{}.png", *versions]
    assert names == [path.format(NAME) for path in expected]
    assert Image.open(folder / f"results/{NAME}.png").width > 100
    assert check_notebook(folder / f"{NAME}.ipynb") == []
    text = "0.12<!--=mae--> stars, the accuracy 46<!--=accuracy.of all--> %"
    assert all(text in (folder / names[i]).read_text() for i in (1, 3))


def test_rebuild_strips_metadata_and_widgets(rebuilt):
    notebook = nbformat.read(rebuilt[0] / f"{NAME}.ipynb", as_version=4)
    assert notebook.metadata == builder.METADATA
    assert all(set(cell.metadata) <= set(builder.CELL_METADATA) for cell in notebook.cells)
    outputs = [o.get("data", {}) for c in notebook.cells for o in c.get("outputs", [])]
    assert not any(builder.WIDGET in data for data in outputs)
    assert [data.get("text/plain") for data in outputs].count(builder.WIDGET_NOTE) == 1
    assert any("image/png" in data for data in outputs)


def test_shrink_images_reduces_large_figures_only():
    rng = np.random.default_rng(0)
    noise, small = rng.integers(0, 255, (400, 600, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)
    contents = []
    for pixels in (noise, small):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        contents.append(buffer.getvalue())
    outputs = [
        nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(c).decode()})
        for c in contents
    ]
    cell = nbformat.v4.new_code_cell("1", outputs=outputs)
    builder.shrink_images(nbformat.v4.new_notebook(cells=[cell]))
    large, kept = (base64.b64decode(output.data["image/png"]) for output in cell.outputs)
    assert len(contents[0]) > 500_000 > builder.MAX_IMAGE_BYTES >= len(large)
    assert Image.open(io.BytesIO(large)).width >= 200
    assert kept == contents[1]


def test_alt_text_is_the_caption_without_marks_of_results():
    figure = nbformat.v4.new_output("display_data", {"image/png": ""})
    caption = "*Figure 1. `CoOp` is off by 1.5<!--=coop.mae--> objects.*"
    cells = [
        nbformat.v4.new_code_cell("plot()", outputs=[figure]),
        nbformat.v4.new_markdown_cell(caption),
    ]
    notebook = builder.add_alt_text(nbformat.v4.new_notebook(cells=cells))
    found = notebook.cells[0].outputs[0].metadata["image/png"]["alt"]
    assert found == "Figure 1. CoOp is off by 1.5 objects."


def test_strip_metadata_removes_only_progress_bars():
    bar = "100%|####| 10/10 [00:01<00:00]"
    streams = [("stderr", bar), ("stdout", "40%|x|"), ("stderr", "UserWarning")]
    outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in streams]
    cell = nbformat.v4.new_code_cell("1", outputs=outputs)
    notebook = builder.strip_metadata(nbformat.v4.new_notebook(cells=[cell]))
    assert [output.text for output in notebook.cells[0].outputs] == ["40%|x|", "UserWarning"]


def test_rebuild_names_the_failing_cell_and_writes_nothing(source):
    source.write_text("# %%\n1\n\n# %%\nx = 1\nraise KeyError('seven')\n")
    with pytest.raises(ValueError, match=r"00_demo\.py, cell 2 \(x = 1\): KeyError: 'seven'"):
        rebuild(source)
    assert not list(source.parents[1].glob("*.ipynb"))
