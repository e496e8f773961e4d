"""A small project with a good notebook, for the tests of the course's machinery."""

import json
from pathlib import Path

from nbformat.v4 import new_output

from ordlib.course.runner import build as sources
from ordlib.course.runner import inline_results as numbers
from ordlib.course.runner import labs

REPOSITORY = "https://github.com/OWNER/ordlib"
NAME = "00_demo"

# The set-up cell, the same in every notebook; jupytext makes the magic live.
SETUP = f"""\
# Set-up, the same in every notebook: on Colab it installs ordlib first.
try:
    from ordlib.course import notebook
except ModuleNotFoundError:
    # %pip install -q "ordlib @ git+{REPOSITORY}"
    from ordlib.course import notebook"""


def badge(repository: str, name: str) -> str:
    """Return the Markdown of the Colab badge of ``notebooks/NAME.ipynb``."""
    colab, place = "https://colab.research.google.com", repository.removeprefix("https://")
    link = f"{colab}/{place.replace('.com', '')}/blob/main/notebooks/{name}.ipynb"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({link})"


_CHECKED = "\n".join(f"# %%\n# NBVAL_CHECK_OUTPUT\n1 + {n}\n" for n in range(1, 6))
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
# %%
from IPython.display import Image, display
from PIL import Image as Picture

display(Picture.new("RGB", (1280, 320), (11, 110, 153)))

# %%
from ipywidgets import interact

_ = interact(lambda x: None, x=3)

# %%
results = notebook.Results("{NAME}")
results["mae"] = 0.1234567
results["accuracy.of all"] = 0.456
results["seed"] = seed
results.save()

# %% [markdown]
# The MAE is 9.99<!--=mae--> stars, the accuracy 7<!--=accuracy.of all--> %.
#
# ![a star](pictures/star.png) and [the source](source/{NAME}.py), [here](#here).
#
# <details><summary>Hint</summary>
#
# Add.
# </details>

# %%
def double(x):
    return ...


double(2)

# %%
### BEGIN SOLUTION
def double(x):
    return 2 * x


double(2)
### END SOLUTION

# %%
def halve(x):
    ### BEGIN SOLUTION
    half = x / 2
    return half
    ### END SOLUTION


halve(2)

# %% [markdown]
# Good.
#
# <!-- ### BEGIN SOLUTION -->
# Halving undoes doubling.
# <!-- ### END SOLUTION -->
"""


def make_project(root: Path, **sources: str) -> Path:
    """Write a project with text sources and return its notebooks folder."""
    home = root / "notebooks"
    for folder in ("source", "pictures"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "pictures" / "star.png").write_bytes(b"")
    (root / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{REPOSITORY}"\n')
    for name, text in (sources or {NAME: GOOD}).items():
        (home / "source" / f"{name}.py").write_text(text, encoding="utf-8")
    return home


def pretend_executed(home: Path, name: str = NAME) -> Path:
    """Make what `ordlib course build` would make, without waiting for a kernel."""
    source = home / "source" / f"{name}.py"
    results = {"accuracy.of all": 0.456, "mae": 0.123457, "seed": 0}
    (home / "results").mkdir(exist_ok=True)
    (home / "results" / f"{name}.json").write_text(json.dumps(results))
    source.write_text(numbers.refresh(source.read_text(), results))
    notebook = sources.clean(sources.build(source))
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
        if "NBVAL" in cell.source:
            data = {"text/plain": "2"}
            cell.outputs = [new_output("execute_result", data, execution_count=count)]
    sources.write_notebook(home / "labs" / f"{name}.ipynb", labs.make_lab(notebook, name))
    return sources.write_notebook(home / f"{name}.ipynb", notebook)
