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


def find_method(name: str) -> type:
    """Import the class of one method without importing the others.

    Example:
        >>> find_method("NumCLIP")
        <class 'ordlib.methods.numclip.NumCLIP'>
    """
    return getattr(import_module(f"{__name__}.{METHODS[name]}"), name)
