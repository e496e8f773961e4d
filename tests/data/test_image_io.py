import numpy as np
import pytest
from PIL import Image

from ordlib.data.image_io import load_image, to_rgb, validate_image

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_sixteen_bit_grey_keeps_its_shades(tmp_path):
    values = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    for name in ("grey.png", "grey.tif"):
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
def test_modes_become_rgb(mode, given, expected):
    image = to_rgb(Image.new(mode, (3, 2), given))
    assert image.mode == "RGB"
    assert image.getpixel((1, 1)) == expected


def test_palette_with_a_transparent_colour(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png", transparency=0)
    picture = load_image(tmp_path / "palette.png")
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 10, 10)]


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    Image.fromarray(NOISE).save(tmp_path / "turned.png", exif=exif)
    picture = np.asarray(load_image(tmp_path / "turned.png"))
    assert np.array_equal(picture, np.rot90(NOISE, -1))


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp", "ppm"])
def test_sound_files_have_no_fault_and_cut_ones_do(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(NOISE).save(path)
    assert validate_image(path) == 40 * 60
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert "cannot be read" in validate_image(path)
    with pytest.raises(OSError, match="picture"):
        load_image(path)


def test_a_jpeg_without_end_marker_is_sound_if_it_decodes(tmp_path):
    path = tmp_path / "picture.jpg"
    Image.fromarray(NOISE).save(path)
    path.write_bytes(path.read_bytes() + b"\0" * 70_000)
    assert validate_image(path) == 40 * 60


def test_other_faults_are_told_apart(tmp_path, monkeypatch):
    (tmp_path / "empty.png").touch()
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    Image.new("F", (4, 4)).save(tmp_path / "floats.tif")
    Image.new("1", (100, 100)).save(tmp_path / "bomb.png")
    Image.new("L", (600, 6)).save(tmp_path / "line.png")
    assert validate_image(tmp_path / "line.png", longest=100) == 3600
    assert "600 by 6 pixels" in validate_image(tmp_path / "line.png", longest=99)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    for name, says in {
        "empty.png": "is an empty file",
        "script.png": "of a kind that is not read",
        "floats.tif": "kind 'F'",
        "bomb.png": "more than 8,000 pixels",
    }.items():
        assert says in validate_image(tmp_path / name)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        load_image(tmp_path / "gone.png")
