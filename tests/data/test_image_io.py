import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from ordlib.data.image_io import (
    ImageReport,
    check_bit_depth,
    inspect_image,
    load_image,
    to_rgb,
)

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def save_16_bit_color_png(path, values):
    """Pillow cannot write it: an 8-byte signature, then chunks with length and checksum."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + name + data
        content += struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["gray.png", "gray.tif"])
def test_load_image_scales_deep_gray_images_by_bit_depth(tmp_path, name):
    path = tmp_path / name
    for bit_depth in (12, 16):
        values = np.array([[0, 2**bit_depth * 100 // 255 + 1, 2**bit_depth - 1]], dtype=np.uint16)
        Image.fromarray(values).save(path)
        image = load_image(path, bit_depth=bit_depth)
        assert np.asarray(image)[0, :, 0].tolist() == [0, 100, 255]


def test_load_image_scales_32_bit_integers(tmp_path):
    Image.fromarray(np.array([[0, 2047, 4095]], dtype=np.int32)).save(tmp_path / "a.tif")
    image = load_image(tmp_path / "a.tif", bit_depth=12)
    assert np.asarray(image)[0, :, 0].tolist() == [0, 127, 255]


def test_load_image_takes_the_bit_depth_of_the_file(tmp_path):
    values = np.array([[0, 3000]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "tagged.tif", tiffinfo={281: 4095})
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 4095\n" + values.astype(">u2").tobytes())
    for name in ("tagged.tif", "a.pgm"):
        assert np.asarray(load_image(tmp_path / name))[0, :, 0].tolist() == [0, 186]
    assert inspect_image(tmp_path / "tagged.tif") == ImageReport(None, 12, 3000)


def test_load_image_of_unknown_or_too_small_bit_depth_raises(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 3000]], dtype=np.uint16)).save(path)
    with pytest.raises(
        OSError, match=r"a\.png: .*such images is 3000: set bit_depth=12 .*or bit_depth=16"
    ):
        load_image(path)
    assert inspect_image(path, decode=False) == ImageReport(None, 0, 3000)
    assert "values from 0 to 3000, but bit_depth=11" in inspect_image(path, bit_depth=11).error


def test_load_image_reads_16_bit_color_of_full_range_only(tmp_path):
    path = tmp_path / "a.png"
    save_16_bit_color_png(path, np.full((1, 2, 3), 257 * 100))
    assert load_image(path, bit_depth=16).getpixel((0, 0)) == (100, 100, 100)
    assert inspect_image(path).bit_depth == 0
    for bit_depth in (None, 12):
        with pytest.raises(OSError, match="16-bit color channels"):
            load_image(path, bit_depth=bit_depth)


def test_load_image_reduces_jpeg_files_to_at_least_min_side(tmp_path):
    image = Image.fromarray(NOISE).resize((800, 600), Image.Resampling.BICUBIC)
    for name in ("a.jpg", "a.png"):
        image.save(tmp_path / name)
    assert load_image(tmp_path / "a.jpg").size == (800, 600)
    assert load_image(tmp_path / "a.jpg", min_side=150).size == (200, 150)
    assert load_image(tmp_path / "a.jpg", min_side=151).size == (400, 300)
    assert load_image(tmp_path / "a.png", min_side=150).size == (800, 600)


@pytest.mark.parametrize(
    ("mode", "given", "expected"),
    [
        ("L", 7, (7, 7, 7)),
        ("1", 1, (255, 255, 255)),
        ("LA", (9, 255), (9, 9, 9)),
        ("LA", (9, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (255, 0, 0, 128), (255, 127, 127)),
        ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
        ("I;16", 65535, (255, 255, 255)),
        ("I", 257 * 30, (30, 30, 30)),
    ],
)
def test_to_rgb_converts_modes(mode, given, expected):
    image = to_rgb(Image.new(mode, (3, 2), given), bit_depth=16)
    assert image.mode == "RGB"
    assert image.getpixel((1, 1)) == expected


def test_load_image_palette_transparency_is_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png", transparency=0)
    image = load_image(tmp_path / "palette.png")
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 10, 10)]


def test_load_image_applies_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    Image.fromarray(NOISE).save(tmp_path / "rotated.png", exif=exif)
    assert np.array_equal(load_image(tmp_path / "rotated.png"), np.rot90(NOISE, -1))


@pytest.mark.parametrize("orientation", range(9))
def test_load_image_applies_every_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(NOISE).save(tmp_path / "image.png", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(tmp_path / "image.png"))
    assert np.array_equal(load_image(tmp_path / "image.png"), np.asarray(expected))


def test_load_image_ignores_malformed_exif_tags(tmp_path):
    """A rational number given as text, as some cameras write it."""
    ifd = struct.pack("<HHHII", 2, 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x011A, 2, 1, 0x30)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + ifd + struct.pack("<I", 0)
    path = tmp_path / "image.jpg"
    Image.fromarray(NOISE).save(path, exif=exif)
    with pytest.raises(TypeError):
        ImageOps.exif_transpose(Image.open(path))
    assert inspect_image(path) == ImageReport()
    assert load_image(path).size == (40, 60)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp", "ppm"])
def test_inspect_image_detects_truncated_files(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(NOISE).save(path)
    assert inspect_image(path) == ImageReport()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert "cannot be decoded" in inspect_image(path).error
    with pytest.raises(OSError, match=str(path)):
        load_image(path)


def test_inspect_image_detects_a_cut_jpeg_with_a_thumbnail(tmp_path):
    """The thumbnail in its header has an end marker of its own."""
    path, thumbnail = tmp_path / "image.jpg", io.BytesIO()
    Image.fromarray(NOISE).save(thumbnail, "JPEG")
    Image.fromarray(NOISE).resize((300, 200)).save(path, exif=b"Exif\0\0" + thumbnail.getvalue())
    content = path.read_bytes()
    assert inspect_image(path) == ImageReport()
    path.write_bytes(content[: (len(content) + len(thumbnail.getvalue())) // 2])
    assert b"\xff\xd9" in path.read_bytes()
    assert "cannot be decoded" in inspect_image(path).error
    assert inspect_image(path, decode=False) == ImageReport()


def test_inspect_image_accepts_bytes_after_the_image(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(NOISE).save(path)
    path.write_bytes(path.read_bytes() + b"\0" * 70_000)
    assert inspect_image(path) == ImageReport()


def test_inspect_image_and_load_image_describe_errors(tmp_path, monkeypatch):
    (tmp_path / "empty.png").touch()
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    Image.new("F", (4, 4)).save(tmp_path / "floats.tif")
    Image.new("1", (100, 100)).save(tmp_path / "bomb.png")
    Image.new("1", (90, 50)).save(tmp_path / "large.png")
    Image.new("L", (600, 6)).save(tmp_path / "line.png")
    Image.new("L", (606, 6)).save(tmp_path / "long.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    for name, message in {
        "empty.png": "is an empty file",
        "script.png": "unsupported format",
        "floats.tif": "mode 'F'",
        "bomb.png": "more than 8,000 pixels",
        "large.png": "has 4,500 pixels, more than 4,000",
        "long.png": "606 by 6 pixels, an aspect ratio above 100",
    }.items():
        for decode in (True, False):
            assert message in inspect_image(tmp_path / name, decode).error
        with pytest.raises(OSError, match=rf"cannot decode the image .*{name}"):
            load_image(tmp_path / name)
    assert inspect_image(tmp_path / "line.png") == ImageReport()


def test_load_image_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        load_image(tmp_path / "gone.png")


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_load_image_applies_the_orientation_of_tiff_files_once(tmp_path, orientation):
    """Pillow itself rotates TIFF files as it decodes them."""
    Image.fromarray(NOISE).save(tmp_path / "image.tif", tiffinfo={274: orientation})
    quarter_turns = {3: 2, 6: -1, 8: 1}[orientation]
    image = load_image(tmp_path / "image.tif")
    assert np.array_equal(image, np.rot90(NOISE, quarter_turns))


def test_load_image_ignores_a_given_bit_depth_where_pillow_has_scaled(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 4095\n" + np.array([200, 4095], ">u2").tobytes())
    for bit_depth in (None, 12):
        image = load_image(tmp_path / "a.pgm", bit_depth=bit_depth)
        assert np.asarray(image)[0, :, 0].tolist() == [12, 255]
    assert inspect_image(tmp_path / "a.pgm", bit_depth=12) == ImageReport()


@pytest.mark.parametrize("bit_depth", [0, 7, 33, -3, 12.5, "12", True])
def test_check_bit_depth_rejects_other_values(bit_depth):
    with pytest.raises(ValueError, match="must be an integer from 8 to 32"):
        check_bit_depth(bit_depth)
