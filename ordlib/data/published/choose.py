"""Choose the protocol of a data set: the first one with all of its list files."""

import warnings
from collections.abc import Iterable

from ...utils.validation import check_choice
from .dataset_folder import DatasetFolder
from .protocol import Protocol, PublishedDataset

STACKLEVEL = 4  # The caller of load_published.


def choose_protocol(
    dataset: PublishedDataset, folder: DatasetFolder, name: str | None, fold: int, label: str | None
) -> Protocol:
    """Return the protocol of a name; without one, the first that has the label and its lists.

    Raises:
        FileNotFoundError: no protocol has its lists.
        ValueError: an unknown protocol or label.
    """
    protocols = {protocol.name: protocol for protocol in dataset.protocols}
    if name is not None:
        check_choice(f"protocol of {dataset.name}", name, protocols)
        return protocols[name]
    fitting = [p for p in dataset.protocols if label is None or label in p.labels]
    for number, protocol in enumerate(fitting):
        if folder.has_lists(protocol.list_names(fold)):
            _warn_of_partial(folder, fitting[:number], protocol, fold)
            return protocol
    if not fitting:
        labels = dict.fromkeys(name for p in dataset.protocols for name in p.labels)
        check_choice(f"label of {dataset.name}", label, labels)
    # Names what the most complete protocol lacks, then shows the layout.
    nearest = max(fitting, key=lambda p: _share_of_lists(folder, p, fold))
    try:
        folder.find_lists(nearest.list_names(fold))
    except FileNotFoundError as error:
        where = f"{dataset.name}, protocol {nearest.name!r}"
        raise FileNotFoundError(f"{where}: {error}\n{dataset.layout()}") from None
    raise AssertionError("has_lists and find_lists disagree")


def _share_of_lists(folder: DatasetFolder, protocol: Protocol, fold: int) -> float:
    names = protocol.list_names(fold)
    return sum(folder.has_lists([name]) for name in names) / max(len(names), 1)


def _warn_of_partial(
    folder: DatasetFolder, before: Iterable[Protocol], chosen: Protocol, fold: int
) -> None:
    """Warn if a protocol before the chosen one has some of its own lists, but not all."""
    own = set(chosen.list_names(fold))
    for protocol in before:
        names = [name for name in protocol.list_names(fold) if name not in own]
        missing = [name for name in names if not folder.has_lists([name])]
        if missing and len(missing) < len(names):
            warnings.warn(
                f"protocol {protocol.name!r} lacks {', '.join(missing)}: protocol "
                f"{chosen.name!r} is taken",
                stacklevel=STACKLEVEL,
            )
