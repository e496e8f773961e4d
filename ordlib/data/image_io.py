"""Read and validate image files; convert to RGB."""

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError, features

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
# Pillow's modes of 16-bit gray, which depend on its version and the format.
GRAY_16_MODES = ("I", "I;16", "I;16B", "I;16L")


def load_image(path: Path) -> Image.Image:
    """Load an image file as RGB, EXIF orientation applied; the first frame of several.

    Raises:
        OSError: the file is missing or cannot be decoded; the message names it.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            return to_rgb(image)
    except FileNotFoundError:
        raise
    # Decoders raise almost anything on a broken file: SyntaxError, IndexError, zlib.error ...
    except Exception as error:
        raise OSError(f"cannot decode the image {path}: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert to 8-bit RGB: EXIF orientation applied, transparency on white, 16 bits scaled to 8.

    Example:
        >>> to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    image = _upright(image)
    if image.mode in GRAY_16_MODES:
        # Pillow would clip to 255 and make nearly everything white.
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; other tags, which may be malformed, are not read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Malformed tags may raise anything.
        return image
    return image.transpose(TRANSPOSITIONS[orientation]) if orientation in TRANSPOSITIONS else image


def validate_image(
    path: Path, most: float = math.inf, longest: float = math.inf, full_decode: bool = False
) -> int | str:
    """Number of pixels of an existing image file, or a description of its error.

    PNG files are verified by their checksums, JPEG files by their end marker; other formats, and
    JPEG files without the marker, are decoded.

    Args:
        path: image file.
        most: maximum number of pixels; Pillow itself stops at twice ``Image.MAX_IMAGE_PIXELS``.
        longest: maximum aspect ratio.
        full_decode: always decode the image.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "notes.png"
        >>> _ = path.write_text("text")
        >>> validate_image(path)
        'is damaged or has an unsupported format (not one of BMP, GIF, ...)'
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > most:
                return f"has {width * height:,} pixels, more than {most:,}; scale it down"
            if max(width, height) > longest * min(width, height):
                return (
                    f"is {width:,} by {height:,} pixels, an aspect ratio above {longest}; crop it"
                )
            if image.mode not in COLOR_MODES + GRAY_16_MODES:
                return f"has pixels of mode {image.mode!r}; save it as 8-bit RGB"
            if image.format == "PNG":
                image.verify()
            elif image.format not in ("JPEG", "MPO") or not _has_end_marker(path):
                image.load()
        if full_decode:
            load_image(path)
    except Image.DecompressionBombError:
        return f"has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels; scale it down"
    except UnidentifiedImageError:
        if path.stat().st_size == 0:
            return "is an empty file"
        if path.suffix.lower() in MISSING_DECODERS:
            return MISSING_DECODERS[path.suffix.lower()]
        return f"is damaged or has an unsupported format (not one of {', '.join(FORMATS)})"
    # As in load_image: a broken file may raise anything. The cause omits the path.
    except Exception as error:
        return f"cannot be decoded: {error.__cause__ or error}"
    return width * height


def _has_end_marker(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        return b"\xff\xd9" in file.read()
