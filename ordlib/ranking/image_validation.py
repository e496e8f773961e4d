"""Which pictures can be scored, and which would do harm; what is sound is looked at once."""

import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from PIL import Image

from ..data.image_io import FORMATS, picture_fault, read_picture
from ..utils.cache import cache_dir, digest, replacing

# A picture is scaled until its short side fits: a line of pixels would grow beyond all memory.
LONGEST = 100


def state_of(file: str) -> tuple:
    """Return what changes when a file does: where it really is, its size and its time."""
    try:
        status = os.stat(file)
    except OSError:
        return (file,)
    return (os.path.realpath(file), status.st_size, status.st_mtime_ns)


def examine(file: str, thoroughly: bool = False) -> int | str:
    """Look at a picture file.

    Args:
        file: its path.
        thoroughly: decode it in any case, which takes as long as scoring it.

    Returns:
        Its pixels, or what is wrong with it.

    Example:
        >>> import tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "line.png")
        >>> Image.new("L", (2000, 4)).save(path)
        >>> examine(path)
        'is 2,000 by 4 pixels, one side more than 100 times the other; crop it'
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
    except Exception:
        # picture_fault says it in words.
        width, height = 1, 1
    # From here on Pillow itself only warns; decoded, such a picture takes hundreds of megabytes.
    most = Image.MAX_IMAGE_PIXELS or math.inf
    if width * height > most:
        return f"has {width * height:,} pixels, more than {most:,}; scale it down"
    if max(width, height) > LONGEST * min(width, height):
        return (
            f"is {width:,} by {height:,} pixels, one side more than {LONGEST} times the other; "
            "crop it"
        )
    fault = picture_fault(Path(file))
    return fault or (thoroughly and _undecodable(Path(file))) or width * height


def _undecodable(file: Path) -> str | None:
    try:
        read_picture(file)
    except OSError as error:
        # The cause says what is wrong; the error around it says the path, too.
        return f"cannot be decoded: {error.__cause__ or error}"
    return None


class Checks:
    """What is known of the files of a chunk, kept on disk until one of them changes.

    Only sound files are remembered: what was at fault is looked at anew each time, and all the
    way, as it may be that nobody was allowed to read it.

    Attributes:
        files: the chunk.
        pixels: of sound files, by name.
        faults: of the others, by name.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self.files = files
        self._states = {file: state_of(file) for file in files}
        self._path = cache_dir() / "ranking" / f"{digest(*self._states.values())}.json"
        known = self._remembered()
        self.pixels = known or {}
        self.faults: dict[str, str] = {}
        self._new = known is None
        self.look([file for file in files if file not in self.pixels], known is not None)

    @property
    def sound(self) -> list[str]:
        """The files that can be scored, in order."""
        return [file for file in self.files if file in self.pixels]

    @property
    def key(self) -> str:
        """Names the sound files and what is in them."""
        return digest("ranking", *(self._states[file] for file in self.sound))

    def look(self, files: Sequence[str], thoroughly: bool) -> None:
        """Check files, in threads, since this mostly waits for disk and decoders."""
        check = partial(examine, thoroughly=thoroughly)
        with _no_bomb_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for file, found in zip(files, pool.map(check, files), strict=True):
                if isinstance(found, str):
                    self.faults[file] = found
                    self.pixels.pop(file, None)
                else:
                    self._new |= file not in self.pixels
                    self.pixels[file] = found

    def keep(self) -> None:
        """Remember the sound files, if there is something new about them."""
        if not self._new:
            return
        try:
            with replacing(self._path) as temporary:
                known = [self.pixels.get(file) for file in self.files]
                temporary.write_text(json.dumps(known), encoding="utf-8")
        except OSError:
            # Then the next run checks again; what fills the disk is told by the feature cache.
            return

    def _remembered(self) -> dict[str, int] | None:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return {file: n for file, n in zip(self.files, known, strict=True) if n is not None}


@contextmanager
def _no_bomb_warnings() -> Iterator[None]:
    """Silence Pillow where its warning becomes a fault of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield
