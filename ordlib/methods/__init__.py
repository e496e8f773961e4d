"""Methods, one module each: architecture and loss. ``METHODS`` maps class names to modules."""

from importlib import import_module

METHODS = {
    "CoOp": "coop",
    "CORN": "corn",
    "FineTuned": "finetuned",
    "L2RCLIP": "l2rclip",
    "NumCLIP": "numclip",
    "OrdinalCLIP": "ordinalclip",
    "RankingAdapter": "ranking_adapter",
}
# Regressions, which need no training; by their full module.
BASELINES = {
    "LinearProbe": "ordlib.methods.linear_probe",
    "PixelRidge": "ordlib.synthetic.pixel_baselines",
}


def find_method(name: str) -> type:
    """Import the class of one method without importing the others.

    Example:
        >>> find_method("NumCLIP")
        <class 'ordlib.methods.numclip.NumCLIP'>
    """
    module = BASELINES.get(name) or f"{__name__}.{METHODS[name]}"
    return getattr(import_module(module), name)
