"""Pages of the API reference: one for each public name, and an overview of them."""

import inspect
from functools import cached_property
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
    "ordlib.methods.ranking_adapter.released_config",
    "ordlib.methods.ranking_adapter.released.load_released_ranking_adapter",
    "ordlib.methods.prompt_method.rank_only_template",
    "ordlib.methods.ranking_adapter.network.RankingAdapterNetwork",
    "ordlib.methods.recipe.Recipe",
    "ordlib.metrics.conformal.ConformalCalibration",
    "ordlib.metrics.evaluate.Model",
    "ordlib.tasks.ranking_prompts.PromptTemplates",
    "ordlib.tasks.ranking_prompts.prompt_templates_for",
)


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
    groups = public_names()
    pages = {f"api/{name}.rst": _page(name) for names in groups.values() for name in names}
    tables = {package: _table(names) for package, names in groups.items()}
    overview = "\n".join(_heading(PACKAGES[name], "-") + tables[name] for name in groups)
    toctree = _toctree([f"api/{package}" for package in groups])
    for package, names in groups.items():
        page = _heading(PACKAGES[package], "=") + tables[package] + _toctree(names)
        pages[f"api/{package}.rst"] = page
    return pages | {"generated/api.rst": overview + toctree}


def _page(name: str) -> str:
    # Each method has a released_config: these have their module in the title.
    parts = 2 if name.endswith(".released_config") else 1
    value, title = resolve(name), _heading(".".join(name.split(".")[-parts:]), "=")
    if not inspect.isclass(value):
        return f"{title}.. autofunction:: {name}\n"
    text = f"{title}.. autoclass:: {name}\n   :members:\n   :show-inheritance:\n"
    inherited = _inherited(value)
    return text + ("\n" + _heading("Inherited", "-") + _table(inherited) if inherited else "")


def _inherited(value: type) -> list[str]:
    """Dotted names of the documented members that a class has from its bases in ordlib."""
    found = {name: value for name in vars(value)}
    for base in _related(value):
        if base in value.__mro__:
            for name, member in vars(base).items():
                if not name.startswith("_") and inspect.getdoc(member) and _is_member(member):
                    found.setdefault(name, base)
    return [
        f"{base.__module__}.{base.__qualname__}.{name}"
        for name, base in found.items()
        if base is not value
    ]


def _is_member(value: object) -> bool:
    return callable(value) or isinstance(value, (property, cached_property, classmethod))


def _heading(title: str, underline: str) -> str:
    return f"{title}\n{underline * len(title)}\n\n"


def _table(names: list[str]) -> str:
    lines = [".. autosummary::", "   :nosignatures:", "", *map(_row, names)]
    return "\n".join(lines) + "\n\n"


def _row(name: str) -> str:
    return f"   {name}" if name.endswith(".released_config") else f"   ~{name}"


def _toctree(pages: list[str]) -> str:
    return "\n".join([".. toctree::", "   :hidden:", "", *(f"   {page}" for page in pages)]) + "\n"
