"""A small project with a valid notebook, for the tests of ``course.runner``."""

import base64
import io
import json
from pathlib import Path

from nbformat.v4 import new_output
from PIL import Image

from ordlib.course.runner.build import add_alt_text, build, strip_metadata, write_notebook
from ordlib.course.runner.inline_results import update_inline_results
from ordlib.course.runner.versions import make_lab, make_notebook, make_solutions

REPOSITORY = "https://github.com/OWNER/ordlib"
NAME = "00_demo"

# The set-up cell of all notebooks, while the repository has no address.
INSTALL = 'print("Cannot install ordlib: this copy has no address. See README.md, Colab.")'
SETUP = f"""\
try:  # Set-up, the same in every notebook: on Colab it installs ordlib first.
    from ordlib.course import notebook
except ImportError:
    {INSTALL}
    __import__("sys").modules.pop("ordlib", None)  # a folder of that name
    from ordlib.course import notebook"""


def badge(repository: str, name: str) -> str:
    """Return the Markdown of the Colab badge of ``notebooks/NAME.ipynb``."""
    colab, path = "https://colab.research.google.com", repository.removeprefix("https://")
    link = f"{colab}/{path.replace('.com', '')}/blob/main/notebooks/{name}.ipynb"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({link})"


_CHECKED = "\n".join(f'# %% tags=["nbval-check-output"]\n1 + {n}\n' for n in range(1, 6))
GOOD = f"""# %% [markdown]
# # 00 · A demo
#
# {badge(REPOSITORY, NAME)}
#
# **After this you can** add, and check that you can.
#
# | prerequisites | to read | to run, CPU | to run, Colab T4 |
# |---|---|---|---|
# | none | 3 minutes | 1 minute | 1 minute |

# %%
{SETUP}

# %% tags=["parameters"]
backbone: str = "pico-clip"  # which CLIP
seed: int = 0  # of everything random
device: str = "auto"  # where it runs
budget: str = "quick"  # or "full"

{_CHECKED}
# %% tags=["shared-with-solutions"]
factor = 2


def check(function):
    return "passed" if function(2) == 4 else "not tried yet"


# %%
from IPython.display import Image, display
from PIL import Image as PILImage

display(PILImage.new("RGB", (1280, 320), (11, 110, 153)))

# %% [markdown]
# *Figure 1. A blue rectangle, $x^2$.*

# %%
from ipywidgets import interact

_ = interact(lambda x: None, x=3)

# %%
results = notebook.ResultsLog("{NAME}")
results["mae"] = 0.1234567
results["accuracy.of all"] = 0.456
results["seed"] = seed
results.save()

# %% [markdown]
# The MAE is 9.99<!--=mae--> stars, the accuracy 7<!--=accuracy.of all--> %.
#
# ![a star](images/star.png) and [the source](source/{NAME}.py), [here](#here).
#
# <details><summary>Hint</summary>
#
# Add.
# </details>

# %% [markdown]
# ### Exercise 1 · Double ● 1 minute
#
# Double a number.

# %%
def double(x):
    # A number to twice the number.
    ...


check(double)

# %% tags=["solution"]
def double_solved(x):
    return factor * x


check(double_solved)

# %% [markdown]
# Good.
"""


_buffer = io.BytesIO()
Image.new("RGB", (128, 32)).save(_buffer, "PNG")
PNG = _buffer.getvalue()


def make_project(root: Path) -> Path:
    """Write a project with one source and return its notebooks folder."""
    folder = root / "notebooks"
    for name in ("source", "images"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "images" / "star.png").write_bytes(b"")
    (root / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{REPOSITORY}"\n')
    (folder / "source" / f"{NAME}.py").write_text(GOOD, encoding="utf-8")
    return folder


def pretend_executed(folder: Path) -> Path:
    """Write what `ordlib course build` would write, without executing a kernel."""
    source = folder / "source" / f"{NAME}.py"
    results = {"accuracy.of all": 0.456, "mae": 0.123457, "seed": 0}
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / f"{NAME}.json").write_text(json.dumps(results))
    source.write_text(update_inline_results(source.read_text(), results))
    notebook = strip_metadata(make_notebook(build(source), NAME))
    solutions = strip_metadata(make_solutions(build(source), NAME))
    for each in (notebook, solutions):
        code = [cell for cell in each.cells if cell.cell_type == "code"]
        for count, cell in enumerate(code, start=1):
            cell.execution_count = count
            text = "passed" if "_solved" in cell.source else "2"
            if "PILImage" in cell.source:
                data = {"image/png": base64.b64encode(PNG).decode(), "text/plain": "2"}
                cell.outputs = [new_output("display_data", data)]
            elif cell.metadata.get("tags", ["parameters"]) != ["parameters"]:
                data = {"text/plain": text}
                cell.outputs = [new_output("execute_result", data, execution_count=count)]
        add_alt_text(each)
    write_notebook(folder / "labs" / f"{NAME}.ipynb", make_lab(notebook, NAME))
    write_notebook(folder / "solutions" / f"{NAME}.ipynb", solutions)
    return write_notebook(folder / f"{NAME}.ipynb", notebook)
