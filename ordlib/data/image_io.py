"""Read and inspect image files; convert to 8-bit RGB."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError, features

from .truncation import check_complete

# Raster formats only: Pillow passes EPS files, for example, to an external program.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".jpe", ".jfif", ".jp2", ".pbm"),
    *(".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
# Formats that need more than Pillow everywhere has: format, suffixes, whether it is here, remedy.
OPTIONAL_FORMATS = (
    ("AVIF", (".avif",), features.check("avif"), "update Pillow to 11.3 or newer"),
    ("HEIF", (".heic", ".heif"), find_spec("pillow_heif"), "pip install pillow-heif"),
)
# Why an image file with this suffix cannot be read here.
MISSING_DECODERS: dict[str, str] = {}
for _format, _suffixes, _found, _remedy in OPTIONAL_FORMATS:
    if _found:
        FORMATS, SUFFIXES = (*FORMATS, _format), (*SUFFIXES, *_suffixes)
    else:
        reason = f"is a {_format} image, which cannot be decoded here: {_remedy}, or convert it"
        MISSING_DECODERS |= dict.fromkeys(_suffixes, reason)
if "HEIF" in FORMATS:
    import pillow_heif

    pillow_heif.register_heif_opener()
COLOR_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
# By EXIF orientation; 1 is upright.
TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow's modes of more than 8 bits, which depend on its version and the format.
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L")
# Formats whose decoders scale samples to the full range of 16 bits.
FULL_RANGE_FORMATS = ("PPM", "JPEG2000")
# Raw modes of 16-bit color channels, of which Pillow keeps the upper 8 bits.
DEEP_COLOR = re.compile(";16[BLN]")
MAX_BIT_DEPTH = 32
TIFF_BITS_PER_SAMPLE, TIFF_MAX_SAMPLE_VALUE = 258, 281
# One row of a longer image can exceed all memory once its short side is scaled.
MAX_ASPECT_RATIO = 100


class UnsuitableImageError(ValueError):
    """An image that can be decoded but not used; the message continues "the image ..."."""


class ImageReport(NamedTuple):
    """What :func:`inspect_image` found.

    Attributes:
        error: why the image cannot be used; None if it can.
        bit_depth: depth of the pixel values; 0 if an image of more than 8 bits does not state it.
        max_value: largest value of an image whose values need scaling; None for any other.
    """

    error: str | None = None
    bit_depth: int = 8
    max_value: int | None = None


def load_image(
    path: Path, min_side: int | None = None, bit_depth: int | None = None
) -> Image.Image:
    """Load an image file as 8-bit RGB, EXIF orientation applied; the first frame of several.

    Args:
        path: image file.
        min_side: pixels that suffice for the shorter side: a JPEG file is decoded to at least that
            many, in a fraction of the time and memory.
        bit_depth: of images with more than 8 bits, whose largest value is ``2 ** bit_depth - 1``;
            None takes it from the file.

    Raises:
        OSError: the file is missing, cannot be decoded or is too large; the message names it.
    """
    try:
        with _open(path) as image:
            if min_side is not None:
                image.draft(None, (min_side, min_side))
            return to_rgb(image, bit_depth)
    except FileNotFoundError:
        raise
    # Decoders raise almost anything on a broken file: SyntaxError, IndexError, zlib.error ...
    except Exception as error:
        raise OSError(f"cannot decode the image {path}: {error}") from error


def to_rgb(image: Image.Image, bit_depth: int | None = None) -> Image.Image:
    """Convert to 8-bit RGB: EXIF orientation applied, transparency on white, depth scaled to 8.

    Args:
        image: PIL image of any mode.
        bit_depth: as in :func:`load_image`.

    Raises:
        UnsuitableImageError: more than 8 bits without a bit depth, or with larger values.

    Example:
        >>> to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
        >>> to_rgb(Image.new("I", (1, 1), 4095), bit_depth=12).getpixel((0, 0))
        (255, 255, 255)
    """
    is_deep = _is_deep(image)
    depth = _bit_depth(image, bit_depth) if is_deep else 8
    # Decoded first: then Pillow has already rotated TIFF files, and no others.
    image.load()
    image = _upright(image)
    if is_deep:
        image = _scale_to_8_bits(image, depth)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _is_deep(image: Image.Image) -> bool:
    """Whether an opened, not yet decoded image has more than 8 bits per channel."""
    tiles = getattr(image, "tile", ())
    return image.mode in DEEP_MODES or any(DEEP_COLOR.search(str(tile[3])) for tile in tiles)


def _bit_depth(image: Image.Image, given: int | None) -> int:
    """Bit depth of a deep image: as given, else according to its file; 0 if unknown.

    A 16-bit file may hold 12-bit values, so that its own 16 bits say nothing.
    """
    if image.format in FULL_RANGE_FORMATS:  # Whatever is given, Pillow has scaled the values.
        return 16
    if given:
        return given
    tags = getattr(image, "tag_v2", {})
    depths = [int(value).bit_length() for value in tags.get(TIFF_MAX_SAMPLE_VALUE, ())]
    depths += [bits for bits in tags.get(TIFF_BITS_PER_SAMPLE, ()) if bits % 8]
    return max(depths, default=0)


def _scale_to_8_bits(image: Image.Image, depth: int) -> Image.Image:
    """Scale a deep image; Pillow itself would clip it to 255."""
    if image.mode not in DEEP_MODES:
        if depth != 16:
            raise UnsuitableImageError(
                "has 16-bit color channels, of which the upper 8 bits can be read: set "
                "bit_depth=16 if they use the full range, else convert it to 8 bits"
            )
        return image
    array = np.asarray(image).astype(np.int64)
    lowest, highest = int(array.min()), int(array.max())
    if not depth:
        raise UnsuitableImageError(unknown_depth(highest))
    if lowest < 0 or highest >= 2**depth:
        raise UnsuitableImageError(
            f"has values from {lowest} to {highest}, but bit_depth={depth} means 0 to "
            f"{2**depth - 1}"
        )
    return Image.fromarray((array * 255 // (2**depth - 1)).astype(np.uint8))


def unknown_depth(max_value: int) -> str:
    """Message about an image with more than 8 bits, of which its file does not say how many.

    Example:
        >>> unknown_depth(3071)
        'has more than 8 bits per pixel; the largest value of such images is 3071: set ...'
    """
    likely = [depth for depth in (12, 16, 32) if max_value < 2**depth][:2]
    options = " or ".join(f"bit_depth={depth} (0 to {2**depth - 1})" for depth in likely)
    return (
        f"has more than 8 bits per pixel; the largest value of such images is {max_value}: set "
        f"{options}"
    )


def check_bit_depth(bit_depth: int | None) -> None:
    """Raise ValueError unless the bit depth is None or an integer from 8 to 32."""
    is_integer = isinstance(bit_depth, int | np.integer) and not isinstance(bit_depth, bool)
    if bit_depth is not None and not (is_integer and 8 <= bit_depth <= MAX_BIT_DEPTH):
        raise ValueError(f"bit_depth = {bit_depth!r}: must be an integer from 8 to {MAX_BIT_DEPTH}")


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; other tags, which may be malformed, are not read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Malformed tags may raise anything.
        return image
    return image.transpose(TRANSPOSITIONS[orientation]) if orientation in TRANSPOSITIONS else image


def is_regular(path: str | os.PathLike) -> bool:
    """Whether an existing path is a file with an end, unlike a pipe or a device.

    Raises:
        OSError: the file is missing or cannot be reached; the message names it.
    """
    return stat.S_ISREG(os.stat(path).st_mode)


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """Open an image file, not yet decoded, unless its size or mode is unsuitable."""
    if not is_regular(path):
        raise UnsuitableImageError("is not a regular file")
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        most = Image.MAX_IMAGE_PIXELS
        if most is not None and width * height > most:
            problem = f"has {width * height:,} pixels, more than {most:,}; scale it down"
            raise UnsuitableImageError(problem)
        if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
            raise UnsuitableImageError(
                f"is {width:,} by {height:,} pixels, an aspect ratio above {MAX_ASPECT_RATIO}; "
                "crop it"
            )
        if image.mode not in COLOR_MODES + DEEP_MODES:
            raise UnsuitableImageError(f"has pixels of mode {image.mode!r}; save it as 8-bit RGB")
        yield image


def inspect_image(path: Path, decode: bool = True, bit_depth: int | None = None) -> ImageReport:
    """Inspect an existing image file: its size and mode, and whether it can be decoded.

    Args:
        path: image file.
        decode: decode the pixels (a JPEG file at an eighth of its size). False reads the header,
            and the pixels only of images with more than 8 bits.
        bit_depth: as in :func:`load_image`; an image that needs one and has none is no error here.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "notes.png"
        >>> _ = path.write_text("text")
        >>> inspect_image(path).error
        'is damaged or has an unsupported format (not one of BMP, GIF, ...)'
    """
    try:
        with _open(path) as image:
            is_deep = _is_deep(image)
            if image.format == "PNG" and (decode or is_deep):
                _verify_checksums(path)
            if is_deep:
                report = _inspect_deep(image, _bit_depth(image, bit_depth))
                check_complete(path, image)
                return report
            if decode:
                image.draft(None, (1, 1))
                image.load()
                check_complete(path, image)
                to_rgb(image)
    except Image.DecompressionBombError:
        return ImageReport(f"has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels; scale it down")
    except UnidentifiedImageError:
        return ImageReport(_unidentified(path))
    except UnsuitableImageError as error:
        return ImageReport(str(error))
    # As in load_image: a broken file may raise anything.
    except Exception as error:
        return ImageReport(f"cannot be decoded: {error}")
    return ImageReport()


def _inspect_deep(image: Image.Image, depth: int) -> ImageReport:
    image.load()
    if depth:
        _scale_to_8_bits(image, depth)  # Raises for larger values.
    if image.format in FULL_RANGE_FORMATS:
        return ImageReport()
    max_value = int(np.asarray(image).max()) if image.mode in DEEP_MODES else 2**16 - 1
    return ImageReport(bit_depth=depth, max_value=max_value)


def _verify_checksums(path: Path) -> None:
    """Decoding alone accepts a PNG file with wrong checksums."""
    with Image.open(path, formats=FORMATS) as image:
        image.verify()


def _unidentified(path: Path) -> str:
    if path.stat().st_size == 0:
        return "is an empty file"
    if path.suffix.lower() in MISSING_DECODERS:
        return MISSING_DECODERS[path.suffix.lower()]
    return f"is damaged or has an unsupported format (not one of {', '.join(FORMATS)})"
