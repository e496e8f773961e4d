"""A saved ranking adapter, a saved CORN head and eight images, for tests of the commands."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from small_adapter import noise, small_adapter

from ordlib import CORN, fit, load_clip, load_task

STARS = "the number of stars"


def save_models(clip_folder: Path, folder: Path) -> Path:
    """Save ``adapter`` and ``corn`` with calibration and OOD detectors, and ``images``."""
    small_adapter(clip_folder).save_pretrained(folder / "adapter", {"training_data": "toys"})
    model = CORN(load_clip(clip_folder, "cpu"), load_task("dating"))
    splits = (noise("dating", split, 30) for split in ("train", "val"))
    fit(model, *splits, {"epochs": 2}, calibration=noise("dating", "c", 50), progress=False)
    model.save_pretrained(folder / "corn", {"training_data": "toys"})
    (folder / "images").mkdir()
    for i, image in enumerate(noise("counting", "folder", 8)):
        image.save(folder / "images" / f"{i}.png")
    return folder


def edited(component: Path, folder: Path, change: Callable[[dict], object], file="config.json"):
    """Copy a component, and change its config or card; return the copy."""
    shutil.copytree(component, folder)
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))
    return folder


def command(kind: str, folder: Path, images: object = None, model: object = None) -> list[str]:
    """Words of ``ordlib rank`` or ``ordlib predict``, on the images of `save_models`."""
    images = folder / "images" if images is None else images
    model = model or folder / ("adapter" if kind == "rank" else "corn")
    prompt = ["--prompt", STARS] if kind == "rank" else []
    return [kind, str(images), "--model", str(model), "--device", "cpu", *prompt]
