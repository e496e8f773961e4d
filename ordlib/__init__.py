"""ordlib: teach CLIP to count, date, age and judge.

Public names are found here and loaded when first used, so that ``import ordlib`` is quick
and needs no torch.
"""

from importlib import import_module

from .methods import METHODS

__version__ = "0.1.0"

# Where each public name is; of a name that is a module, too, the module is left to `import`.
_HOME = {name: f"methods.{module}" for name, module in METHODS.items()} | {
    "ClipBackbone": "clip",
    "Evaluation": "metrics.evaluate",
    "ImageData": "data",
    "LinearProbe": "methods.linear_probe",
    "OrdinalTask": "tasks",
    "Prediction": "metrics.prediction",
    "RankFormer": "methods.l2rclip",
    "TrainingConfig": "training",
    "ZeroShot": "methods.zero_shot",
    "doctor": "course._doctor",
    "evaluate": "metrics.evaluate",
    "fit": "training",
    "list_components": "components",
    "load_clip": "clip",
    "load_component": "components",
    "load_data": "synthetic.load",
    "load_folder": "data",
    "load_results": "experiments.results",
    "load_task": "tasks",
    "rank": "ranking",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"ordlib has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
