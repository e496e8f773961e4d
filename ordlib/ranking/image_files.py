"""Find image files and validate them before scoring, with a disk cache."""

import json
import math
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from PIL import Image

from ..data.image_files import FileScan
from ..data.image_io import SUFFIXES, validate_image
from ..utils.cache import atomic_write, cache_dir, content_hash, file_signature

# Images are resized until the short edge fits: one row of pixels would exceed all memory.
MAX_ASPECT_RATIO = 100


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


class ImageValidationCache:
    """Cached validation results of a chunk of files.

    Only valid files are cached (``pixels``: their number of pixels), until a file of the chunk
    changes. Invalid files (``errors``) are decoded in full each time: permissions may have changed.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self.files = files
        self._signatures = {file: file_signature(file) for file in files}
        self._path = cache_dir() / "ranking" / f"{content_hash(*self._signatures.values())}.json"
        cached = self._load()
        self.pixels = cached or {}
        self.errors: dict[str, str] = {}
        self._changed = cached is None
        uncached = [file for file in files if file not in self.pixels]
        self.validate(uncached, full_decode=cached is not None)

    @property
    def valid_files(self) -> list[str]:
        """The valid files, in order."""
        return [file for file in self.files if file in self.pixels]

    @property
    def fingerprint(self) -> str:
        """Hash of the signatures of the valid files."""
        return content_hash("ranking", *(self._signatures[file] for file in self.valid_files))

    def validate(self, files: Sequence[str], full_decode: bool) -> None:
        """Validate files in threads, since this mostly waits for disk and decoders."""
        # Pillow only warns up to twice its limit; such images take hundreds of megabytes.
        limits = {"most": Image.MAX_IMAGE_PIXELS or math.inf, "longest": MAX_ASPECT_RATIO}
        check = partial(validate_image, **limits, full_decode=full_decode)
        quiet = warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)
        with quiet, ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for file, result in zip(files, pool.map(check, map(Path, files)), strict=True):
                if isinstance(result, str):
                    self.errors[file] = result
                    self.pixels.pop(file, None)
                else:
                    self._changed |= file not in self.pixels
                    self.pixels[file] = result

    def save(self) -> None:
        """Write the valid files to disk, if they have changed."""
        if self._changed:
            pixels = [self.pixels.get(file) for file in self.files]
            # Without it the next run validates again; the feature cache reports a full disk.
            with suppress(OSError), atomic_write(self._path) as temporary:
                temporary.write_text(json.dumps(pixels), encoding="utf-8")

    def _load(self) -> dict[str, int] | None:
        try:
            pixels = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return {file: n for file, n in zip(self.files, pixels, strict=True) if n is not None}
