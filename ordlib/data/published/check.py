"""Check a folder of a published data set: ``ordlib data check``."""

import os
import warnings

from ...utils.validation import check_choice
from ..dataset import ImageData
from .dataset_folder import DatasetFolder
from .load import DATASETS, load_published


def check_published(name: str, root: str | os.PathLike, protocol: str | None = None) -> list[str]:
    """Check which protocols of a data set can be loaded from a folder, and decode all images.

    Args:
        name, root: as for `load_published`.
        protocol: decode the images of this one; default: the first that can be loaded.

    Returns:
        Lines of a report: for each protocol, its splits or what is missing.

    Raises:
        FileNotFoundError: no protocol can be loaded; the message shows the expected layout.
        OSError: an image cannot be read.
    """
    check_choice("name", name, DATASETS)
    dataset, folder = DATASETS[name], DatasetFolder(root)
    names = [each.name for each in dataset.protocols]
    if protocol is not None:
        check_choice(f"protocol of {name}", protocol, names)
    lines, loaded = [f"{len(folder.images)} images in {folder.root}"], {}
    for each in names:
        try:
            with warnings.catch_warnings(record=True, action="always") as caught:
                loaded[each] = load_published(name, root, protocol=each)
        except (OSError, ValueError) as error:
            problem = str(error).removesuffix(f"\n{dataset.layout()}")
            lines.append(f"protocol {each!r}: not complete: {problem}")
            continue
        lines.append(f"protocol {each!r}: {loaded[each]}")
        lines += [f"  {warning.message}" for warning in caught]
    checked = protocol or next(iter(loaded), None)
    if checked not in loaded:
        raise FileNotFoundError("\n".join([*lines, "", dataset.layout()]))
    errors = [error for data in loaded[checked].values() if (error := _decode_all(data))]
    if errors:
        raise OSError("\n".join([*lines, *errors]))
    return [*lines, f"all images of protocol {checked!r} can be decoded"]


def _decode_all(data: ImageData) -> str:
    """What is wrong with the images, or nothing."""
    try:
        data.check_files()
    except OSError as error:
        return str(error)
    return ""
