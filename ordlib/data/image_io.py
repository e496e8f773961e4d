"""Picture files: what is wrong with one, and how any kind of one becomes plain RGB."""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Only plain picture formats: Pillow would hand an EPS file, for one, to an outside program.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".jp2"),
    *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
)
COLOR_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
# How Pillow gives 16-bit grey; which of them depends on its version and the format.
GREY_16_MODES = ("I", "I;16", "I;16B", "I;16L")


def load_image(path: Path) -> Image.Image:
    """The picture in a file of one of ``FORMATS``, upright and in RGB; the first of many.

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
        raise OSError(f"cannot read the picture {path}: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any picture as 8-bit RGB: upright, see-through parts on white, 16 bits scaled to 8.

    Example:
        >>> to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    image = ImageOps.exif_transpose(image)
    if image.mode in GREY_16_MODES:
        # Pillow itself would clip to 255 and turn nearly everything white.
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def validate_image(
    path: Path, most: float = math.inf, longest: float = math.inf, full_decode: bool = False
) -> int | str:
    """Number of pixels of an existing picture file, or what is wrong with it.

    A PNG file is checked by its checksums, a JPEG file by its end marker; the rarer formats,
    and JPEG files without that marker, are decoded.

    Args:
        path: the file.
        most: pixels it may have; Pillow itself stops at twice ``Image.MAX_IMAGE_PIXELS``.
        longest: how many times as long as the other a side may be.
        full_decode: decode it in any case.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "notes.png"
        >>> _ = path.write_text("no picture")
        >>> validate_image(path)
        'is damaged or of a kind that is not read (not one of BMP, GIF, ...)'
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > most:
                return f"has {width * height:,} pixels, more than {most:,}; scale it down"
            if max(width, height) > longest * min(width, height):
                return (
                    f"is {width:,} by {height:,} pixels, one side more than {longest} times the "
                    "other; crop it"
                )
            if image.mode not in COLOR_MODES + GREY_16_MODES:
                return f"has pixels of kind {image.mode!r}; save it as 8-bit RGB"
            if image.format == "PNG":
                image.verify()
            elif image.format not in ("JPEG", "MPO") or not _has_end_marker(path):
                image.load()
    except Image.DecompressionBombError:
        return f"has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels; scale it down"
    except UnidentifiedImageError:
        if path.stat().st_size == 0:
            return "is an empty file"
        return f"is damaged or of a kind that is not read (not one of {', '.join(FORMATS)})"
    # As in load_image: a broken file may raise anything.
    except Exception as error:
        return f"cannot be read: {error}"
    if full_decode:
        try:
            load_image(path)
        except OSError as error:
            # The cause says what is wrong; the error around it says the path, too.
            return f"cannot be decoded: {error.__cause__ or error}"
    return width * height


def _has_end_marker(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        return b"\xff\xd9" in file.read()
