"""Image files as they come: rare kinds, damaged, incomplete, huge, and no files at all."""

import io
import os
import random
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from ordlib import load_folder
from ordlib.data import image_index, validation
from ordlib.data.image_index import inspect_images
from ordlib.data.image_io import FORMATS, ImageReport, inspect_image, load_image
from ordlib.data.published.check import check_published
from ordlib.tasks import OrdinalTask

FINGERS = OrdinalTask(name="fingers", unit="fingers", values=tuple(range(6)))
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
PHOTO = Image.fromarray(NOISE).resize((300, 200), Image.Resampling.BICUBIC)
FRAMES = [Image.new("RGB", (60, 40), color) for color in ("red", "lime", "blue")]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path_factory.mktemp("cache")))


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def animated(kind):
    return encode(FRAMES[0], kind, save_all=True, append_images=FRAMES[1:])


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, rows, depth=8, color=2, interlaced=0, extra=b"", share=1.0):
    """A PNG of filtered rows, of which only a share is there."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    pixels = zlib.compress(rows[: round(share * len(rows))])
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def filtered(array):
    return b"".join(b"\0" + row.tobytes() for row in array)


ROWS = filtered(NOISE)
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2)]  # fmt: skip
PASSES = b"".join(filtered(NOISE[y::dy, x::dx]) for x, y, dx, dy in ADAM7)
JPEG = encode(PHOTO, "JPEG", quality=90)
PROGRESSIVE = encode(PHOTO, "JPEG", quality=90, progressive=True)
ADOBE = encode(PHOTO.convert("CMYK"), "JPEG")
YCCK = bytearray(ADOBE)
YCCK[ADOBE.index(b"Adobe") + 11] = 2  # its transformation of colors
THUMBNAIL = encode(Image.fromarray(NOISE), "JPEG")
WITH_THUMBNAIL = encode(PHOTO, "JPEG", exif=b"Exif\0\0" + THUMBNAIL)

ENCODED = {
    kind: encode(PHOTO, kind)
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM")
}

READABLE = {
    "animated.gif": (animated("GIF"), (60, 40)),
    "animated.webp": (animated("WEBP"), (60, 40)),
    "animated.png": (animated("PNG"), (60, 40)),
    "several.tif": (animated("TIFF"), (60, 40)),
    "several.jpg": (animated("MPO"), (60, 40)),
    "pyramid.tif": (encode(PHOTO, "TIFF", save_all=True, append_images=[PHOTO.reduce(2)]),
                    (300, 200)),
    "cmyk.jpg": (ADOBE, (300, 200)),
    "ycck.jpg": (bytes(YCCK), (300, 200)),
    "gray.jpg": (encode(PHOTO.convert("L"), "JPEG"), (300, 200)),
    "progressive.jpg": (PROGRESSIVE, (300, 200)),
    "profile.jpg": (encode(PHOTO, "JPEG", icc_profile=SRGB), (300, 200)),
    "bad profile.jpg": (encode(PHOTO, "JPEG", icc_profile=b"nonsense" * 9), (300, 200)),
    "bad profile.png": (encode(PHOTO, "PNG", icc_profile=b"nonsense" * 9), (300, 200)),
    "orientation 99.jpg": (encode(PHOTO, "JPEG", exif=exif(99)), (300, 200)),
    "orientation 6.jpg": (encode(PHOTO, "JPEG", exif=exif(6)), (200, 300)),
    "broken tags.jpg": (encode(PHOTO, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), (300, 200)),
    "no tags.jpg": (encode(PHOTO, "JPEG", exif=b"Exif\0\0garbage"), (300, 200)),
    "thumbnail.jpg": (WITH_THUMBNAIL, (300, 200)),
    "jpeg in a.tif": (encode(PHOTO, "TIFF", compression="jpeg"), (300, 200)),
    "lzw.tif": (encode(PHOTO, "TIFF", compression="tiff_lzw"), (300, 200)),
    "jpeg 2000.jp2": (encode(PHOTO, "JPEG2000"), (300, 200)),
    "palette.gif": (encode(PHOTO.convert("P"), "GIF", transparency=3), (300, 200)),
    "palette.png": (encode(PHOTO.convert("P"), "PNG", transparency=bytes(range(256))), (300, 200)),
    "interlaced.png": (png(60, 40, PASSES, interlaced=1), (60, 40)),
    "more pixels.png": (png(60, 40, ROWS * 2), (60, 40)),
    "black.png": (encode(Image.new("RGB", (60, 40)), "PNG"), (60, 40)),
    "transparent.png": (encode(Image.new("RGBA", (60, 40)), "PNG"), (60, 40)),
    "plain.pbm": (b"P1\n# comment\n3 2\n1 0 1 0 1 0", (3, 2)),
    "pixel.png": (encode(Image.new("RGB", (1, 1)), "PNG"), (1, 1)),
    "pixel.jpg": (encode(Image.new("RGB", (1, 1)), "JPEG"), (1, 1)),
    "PNG in a.JPG": (encode(PHOTO, "PNG"), (300, 200)),
    "UPPER.PNG": (encode(PHOTO, "PNG"), (300, 200)),
    "two.jpg.png": (encode(PHOTO, "PNG"), (300, 200)),
    "zeros behind.jpg": (JPEG + b"\0" * 10_000, (300, 200)),
}  # fmt: skip
if "AVIF" in FORMATS:
    READABLE["animated.avif"] = (animated("AVIF"), (60, 40))

REJECTED = {
    "empty.jpg": (b"", "is an empty file"),
    "page.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "unsupported format"),
    "document.jpg": (b"%PDF-1.4\n", "unsupported format"),
    "drawing.png": (b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "unsupported format"),
    "pointer.png": (b"version https://git-lfs.github.com/spec/v1\n", "unsupported format"),
    "icon.png": (encode(PHOTO.resize((32, 32)), "ICO"), "unsupported format"),
    "layers.png": (b"8BPS\0\1" + b"\0" * 99, "unsupported format"),
    "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported format"),
    "no width.png": (png(0, 40, ROWS), "unsupported format"),
    "floats.tif": (encode(Image.new("F", (60, 40)), "TIFF"), "mode 'F'"),
    "floats.ppm": (b"Pf\n60 40\n-1.0\n" + bytes(9600), "mode 'F'"),
    "line.png": (encode(Image.new("L", (1, 20_000)), "PNG"), "aspect ratio above 100"),
    "line.jpg": (encode(Image.new("L", (20_000, 1)), "JPEG"), "aspect ratio above 100"),
    "square.png": (encode(Image.new("1", (13_000, 13_000)), "PNG"), "169,000,000 pixels"),
    "bomb.png": (png(2**31 - 1, 2**31 - 1, ROWS), "pixels; scale it down"),
    "bomb.ppm": (b"P6 60000 40000 255\n", "pixels; scale it down"),
    "text bomb.png": (png(60, 40, ROWS, extra=chunk(
        b"zTXt", b"k\0\0" + zlib.compress(bytes(80_000_000)))), "too large"),
}  # fmt: skip
DAMAGED = {
    "no pixels.png": png(60, 40, b""),
    "half.png": png(60, 40, ROWS, share=0.5),
    "all but a row.png": png(60, 40, ROWS, share=0.97),
    "half an interlaced.png": png(60, 40, PASSES, interlaced=1, share=0.5),
    "most of an interlaced.png": png(60, 40, PASSES, interlaced=1, share=0.95),
    "almost an interlaced.png": png(60, 40, PASSES, interlaced=1, share=0.9973),
    "half a palette.png": png(60, 40, filtered(NOISE[..., 0] // 64), color=0, share=0.5),
    "half of 16 bits.png": png(
        60, 40, filtered(NOISE[..., 0].astype(">u2") + 1), depth=16, color=0, share=0.5
    ),
    "end.gif": encode(PHOTO.convert("P"), "GIF")[:9000] + b"\0;",
    **{
        f"{name} {tenth} with an end.jpg": content[: len(content) * tenth // 10] + b"\xff\xd9"
        for tenth in range(1, 9)
        for name, content in (("sequential", JPEG), ("progressive", PROGRESSIVE))
    },
    **{
        f"{name} cut at {tenth}": content[: len(content) * tenth // 10]
        for tenth in range(1, 10)
        for name, content in (
            ("sequential.jpg", JPEG), ("progressive.jpg", PROGRESSIVE),
            ("thumbnail.jpg", WITH_THUMBNAIL),
            *((f"a.{kind}", encoded) for kind, encoded in ENCODED.items() if kind != "JPEG"),
        )
    },
}  # fmt: skip


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def attempt(path):
    """Size of the image, or the error, which must name the file."""
    try:
        return load_image(path).size
    except OSError as error:
        if str(path) not in str(error):
            raise
        return None


@pytest.mark.parametrize("name", READABLE)
def test_readable_images(tmp_path, name):
    content, size = READABLE[name]
    path = save(tmp_path / name, content)
    assert inspect_image(path) == inspect_image(path, decode=False) == ImageReport()
    assert load_image(path).size == size


@pytest.mark.parametrize("name", [name for name in READABLE if name.startswith(("anim", "sev"))])
def test_first_of_several_frames(tmp_path, name):
    color = load_image(save(tmp_path / name, READABLE[name][0])).getpixel((30, 20))
    assert np.abs(np.subtract(color, (255, 0, 0))).max() < 10


@pytest.mark.parametrize("name", REJECTED)
def test_rejected_images(tmp_path, name):
    content, message = REJECTED[name]
    path = save(tmp_path / name, content)
    for check in ("decode", "header"):
        assert message in inspect_image(path, check == "decode").error
        with pytest.raises(ValueError, match=name):
            load_folder(tmp_path, [(name, 1)], FINGERS, check=check)
    assert attempt(path) is None


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_images(tmp_path, name):
    path = save(tmp_path / name, DAMAGED[name])
    assert inspect_image(path).error
    attempt(path)


@pytest.mark.parametrize("kind", ENCODED)
def test_flipped_bits_give_an_image_or_an_error_with_a_name(tmp_path, kind):
    content, rng = ENCODED[kind], random.Random(0)
    for _ in range(12):
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 20])):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        path = save(tmp_path / "a.bin", changed)
        report = inspect_image(path)
        if attempt(path) is None:
            assert report.error or not report.bit_depth


def pattern(rng, width, height):
    noise = RNG.integers(0, 256, (height, width, 3))
    below = height * rng.randint(0, 9) // 10
    fill = rng.choice([0, 128, 255, 200, None])
    if fill is None:
        noise[:] = np.linspace(0, 255, width)[None, :, None]
    else:
        noise[below:] = fill
    return Image.fromarray(noise.astype(np.uint8))


def test_complete_images_are_not_taken_for_truncated_ones(tmp_path):
    rng = random.Random(1)
    for number in range(150):
        image = pattern(rng, rng.randint(10, 200), rng.randint(10, 200))
        image = image.convert(rng.choice(["RGB", "RGB", "L", "CMYK"]))
        options = {
            "quality": rng.choice([5, 30, 75, 95]), "optimize": rng.random() < 0.5,
            "progressive": number % 3 == 0, "subsampling": rng.choice([0, 1, 2]),
            "restart_marker_blocks": rng.choice([0, 0, 7]),
        }  # fmt: skip
        path = save(tmp_path / "a.jpg", encode(image, "JPEG", **options))
        assert inspect_image(path) == ImageReport(), (image.size, image.mode, options)
        if image.mode != "CMYK":
            image = image.convert(rng.choice(["RGB", "L", "1", "P", "RGBA", "LA"]))
            assert inspect_image(save(tmp_path / "a.png", encode(image, "PNG"))) == ImageReport()


def special_file(path, kind):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))
    return path


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "loop", "folder"])
def test_what_is_no_file_is_named_and_never_waited_for(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1").mkdir()
    path = special_file(tmp_path / "1" / "a.png", kind)
    for decode in (True, False):
        assert inspect_images([path], decode)[0].error
    assert attempt(path) is None
    with pytest.raises(ValueError, match=r"'a\.png' is (a |not a )") as caught:
        load_folder(tmp_path / "1", [("a.png", 1)], FINGERS)
    assert "is missing" not in str(caught.value)
    save(tmp_path / "1" / "b.png", encode(PHOTO, "PNG"))
    if kind == "folder":
        assert len(load_folder(tmp_path, task=FINGERS)) == 1
        return
    with pytest.warns(UserWarning, match=r"left out:\s+'.*a\.png' is (not a regular|a broken)"):
        assert len(load_folder(tmp_path, task=FINGERS)) == 1


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_published_images_that_are_no_files_are_named(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    for age in range(30, 35):
        save(tmp_path / f"{age}_0_1_20170116174525126.png", encode(PHOTO, "PNG"))
    special_file(tmp_path / "20_0_1_20170116174525125.jpg", kind)
    with pytest.raises(OSError, match=r"20_0_1.*jpg' .*is not a regular file"):
        check_published("utkface", tmp_path)


@pytest.mark.parametrize(
    "name",
    ["line\nbreak", "return\r", "\u202egnp", "\x1b[31mred", "x" * 240, "é", "e\u0301", "a b ", "'",
     '"', ",", ";", "%41", "*", "[a]", "~", "-", "\udcff"],
)  # fmt: skip
def test_names_of_files(tmp_path, name):
    save(tmp_path / "1" / f"{name}.png", encode(PHOTO, "PNG"))
    data = load_folder(tmp_path, task=FINGERS)
    assert data.metadata["path"].tolist() == [f"1/{name}.png"]
    assert data[0].size == (300, 200)
    save(tmp_path / "2" / f"{name}.png", b"")
    with pytest.raises(ValueError, match="is an empty file") as caught:
        load_folder(tmp_path, task=FINGERS)
    assert repr(f"2/{name}.png") in str(caught.value)
    str(caught.value).encode()


def test_folders_that_are_too_deep_are_named(tmp_path, monkeypatch):
    save(tmp_path / "1" / "a.png", encode(PHOTO, "PNG"))
    monkeypatch.chdir(tmp_path / "1")
    for _ in range(25):
        Path("d" * 200).mkdir()
        os.chdir("d" * 200)
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="left out:.*\n.*File name too long"):
        assert len(load_folder(tmp_path, task=FINGERS)) == 1


@pytest.mark.parametrize("check", ["decode", "header"])
def test_an_image_that_vanishes_is_named(tmp_path, monkeypatch, check):
    path = save(tmp_path / "1" / "a.png", encode(PHOTO, "PNG"))

    def vanish(files, *args):
        path.unlink()
        return inspect_images(files, *args)

    monkeypatch.setattr(validation, "inspect_images", vanish)
    with pytest.raises(ValueError, match=r"'1/a\.png' cannot be .*No such file"):
        load_folder(tmp_path, task=FINGERS, check=check)


@pytest.mark.parametrize("content", [None, b"", JPEG[:5000], b"<html>"])
def test_an_image_that_changes_after_its_check_is_named_when_used(tmp_path, monkeypatch, content):
    path = save(tmp_path / "1" / "a.jpg", JPEG)
    data = load_folder(tmp_path, task=FINGERS)
    path.unlink()
    if content is not None:
        save(path, content)
    with pytest.raises(OSError, match=r"a\.jpg"):
        data[0]
    with pytest.raises(OSError, match=r"fingers/all: 1 image cannot be read:\n .*a\.jpg"):
        data.check_files()


def test_an_unreadable_image_is_named(tmp_path, monkeypatch):
    save(tmp_path / "1" / "a.png", encode(PHOTO, "PNG"))

    def denied(file):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(image_index, "_hash_file", denied)
    with pytest.raises(ValueError, match=r"'1/a\.png' cannot be read: Permission denied"):
        load_folder(tmp_path, task=FINGERS)


def deny(monkeypatch, folder):
    scandir = os.scandir

    def denied(path="."):
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)


def test_unreadable_and_broken_subfolders_are_named(tmp_path, monkeypatch):
    for name in ("1/a.png", "1/deep/b.png", "2/c.png"):
        save(tmp_path / name, encode(PHOTO, "PNG"))
    (tmp_path / "3").symlink_to("nowhere")
    (tmp_path / "4").symlink_to("4")
    os.mkfifo(tmp_path / "5")
    deny(monkeypatch, tmp_path / "1" / "deep")
    with pytest.warns(UserWarning, match="left out") as caught:
        data = load_folder(tmp_path, task=FINGERS)
    assert data.values.tolist() == [1, 2]
    message = str(caught[0].message)
    for part in ("3' is a broken link", "4' is a broken link", "5' is not a regular file",
                 "deep' cannot be opened: Permission denied"):  # fmt: skip
        assert part in message
    deny(monkeypatch, tmp_path / "2")
    with pytest.raises(ValueError, match=r"without images \(2\)[^\0]*2' cannot be opened: Perm"):
        load_folder(tmp_path, task=FINGERS)


def test_linked_class_folders_are_read_and_contradictions_are_named(tmp_path):
    save(tmp_path / "elsewhere" / "x.png", encode(PHOTO, "PNG"))
    save(tmp_path / "set" / "1" / "a.png", encode(Image.new("RGB", (9, 9)), "PNG"))
    (tmp_path / "set" / "2").symlink_to(tmp_path / "elsewhere")
    data = load_folder(tmp_path / "set", task=FINGERS)
    assert data.metadata["path"].tolist() == ["1/a.png", "2/x.png"]
    (tmp_path / "set" / "3").symlink_to("1")
    with (
        pytest.warns(UserWarning, match="1 files have two names"),
        pytest.warns(UserWarning, match="1 images have copies .by content. with other labels"),
    ):
        assert len(load_folder(tmp_path / "set", task=FINGERS)) == 3


def test_copies_with_equal_labels_are_accepted(tmp_path, recwarn):
    for name in ("1/a.png", "1/b.png"):
        save(tmp_path / name, encode(PHOTO, "PNG"))
    assert len(load_folder(tmp_path, task=FINGERS)) == 2
    assert len(recwarn) == 0
