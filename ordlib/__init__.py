"""Ordinal regression with CLIP: tasks, methods, losses, metrics and training.

Public names are imported on first use, so that ``import ordlib`` is fast and needs no torch.
"""

from importlib import import_module

from .methods import METHODS

__version__ = "0.1.0"

# Module of each public name.
_MODULES = {name: f"methods.{module}" for name, module in METHODS.items()} | {
    "ClipBackbone": "clip",
    "Evaluation": "metrics.evaluate",
    "ImageData": "data",
    "LinearProbe": "methods.linear_probe",
    "OrdinalTask": "tasks",
    "Prediction": "metrics.prediction",
    "RankFormer": "methods.l2rclip",
    "TrainingConfig": "training",
    "ZeroShot": "methods.zero_shot",
    "cross_val_predict": "training.cross_validation",
    "cross_validate": "training.cross_validation",
    "doctor": "course._doctor",
    "evaluate": "metrics.evaluate",
    "export_onnx": "components.export",
    "fit": "training",
    "list_components": "components",
    "list_published": "data.published",
    "load_clip": "clip",
    "load_component": "components",
    "load_data": "experiments.synthetic_data",
    "load_folder": "data",
    "load_published": "data.published",
    "load_results": "experiments.results",
    "load_task": "tasks",
    "rank": "inference",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(
            f"module 'ordlib' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
