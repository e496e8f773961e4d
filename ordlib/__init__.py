"""ordlib: teach CLIP to count, date, age and judge.

Public names are found here and loaded when first used, so that ``import ordlib`` is quick
and needs no torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "ClipBackbone": "clip",
    "CoOp": "models.coop",
    "Corn": "models.corn",
    "Evaluation": "evaluation",
    "FineTuned": "models.finetuned",
    "ImageData": "data",
    "L2RCLIP": "models.l2rclip",
    "LinearProbe": "models.probe",
    "NumCLIP": "models.numclip",
    "OrdinalCLIP": "models.ordinalclip",
    "OrdinalTask": "tasks",
    "Prediction": "tasks",
    "RankFormer": "rankformer",
    "RankingAdapter": "models.ranking_adapter",
    "TrainingPlan": "training",
    "ZeroShot": "models.zero_shot",
    "doctor": "doctor",
    "evaluate": "evaluation",
    "fit": "training",
    "list_components": "components",
    "load_clip": "clip",
    "load_component": "components",
    "load_data": "data",
    "load_folder": "data",
    "load_results": "evidence",
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
