"""Find the image files of a folder or a list of paths."""

import os
from collections.abc import Sequence

from ..data.image_files import FileScan
from ..data.image_io import SUFFIXES


def find_images(paths: str | os.PathLike | Sequence[str | os.PathLike]) -> FileScan:
    """Find the image files of a folder, or of a list of files and folders.

    Folders are searched recursively; links are followed, each folder is entered once, and hidden
    files are left out. Files of a list may have any extension.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: there is no image file.
    """
    is_single = isinstance(paths, str | os.PathLike)
    if is_single and not os.path.lexists(paths):
        raise FileNotFoundError(f"paths = {os.fspath(paths)!r}: no such folder")
    scan = FileScan()
    for path in map(os.fspath, [paths] if is_single else paths):
        if os.path.isdir(path):
            scan.add_folder(path)
        else:
            scan.add_file(path)
    scan.files = sorted(set(scan.files))
    if not scan.files:
        source = repr(os.fspath(paths)) if is_single else f"list of {len(paths)} paths"
        others = f"; {scan.ignored} other files" if scan.ignored else ""
        others += "".join(f"\n  {path!r} {reason}" for path, reason in scan.skipped.items())
        raise ValueError(f"paths = {source}: no image files ({', '.join(SUFFIXES)}){others}")
    return scan
