"""Pages of the API reference: one for each public name, and an overview of them."""

import inspect
from importlib import import_module

import ordlib

# Titles of the overview, in the order in which a reader needs the packages.
PACKAGES = {
    "tasks": "Tasks",
    "data": "Images and labels",
    "clip": "CLIP",
    "methods": "Methods",
    "training": "Training",
    "metrics": "Evaluation",
    "losses": "Losses",
    "inference": "Ranking and predicting folders",
    "components": "Trained components",
    "synthetic": "Rendered tasks",
    "experiments": "Result tables",
    "course": "Installation",
}
# What public names take, return or refer to.
FURTHER = (
    "ordlib.clip.preprocessing.Preprocessor",
    "ordlib.clip.text.PromptEmbeddings",
    "ordlib.clip.text.TokenizedPrompts",
    "ordlib.course._doctor.Check",
    "ordlib.course._doctor.Report",
    "ordlib.data.published.PublishedSplits",
    "ordlib.methods.coop.released_config",
    "ordlib.methods.l2rclip.released_config",
    "ordlib.methods.numclip.released_config",
    "ordlib.methods.ordinalclip.released_config",
    "ordlib.methods.ranking_adapter.recipe.released_config",
    "ordlib.methods.ranking_adapter.released.load_released_ranking_adapter",
    "ordlib.methods.prompt_method.rank_only_template",
    "ordlib.methods.ranking_adapter.network.RankingAdapterNetwork",
    "ordlib.methods.recipe.Recipe",
    "ordlib.metrics.conformal.ConformalCalibration",
    "ordlib.metrics.evaluate.Model",
    "ordlib.tasks.ranking_prompts.PromptTemplates",
    "ordlib.tasks.ranking_prompts.prompt_templates_for",
)
# Bases whose methods are documented by others.
FOREIGN = "Module, ABC, dict, object"


def public_names() -> dict[str, list[str]]:
    """Return the documented names of each package.

    These are the names of ``ordlib``, those that the packages of the core export beside them,
    ``FURTHER``, and the bases and options of all these classes.
    """
    found = {id(value): f"ordlib.{name}" for name, value in _members(ordlib)}
    for package in PACKAGES:
        module = import_module(f"ordlib.{package}")
        if package not in ("synthetic", "experiments", "course"):
            for name, value in _members(module):
                found.setdefault(id(value), f"{module.__name__}.{name}")
    found |= {id(resolve(name)): name for name in FURTHER}
    for name in list(found.values()):
        for related in _related(resolve(name)):
            found.setdefault(id(related), f"{related.__module__}.{related.__qualname__}")
    names = {package: [] for package in PACKAGES}
    for name in found.values():
        names[resolve(name).__module__.split(".")[1]].append(name)
    return names


def resolve(name: str) -> object:
    """Return the object of a dotted name."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def _members(module: object) -> list[tuple[str, object]]:
    members = [(name, getattr(module, name)) for name in getattr(module, "__all__", ())]
    return [(name, value) for name, value in members if _is_documented(value)]


def _is_documented(value: object) -> bool:
    return inspect.isfunction(value) or inspect.isclass(value)


def _related(value: object) -> list[type]:
    """Bases of a class and of its options, as far as they are ordlib's."""
    classes = [value, getattr(value, "Config", None)]
    bases = [base for each in classes if inspect.isclass(each) for base in each.__mro__]
    return [base for base in bases if base.__module__.startswith("ordlib.")]


def api_pages() -> dict[str, str]:
    """Return the text of each page in reStructuredText by its path."""
    names = public_names()
    pages = {f"api/{name}.rst": _page(name) for group in names.values() for name in group}
    return pages | {"generated/api.rst": "\n".join(map(_group, names, names.values()))}


def _page(name: str) -> str:
    title = name.rpartition(".")[2]
    options = [":members:", f":inherited-members: {FOREIGN}", ":show-inheritance:"]
    kind, options = ("class", options) if inspect.isclass(resolve(name)) else ("function", [])
    lines = [title, "=" * len(title), "", f".. auto{kind}:: {name}", *(f"   {o}" for o in options)]
    return "\n".join(lines) + "\n"


def _group(package: str, names: list[str]) -> str:
    title = PACKAGES[package]
    lines = [title, "-" * len(title), "", ".. autosummary::", "   :nosignatures:", ""]
    lines += [f"   {name}" for name in names]
    toctree = ["", ".. toctree::", "   :hidden:", "", *(f"   api/{name}" for name in names), ""]
    return "\n".join([*lines, *toctree])
