import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from ordlib.data.image_io import load_image, to_rgb, validate_image

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_load_image_scales_16_bit_gray(tmp_path):
    values = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    for name in ("gray.png", "gray.tif"):
        Image.fromarray(values).save(tmp_path / name)
        assert np.asarray(load_image(tmp_path / name))[0, :, 0].tolist() == [0, 100, 255]


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
    image = to_rgb(Image.new(mode, (3, 2), given))
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
    assert validate_image(path) == 40 * 60
    assert load_image(path).size == (40, 60)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp", "ppm"])
def test_validate_image_detects_truncated_files(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(NOISE).save(path)
    assert validate_image(path) == 40 * 60
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert "cannot be decoded" in validate_image(path)
    with pytest.raises(OSError, match=str(path)):
        load_image(path)


def test_validate_image_accepts_jpeg_without_end_marker(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(NOISE).save(path)
    path.write_bytes(path.read_bytes() + b"\0" * 70_000)
    assert validate_image(path) == 40 * 60


def test_validate_image_describes_errors(tmp_path, monkeypatch):
    (tmp_path / "empty.png").touch()
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    Image.new("F", (4, 4)).save(tmp_path / "floats.tif")
    Image.new("1", (100, 100)).save(tmp_path / "bomb.png")
    Image.new("L", (600, 6)).save(tmp_path / "line.png")
    assert validate_image(tmp_path / "line.png", longest=100) == 3600
    assert "600 by 6 pixels" in validate_image(tmp_path / "line.png", longest=99)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    for name, message in {
        "empty.png": "is an empty file",
        "script.png": "unsupported format",
        "floats.tif": "mode 'F'",
        "bomb.png": "more than 8,000 pixels",
    }.items():
        assert message in validate_image(tmp_path / name)


def test_load_image_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        load_image(tmp_path / "gone.png")
