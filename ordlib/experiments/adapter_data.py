"""What ranking adapters are trained and tested on: larger splits, and objects held back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..clip import ClipBackbone
from ..data import ImageData
from ..synthetic.load import load_data

# Private to the painter of that task, whose every change draws the whole world anew.
from ..synthetic.quality import _distort, _share_out
from ..synthetic.vocabulary import OBJECTS
from ..utils.cache import content_hash

# The 2,000 pictures of a train split hold 26 of each object: too few to tell objects apart. Quality
# has no more than that, since more crops of its seven photographs only teach those seven; drawings
# are damaged beside them, as many of each of two tasks.
SIZES = {"counting": 10_000, "dating": 6_000, "ageing": 8_000, "quality": 2_000}
DAMAGED = ("counting", "ageing")
DAMAGED_EACH = 1_250
SEED = 7
TASKS = tuple(SIZES)
# One object in eight is never named to an adapter, nor shown to it.
HELD_OUT_OBJECTS = tuple(noun.plural for noun in OBJECTS[4::8])
# The first 1,000 of these are the test split; the rest is drawn for the sake of held-out objects.
TEST_SIZE = 6_000


def training_data(clip: ClipBackbone, task: str, split: str) -> ImageData:
    """A rendered split for training a ranking adapter, without the held-out objects.

    Args:
        clip: whose side the pictures have.
        task: one of ``TASKS``.
        split: "train" (larger than the usual one, which it begins with; for quality with damaged
            drawings beside the photographs) or "val".
    """
    size = SIZES[task] if split == "train" else None
    data = load_data(task, split, clip.image_size, size)
    if task == "quality" and split == "train":
        # Without the held-out objects here, too.
        drawings = [training_data(clip, drawn, split) for drawn in DAMAGED]
        return add_distorted_drawings(data, drawings, DAMAGED_EACH)
    if task != "counting":
        return data
    return data.subset(~data.metadata["plural"].isin(HELD_OUT_OBJECTS).to_numpy())


def add_distorted_drawings(
    photographs: ImageData, drawings: list[ImageData], each: int
) -> ImageData:
    """Photographs of the quality task, and drawings that were damaged in the same way.

    Seven photographs teach those seven: an adapter that saw nothing else took whatever it did not
    know for bad. What is damaged are drawings, so that no photograph of val or test is touched.
    The first of ``each`` set of drawings are taken; all have scores of opinion from 1 to 5.
    """
    rng = np.random.default_rng(SEED)
    drawn = [_damaged(data.images[i], rng) for data in drawings for i in range(each)]
    images = np.stack([np.asarray(image) for image, _ in drawn])
    scenes = [*photographs.groups, *["drawing"] * len(drawn)]
    return replace(
        photographs,
        images=np.concatenate([photographs.images, images]),
        values=np.concatenate([photographs.values, [value for _, value in drawn]]),
        metadata=pd.DataFrame({"scene_id": scenes}),
        groups=np.array(scenes),
        fingerprint=content_hash(
            photographs.fingerprint, *(data.fingerprint for data in drawings), each, SEED
        ),
    )


def _damaged(picture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Draw a score, and damage a picture until it deserves it, as the task's painter does."""
    value = round(float(rng.uniform(1, 5)), 2)
    damage = np.clip((5 - value) / 4 * rng.lognormal(0, 0.13) + rng.normal(0, 0.03), 0, 1.1)
    spoilt = _distort(np.float32(picture), _share_out(rng, float(damage)), rng.spawn(1)[0])
    return (spoilt + 0.5).clip(0, 255).astype(np.uint8), value


@dataclass(frozen=True, eq=False)
class EvalSet:
    """Pictures that order is tested on, each with its sentence.

    Attributes:
        name: "test", "held-out objects", "distractors" or "absent objects".
        data: N pictures.
        truth: ``(N,)`` what the sentences ask for; 0 where the picture has none of it.
        prompts: by kind of wording, "seen" and perhaps "held_out", N sentences each.
    """

    name: str
    data: ImageData
    truth: np.ndarray
    prompts: dict[str, Sequence[str]]


def eval_sets(
    clip: ClipBackbone, task: str, prompt_templates: dict[str, Sequence[str]]
) -> list[EvalSet]:
    """The sets that a task is tested on, with the first of each kind of wording.

    They are the test split; for counting also pictures of held-out objects, pictures with
    distractors, and the test split once with each picture's own object and once with another
    one's, of which it has none.
    """
    test = load_data(task, "test", clip.image_size)
    if task != "counting":
        prompts = {kind: [known[0]] * len(test) for kind, known in prompt_templates.items()}
        return [EvalSet("test", test, test.values, prompts)]
    many = load_data(task, "test", clip.image_size, TEST_SIZE)
    unseen = many.subset(
        many.metadata["plural"].isin(HELD_OUT_OBJECTS).to_numpy(), "held-out objects"
    )
    crowded = load_data(task, "distractors", clip.image_size)
    found = []
    for name, data in (("test", test), ("held-out objects", unseen), ("distractors", crowded)):
        prompts = {kind: _named(data, known[0]) for kind, known in prompt_templates.items()}
        found.append(EvalSet(name, data, data.values, prompts))
    return [*found, _absent_object_set(test, prompt_templates["seen"][0])]


def _absent_object_set(test: ImageData, wording: str) -> EvalSet:
    """Every picture twice: asked for its own objects, and for some that it has none of."""
    both = test.subset(np.tile(np.arange(len(test)), 2), "absent objects")
    own = test.metadata["plural"].to_numpy(dtype=str)
    rng = np.random.default_rng(0)
    others = [rng.choice([n.plural for n in OBJECTS if n.plural != name]) for name in own]
    both = replace(both, metadata=both.metadata.assign(plural=[*own, *others]))
    truth = np.concatenate([test.values, np.zeros(len(test))])
    return EvalSet("absent objects", both, truth, {"seen": _named(both, wording)})


def _named(data: ImageData, wording: str) -> list[str]:
    return [wording.format(plural=name) for name in data.metadata["plural"]]
