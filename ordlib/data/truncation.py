"""Find image files that lack pixels although they can be decoded: decoders fill up the rest."""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

# Start of frame of Huffman-coded images: sequential (two kinds) and progressive.
SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1), 0xC2
END, SCAN = 0xD9, 0xDA
# In entropy-coded data, 0xFF00 is a byte 0xFF, and 0xFFD0 to 0xFFD7 are restart markers.
_MARKER = re.compile(rb"\xff+[^\x00\x01\xff\xd0-\xd8]")
# A block of 8 by 8 coefficients takes at least two bits, one for DC and one for the end.
MAX_BLOCKS_PER_BYTE = 4
TOLERANCE = 2  # of gray values, for colors that are converted
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type


def check_complete(path: Path, image: Image.Image) -> None:
    """Raise ValueError if a PNG or JPEG file lacks pixels, some rows at least.

    Only images that look as decoders leave incomplete ones are examined. ``image`` is decoded and
    not yet converted; a JPEG image at an eighth of its size, so that a pixel is a block.
    """
    with suppress(struct.error, IndexError, KeyError):  # Unusual files that decoders accept.
        if image.format == "PNG":
            last_row = image.crop((0, image.height - 1, *image.size))
            if image.info.get("interlace") or not np.asarray(last_row).any():
                _check_png(path.read_bytes())
        elif image.format in ("JPEG", "MPO"):
            pixels = np.asarray(image)
            if "progressive" in image.info or _ends_gray(pixels):
                _check_jpeg(path.read_bytes(), pixels)


def _check_png(content: bytes) -> None:
    """Compare the size of the decompressed data with that of the pixels."""
    position, data = 8, []
    while position < len(content):
        length, name = struct.unpack_from(">I4s", content, position)
        chunk = content[position + 8 : position + 8 + length]
        if name == b"IHDR":
            width, height, depth, color = struct.unpack_from(">IIBB", chunk)
        elif name == b"IDAT":
            data.append(chunk)
        position += 12 + length
    bits = depth * PNG_CHANNELS[color]
    # Each row begins with the number of its filter. The passes of an interlaced image take more.
    expected = height * (1 + (width * bits + 7) // 8)
    found = sum(map(len, _decompress(b"".join(data), 2**20)))
    if found < expected:
        raise ValueError(f"its pixels end after {found:,} of {expected:,} bytes")


def _decompress(data: bytes, size: int) -> Iterator[bytes]:
    """Decompress in parts: all pixels may be too many for memory."""
    decompressor = zlib.decompressobj()
    while data and not decompressor.eof:
        yield decompressor.decompress(data, size)
        data = decompressor.unconsumed_tail


def _ends_gray(pixels: np.ndarray) -> bool:
    """Whether the last row is gray in its right half: coefficients of 0, as of missing blocks."""
    row = pixels[-1, pixels.shape[1] // 2 :].astype(int)
    return bool((abs(row - 128) <= TOLERANCE).all())


def _check_jpeg(content: bytes, pixels: np.ndarray) -> None:
    """Check that all coefficients have a scan, and that a single scan holds all blocks."""
    frame, missing, num_scans, end = None, {}, 0, len(content)
    for marker, start, segment, next_start in _segments(content):
        if marker in (*SEQUENTIAL, PROGRESSIVE):
            frame, size = marker, struct.unpack_from(">HH", segment, 1)
            components = {segment[i]: divmod(segment[i + 1], 16) for i in range(6, len(segment), 3)}
            missing = {component: set(range(64)) for component in components}
        elif marker == SCAN and frame is not None:
            num_scans, data_start = num_scans + 1, next_start
            named = segment[1 : 1 + 2 * segment[0] : 2]
            first, last, bits = (0, 63, 0) if frame in SEQUENTIAL else segment[-3:]
            if bits % 16 == 0:  # Down to the last bit.
                for component in named:
                    missing[component] -= set(range(first, last + 1))
        elif marker == END:
            end = start
            break
    if any(missing.values()):
        raise ValueError("it lacks scans of its pixels")
    # Pillow reduces an image with a side below 8 pixels less.
    is_reduced = frame and pixels.shape[:2] == tuple(-(-side // 8) for side in size)
    if frame in SEQUENTIAL and num_scans == 1 and is_reduced and _ends_gray(pixels):
        _check_last_blocks(content[:end], data_start, pixels, list(components.values()))


def _check_last_blocks(
    content: bytes, data_start: int, pixels: np.ndarray, sampling: list[tuple[int, int]]
) -> None:
    """Check that the last bytes decide no more than the gray rows at the end of an image.

    The rows of a complete image take some bytes at least. Without those, the rows above them stay
    as they are; without the last bytes of a file that has nothing of these rows, they do not.
    """
    # Blocks of a unit in x and y: the order in a file is unit by unit.
    x, y = map(max, zip(*sampling, strict=True)) if len(sampling) > 1 else (1, 1)
    blocks_per_unit = sum(a * b for a, b in sampling) if len(sampling) > 1 else 1
    height, width = pixels.shape[:2]
    gray = (abs(pixels.astype(int) - 128) <= TOLERANCE).reshape(height, -1).all(axis=1)
    first = height - int(gray[::-1].cumprod().sum())  # of the gray rows at the end
    first_unit = -(-first // y)
    units = (-(-height // y) - first_unit) * -(-width // x)
    removed = units * blocks_per_unit // MAX_BLOCKS_PER_BYTE
    complete = removed + bool(first_unit) <= len(content) - data_start
    if complete and removed and first_unit:
        shorter = io.BytesIO(content[:-removed] + b"\xff\xd9")
        with Image.open(shorter, formats=["JPEG"]) as image:
            image.draft(None, (1, 1))
            rows = slice(first_unit * y)
            complete = np.array_equal(np.asarray(image)[rows], pixels[rows])
    if not complete:
        raise ValueError(f"its pixels end after {first / height:.0%} of its height")


def _segments(content: bytes) -> Iterator[tuple[int, int, bytes, int]]:
    """Marker, start, content and end of each segment of a JPEG file."""
    position = 2
    while found := _MARKER.search(content, position):
        marker, position, segment = found[0][-1], found.end(), b""
        if marker != END:
            (length,) = struct.unpack_from(">H", content, position)
            segment = content[position + 2 : position + length]
            position += length
        yield marker, found.start(), segment, position
