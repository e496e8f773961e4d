"""The methods, one file each: an architecture and its loss, assembled.

``METHODS`` is the one list of them: the class of each, and the module that it is in.
"""

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
    """Import the class of a method, and nothing of the others.

    Example:
        >>> find_method("NumCLIP")
        <class 'ordlib.methods.numclip.NumCLIP'>
    """
    return getattr(import_module(f"{__name__}.{METHODS[name]}"), name)
