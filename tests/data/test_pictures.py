import numpy as np
import pytest
from PIL import Image

from ordlib.data.image_io import picture_fault, read_picture, to_rgb

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_sixteen_bit_grey_keeps_its_shades(tmp_path):
    values = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    for name in ("grey.png", "grey.tif"):
        Image.fromarray(values).save(tmp_path / name)
        assert np.asarray(read_picture(tmp_path / name))[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize(
    ("mode", "given", "expected"),
    [
        ("L", 7, (7, 7, 7)),
        ("1", 1, (255, 255, 255)),
        ("LA", (9, 255), (9, 9, 9)),
        ("LA", (9, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
        ("I;16", 65535, (255, 255, 255)),
        ("I", 257 * 30, (30, 30, 30)),
    ],
)
def test_modes_become_rgb(mode, given, expected):
    image = to_rgb(Image.new(mode, (3, 2), given))
    assert image.mode == "RGB"
    assert image.getpixel((1, 1)) == expected


def test_half_transparent_is_half_white():
    red = to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 128))).getpixel((0, 0))
    assert red[0] == 255
    assert abs(red[1] - 127) <= 1


def test_palette_with_a_transparent_colour(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png", transparency=0)
    picture = read_picture(tmp_path / "palette.png")
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 10, 10)]


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    Image.fromarray(NOISE).save(tmp_path / "turned.png", exif=exif)
    picture = np.asarray(read_picture(tmp_path / "turned.png"))
    assert np.array_equal(picture, np.rot90(NOISE, -1))


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp", "ppm"])
def test_sound_files_have_no_fault_and_cut_ones_do(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(NOISE).save(path)
    assert picture_fault(path) is None
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert "cannot be read" in picture_fault(path)
    with pytest.raises(OSError, match="picture"):
        read_picture(path)


def test_a_jpeg_without_end_marker_is_sound_if_it_decodes(tmp_path):
    path = tmp_path / "picture.jpg"
    Image.fromarray(NOISE).save(path)
    path.write_bytes(path.read_bytes() + b"\0" * 70_000)
    assert picture_fault(path) is None


def test_other_faults_are_told_apart(tmp_path, monkeypatch):
    path = tmp_path / "empty.png"
    path.touch()
    assert picture_fault(path) == "is an empty file"
    path = tmp_path / "script.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    assert "is damaged or of a kind that is not read" in picture_fault(path)
    path = tmp_path / "floats.tif"
    Image.new("F", (4, 4)).save(path)
    assert "kind 'F'" in picture_fault(path)
    path = tmp_path / "bomb.png"
    Image.new("1", (100, 100)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    assert picture_fault(path) == "has more than 8,000 pixels; scale it down"


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        read_picture(tmp_path / "gone.png")
