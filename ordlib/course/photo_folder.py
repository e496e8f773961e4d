"""The photographs of notebook 06: a folder of JPEG files and a table of labels, with five faults.

Each session has its own scene, light, kind of object and usual number of objects, as sessions of
one photographer have. So images of a session resemble each other in more than their label.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from ..synthetic.counting import inside
from ..synthetic.glyphs import stamp
from ..synthetic.layouts import LAYOUTS, place
from ..synthetic.photos import SCENES, photograph
from ..synthetic.vocabulary import COLOURS, OBJECTS, Noun
from ..utils.cache import atomic_write, cache_dir

VERSION = 1  # of the files; a change makes a new folder
WIDTH, HEIGHT = 320, 240  # pixels
MAX_COUNT, NUM_IMAGES, NUM_SESSIONS = 8, 400, 39
NEW_SESSIONS, NEW_IMAGES = 3, 24  # without labels
# Sessions with a usual count of 1, 2, ...: few have many objects.
SESSIONS_BY_COUNT = (4, 9, 8, 6, 4, 3, 3, 2)
# Of the count of an image from the usual one of its session.
DEVIATIONS = (-3, -2, -1, 0, 0, 1, 2, 3)
SUPERSAMPLING = 2
JPEG_QUALITY = 88
OUT_OF_FOCUS = 7  # pixels: the objects lie before the scene
# Row of each planted fault; the table is in order of the file names.
DAMAGED, ROTATED, WRONG_LABEL, COPY, COPIED = 41, 118, 203, 300, 187
WRONG_VALUE = 8
TORN_SESSION, TORN_NAME = "coffee-2", "Coffee 2"


@dataclass(frozen=True)
class Session:
    """What the images of one session have in common."""

    name: str
    scene: str
    noun: Noun
    color: tuple[int, int, int]
    usual_count: int
    box: tuple[float, float, float]  # left, top and width of the view, as shares
    light: np.ndarray  # (3,) factor on red, green and blue


def make_photo_folder(folder: Path | None = None) -> Path:
    """Write the photographs, unless they are there; return their folder, by default in the cache.

    ``photos`` has 400 images and ``labels.csv`` with the columns path, count and session; ``new``
    has 24 images of three further sessions.

    Example:
        >>> folder = make_photo_folder()
        >>> pd.read_csv(folder / "photos" / "labels.csv").columns.tolist()
        ['path', 'count', 'session']
    """
    folder = folder or cache_dir() / "datasets" / f"photo-folder-{VERSION}"
    if not folder.is_dir():
        with atomic_write(folder) as temporary:
            for name in ("photos", "new"):
                (temporary / name).mkdir(parents=True)
            _write_photos(temporary / "photos")
            _write_new(temporary / "new")
    return folder


def planted_faults() -> dict[str, str | tuple[str, ...]]:
    """The faults by kind: file names, or for "torn group" both names of the session."""
    return {
        "damaged": file_name(DAMAGED),
        "rotated": file_name(ROTATED),
        "duplicate": (file_name(COPIED), file_name(COPY)),
        "wrong label": file_name(WRONG_LABEL),
        "torn group": (TORN_SESSION, TORN_NAME),
    }


def file_name(row: int) -> str:
    """Name of an image file by its row in the table."""
    return f"IMG_{row + 1:04d}.jpg"


def _sessions() -> list[Session]:
    rng = np.random.default_rng(20)
    counts = rng.permutation(np.repeat(np.arange(1, MAX_COUNT + 1), SESSIONS_BY_COUNT))
    # The last sessions, of the images without labels, are of scenes that occur, too.
    counts = np.append(counts, (2, 4, 6))
    nouns = rng.permutation(len(OBJECTS))
    sessions = []
    for number, count in enumerate(counts):
        scene = SCENES[number % len(SCENES)].name
        color = str(rng.choice(list(COLOURS)))
        width = rng.uniform(0.6, 0.9)
        box = (*rng.uniform(0, 1 - width, 2), width)
        light = rng.uniform(0.75, 1.1) * rng.uniform(0.9, 1.1, 3)
        name = f"{scene}-{number // len(SCENES) + 1}"
        noun = OBJECTS[nouns[number]]
        sessions.append(Session(name, scene, noun, COLOURS[color], int(count), box, light))
    return sessions


def _write_photos(folder: Path) -> None:
    sessions, rng = _sessions()[:NUM_SESSIONS], np.random.default_rng(21)
    sizes = np.full(NUM_SESSIONS, NUM_IMAGES // NUM_SESSIONS)
    sizes[: NUM_IMAGES - sizes.sum()] += 1
    rows = []
    for session, size in zip(sessions, sizes, strict=True):
        for _ in range(size):
            count = _draw_count(rng, session)
            _draw(rng, session, count).save(folder / file_name(len(rows)), quality=JPEG_QUALITY)
            rows.append({"path": file_name(len(rows)), "count": count, "session": session.name})
    table = _plant_faults(folder, pd.DataFrame(rows))
    table.to_csv(folder / "labels.csv", index=False, lineterminator="\n")


def _plant_faults(folder: Path, table: pd.DataFrame) -> pd.DataFrame:
    damaged = folder / file_name(DAMAGED)
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 3])
    rotated = folder / file_name(ROTATED)
    Image.open(rotated).transpose(Image.Transpose.ROTATE_90).save(rotated, quality=JPEG_QUALITY)
    copied = (folder / file_name(COPIED)).read_bytes()
    (folder / file_name(COPY)).write_bytes(copied)
    table.loc[COPY, "count"] = table.loc[COPIED, "count"]
    table.loc[WRONG_LABEL, "count"] = WRONG_VALUE
    torn = table.index[table["session"] == TORN_SESSION]
    table.loc[torn[len(torn) // 2 :], "session"] = TORN_NAME
    return table


def _write_new(folder: Path) -> None:
    sessions, rng = _sessions()[NUM_SESSIONS:], np.random.default_rng(22)
    for row in range(NEW_IMAGES):
        session = sessions[row % NEW_SESSIONS]
        image = _draw(rng, session, _draw_count(rng, session))
        image.save(folder / f"DSC_{row + 1:03d}.jpg", quality=JPEG_QUALITY)


def _draw_count(rng: np.random.Generator, session: Session) -> int:
    count = session.usual_count + int(rng.choice(DEVIATIONS))
    return int(np.clip(count, 1, MAX_COUNT))


def _draw(rng: np.random.Generator, session: Session, count: int) -> Image.Image:
    background = _background(rng, session)
    canvas = Image.new("RGB", (WIDTH * SUPERSAMPLING,) * 2)
    largest = min(0.34, np.sqrt(2 / np.pi / count))
    diameters = rng.uniform(0.7, 1) * largest * rng.uniform(0.8, 1, count)
    layout = str(rng.choice(list(LAYOUTS)))
    # Laid out in a square of the height, then stretched to the width: distances only grow.
    centers, diameters = place(rng, layout, diameters, float(rng.uniform(0.6, 1)))
    ratio = HEIGHT / WIDTH
    for center, diameter in zip(centers, diameters, strict=True):
        position = center * (1, ratio)
        stamp(canvas, session.noun, position, diameter * ratio, rng.uniform(-0.4, 0.4), 0.75)
    masks = canvas.reduce(SUPERSAMPLING).crop((0, 0, WIDTH, HEIGHT))
    ink, body, _ = masks.split()
    ground = Image.new("RGB", background.size, inside(session.color))
    halo = body.filter(ImageFilter.GaussianBlur(8)).point(lambda x: min(int(2.2 * x), 235))
    image = Image.composite(ground, background, halo)
    image.paste(ground, mask=body)
    image.paste(session.color, mask=ink)
    pixels = np.asarray(image) * session.light + rng.normal(0, 4, (HEIGHT, WIDTH, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _background(rng: np.random.Generator, session: Session) -> Image.Image:
    """A view of the scene, shifted a little from image to image."""
    photo = photograph(session.scene)
    left, top, width = session.box
    span = width * min(photo.width, photo.height * WIDTH / HEIGHT)
    room = np.array([photo.width - span, photo.height - span * HEIGHT / WIDTH])
    shares = np.clip(np.array([left, top]) / (1 - width) + rng.uniform(-0.1, 0.1, 2), 0, 1)
    x, y = room * shares
    box = (x, y, x + span, y + span * HEIGHT / WIDTH)
    view = photo.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box)
    return view.filter(ImageFilter.GaussianBlur(OUT_OF_FOCUS))
