"""Skewed, long-tailed and wrong training labels."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_splits import noise

from ordlib import ImageData, load_task
from ordlib.experiments.adapter_data import HELD_OUT_OBJECTS
from ordlib.experiments.training_draws import (
    LABEL_DRAWS,
    WITHOUT_OBJECTS,
    draw_training_set,
    long_tailed_draw,
    noisy_draw,
    shifted_draw,
)


def counted(counts: list[int]) -> ImageData:
    """Images of dating, ``counts[r]`` of rank r, in random order."""
    task = load_task("dating")
    values = np.random.default_rng(0).permutation(np.repeat(task.rank_values, counts))
    rows = noise("dating", "train", 64).subset(np.zeros(len(values), int))
    images = np.arange(len(values))[:, None, None, None] % 256
    return replace(
        rows, values=values, images=np.broadcast_to(images, rows.images.shape).astype(np.uint8)
    )


def counts(data: ImageData) -> list[int]:
    return np.bincount(data.ranks, minlength=data.task.num_ranks).tolist()


def test_shifted_draw_thins_the_most_frequent_half():
    data = counted([40, 10, 60, 20, 30])
    assert counts(shifted_draw(data, 0.1, seed=0)) == [4, 10, 6, 20, 30]
    # Of equally frequent ranks, the seed decides.
    drawn = {tuple(counts(shifted_draw(counted([20] * 5), 0.2, seed))) for seed in range(20)}
    assert {tuple(sorted(c)) for c in drawn} == {(4, 4, 20, 20, 20)}
    assert len(drawn) > 5


def test_long_tailed_draw_falls_exponentially():
    found = counts(long_tailed_draw(counted([400] * 5), seed=0))
    assert found == [round(400 * 0.05 ** (rank / 4)) for rank in range(5)]
    assert counts(long_tailed_draw(counted([3] * 5), seed=0)) == [3, 1, 1, 1, 1]


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_noisy_draw_gives_other_ranks_to_a_share(share):
    data = counted([40] * 5)
    noisy = noisy_draw(data, share, seed=1)
    changed = noisy.values != data.values
    assert changed.sum() == round(share * 200)
    assert set(noisy.values) == set(data.task.rank_values)
    np.testing.assert_array_equal(noisy.images, data.images)
    # Every other rank is as likely.
    steps = np.concatenate([
        (noisy_draw(data, share, seed).ranks - data.ranks)[changed_rows] % 5
        for seed in range(50)
        for changed_rows in [noisy_draw(data, share, seed).values != data.values]
    ])  # fmt: skip
    frequencies = np.bincount(steps, minlength=5) / len(steps)
    assert frequencies[0] == 0
    assert frequencies[1:] == pytest.approx([0.25] * 4, abs=0.05)


@pytest.mark.parametrize("draw", LABEL_DRAWS)
def test_draw_training_set_keeps_the_images_of_labels(draw):
    data = counted([40] * 5)
    drawn = draw_training_set(data, draw, seed=2)
    assert (len(drawn) == len(data)) == ("wrong" in draw)
    same = draw_training_set(data, draw, seed=2)
    np.testing.assert_array_equal(drawn.values, same.values)
    other = draw_training_set(data, draw, seed=3)
    assert content(other) != content(drawn)
    if "wrong" not in draw:
        assert set(content(drawn)) <= set(content(data))
        assert len(set(content(drawn))) == len(drawn)


def content(data):
    return [(int(image[0, 0, 0]), v) for image, v in zip(data.images, data.values, strict=True)]


def test_draw_without_objects_keeps_the_others():
    task, names = load_task("counting"), ["stars", HELD_OUT_OBJECTS[0], "suns"]
    rows = noise("counting", "train", 8).subset(range(3))
    data = replace(rows, metadata=pd.DataFrame({"plural": names}))
    drawn = draw_training_set(data, WITHOUT_OBJECTS, seed=0)
    assert drawn.metadata["plural"].tolist() == ["stars", "suns"]
    assert drawn.task == task
