"""The quality task: distorted crops of photographs with opinion scores of 1.0 to 5.0."""

import numpy as np

from . import distortions, photos
from .sample import Sample

KINDS = ("blur", "noise", "compression", "exposure", "fading")
WORDS = {"blur": "blurry", "noise": "noisy", "compression": "blocky", "fading": "washed out"}
# Below this severity nobody names a fault.
NOTICED = 0.12
# A crop with less detail than this (mean step between neighbours at 32 pixels, in grey levels)
# is drawn anew: on a piece of empty sky no damage shows.
DETAIL = 9.0
TRIES = 5


def draw(rng: np.random.Generator, split: str, side: int) -> Sample:
    """Draw one sample of the quality task.

    The score is drawn first, uniformly, and then damage that deserves it, in the opinion of
    somebody who is sometimes stricter and sometimes milder.

    Args:
        rng: the picture's own generator.
        split: chooses the photographs.
        side: pixels.

    Returns:
        The picture, its score (1.0 bad to 5.0 excellent), and the record of the damage.

    Example:
        >>> picture = draw(np.random.default_rng(0), "test", 64)
        >>> 1 <= picture.value <= 5, picture.record["scene_id"] in ("chelsea", "coffee", "china")
        (True, True)
    """
    value = round(float(rng.uniform(1, 5)), 2)
    damage = np.clip((5 - value) / 4 * rng.lognormal(0, 0.13) + rng.normal(0, 0.03), 0, 1.1)
    severities = _distribute_severity(rng, float(damage))
    scenes = photos.scenes(split)
    scene = scenes[rng.integers(len(scenes))]
    picture = _apply_distortions(_crop(rng, scene.name, side), severities, rng.spawn(1)[0])
    grey = picture @ distortions.LUMA
    record = {
        "scene": scene.words,
        "scene_id": scene.name,
        "distortion": _word(severities),
        **{kind: round(severity, 4) for kind, severity in severities.items()},
        "brightness": round(float(grey.mean()) / 255, 4),
        "contrast": round(float(grey.std()) / 255, 4),
    }
    return Sample((picture + 0.5).astype(np.uint8), value, record)


def _distribute_severity(rng: np.random.Generator, damage: float) -> dict[str, float]:
    """Distribute the damage over one to three kinds, with a 1.6-norm of that damage."""
    number = rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15])
    chosen = rng.permutation(len(KINDS))[:number]
    weights = np.zeros(len(KINDS))
    weights[chosen] = rng.uniform(0.2, 1, number)
    severities = np.minimum(damage * weights / (weights**1.6).sum() ** (1 / 1.6), 1)
    sign = -1 if rng.random() < 0.55 else 1
    return {
        kind: float(severity) * (sign if kind == "exposure" else 1)
        for kind, severity in zip(KINDS, severities, strict=True)
    }


def _crop(rng: np.random.Generator, name: str, side: int) -> np.ndarray:
    """Cut a square with something in it: the first of a few with detail, else the last."""
    for seed in rng.integers(2**63, size=TRIES):
        thumbnail = photos.crop(np.random.default_rng(seed), name, 32, smallest=0.6)
        grey = np.float32(thumbnail.convert("L"))
        if np.abs(np.diff(grey)).mean() + np.abs(np.diff(grey, axis=0)).mean() > 2 * DETAIL:
            break
    return np.float32(photos.crop(np.random.default_rng(seed), name, side, smallest=0.6))


def _apply_distortions(
    picture: np.ndarray, severities: dict[str, float], rng: np.random.Generator
) -> np.ndarray:
    """Apply distortions in the order of a camera: lens, light, sensor, file."""
    if severities["blur"]:
        picture = distortions.blur(picture, severities["blur"])
    if severities["exposure"]:
        picture = distortions.expose(picture, severities["exposure"])
    if severities["fading"]:
        picture = distortions.fade(picture, severities["fading"])
    if severities["noise"]:
        picture = distortions.noise(picture, severities["noise"], rng)
    if severities["compression"]:
        picture = distortions.compress(picture, severities["compression"])
    return picture


def _word(severities: dict[str, float]) -> str:
    """Word of the most severe distortion, or "sharp"."""
    worst = max(severities, key=lambda kind: abs(severities[kind]))
    if abs(severities[worst]) < NOTICED:
        return "sharp"
    if worst == "exposure":
        return "dark" if severities[worst] < 0 else "overexposed"
    return WORDS[worst]
