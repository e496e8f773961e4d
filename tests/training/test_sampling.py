"""Batches: full, reproducible, even over ranks, and negatives without the object of the prompt."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ranking_runs

from ordlib import ImageData, OrdinalTask
from ordlib.methods.ranking_adapter.model import RankingAdapter
from ordlib.training.sampling import (
    RankingBatch,
    epoch_batches,
    sample_evenly_over_ranks,
    sample_ranking_batches,
)

# Batches that the shipped components were trained with.
RECORDED = json.loads(Path(__file__).with_name("sequences.json").read_text())
THINGS = OrdinalTask(name="things", unit="things", values=(1, 2, 3, 4, 6))
LIGHT = OrdinalTask(name="light", unit="steps", values=(0, 1, 2))
KINDS = ("stars", "rings", "cats", "keys")
WITH_OBJECT = ("How many {plural}?", "the number of {plural}", "Sort by {plural}.")
WITHOUT_OBJECT = "Which shows the most?"


@pytest.mark.parametrize("arguments", RECORDED["epoch_batches"])
def test_epoch_batches_equal_recorded(arguments):
    batches = epoch_batches(*map(int, arguments.split(",")))
    assert batches.tolist() == RECORDED["epoch_batches"][arguments]


@pytest.mark.parametrize(
    ("count", "batch_size", "shape"), [(24, 8, (3, 8)), (23, 5, (4, 5)), (3, 64, (1, 3))]
)
def test_epoch_batches_are_full_and_without_duplicates(count, batch_size, shape):
    rows = epoch_batches(count, batch_size, seed=0, epoch=0)
    assert rows.shape == shape
    assert len(set(rows.ravel().tolist())) == rows.size
    assert set(rows.ravel().tolist()) <= set(range(count))
    epochs = [epoch_batches(count, batch_size, 0, epoch).ravel().tolist() for epoch in range(20)]
    assert set().union(*epochs) == set(range(count))


@pytest.mark.parametrize("epoch", [0, 1])
def test_sample_ranking_batches_equal_recorded(epoch, tiny_clip_folder):
    model = ranking_runs.make_adapter(tiny_clip_folder)
    data = {"light": ranking_runs.light("train", 24), "spots": ranking_runs.spots("train", 10)}
    model.fit_label_scalers(data.values())
    batches = sample_ranking_batches(model, data, 4, 8, 5, epoch)
    for batch, expected in zip(batches, RECORDED["rank_batches"][epoch], strict=True):
        assert [batch.task, batch.prompt, batch.rows.tolist()] == expected[:3]
        assert batch.targets.tolist() == pytest.approx(expected[3], rel=1e-6)


def make_data(task: OrdinalTask, values: np.ndarray, metadata: pd.DataFrame) -> ImageData:
    images = np.zeros((len(values), 8, 8, 3), dtype=np.uint8)
    return ImageData(task, images, values, metadata, f"{task.name}-{len(values)}", "train")


def things(count: int = 120) -> ImageData:
    """One kind of object per image, sometimes a distractor, and one frequent label."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 4, count)
    others = (kinds + rng.integers(1, 4, count)) % 4
    crowded = rng.random(count) < 0.3
    distractors = [KINDS[i] if on else None for i, on in zip(others, crowded, strict=True)]
    columns = {"plural": np.take(KINDS, kinds), "size": rng.random(count)}
    metadata = pd.DataFrame(columns | {"distractor": distractors})
    values = THINGS.rank_values[rng.choice(5, count, p=[0.6, 0.1, 0.1, 0.1, 0.1])]
    return make_data(THINGS, values, metadata)


def light(count: int = 30) -> ImageData:
    values = np.repeat(LIGHT.rank_values, [count - 9, 6, 3])
    return make_data(LIGHT, values, pd.DataFrame(index=range(count)))


def draw(
    clip, sets, steps=12, batch_size=10, seed=0, epoch=0,
    templates=(*WITH_OBJECT, WITHOUT_OBJECT), **options,
) -> list[RankingBatch]:  # fmt: skip
    by_name = {data.task.name: data for data in sets}
    custom = {"things": templates} if "things" in by_name else {}
    adapter = RankingAdapter(clip, [data.task for data in sets], prompt_templates=custom, **options)
    adapter.fit_label_scalers(sets)
    return sample_ranking_batches(adapter, by_name, steps, batch_size, seed, epoch)


def as_lists(batches: list[RankingBatch]) -> list[tuple]:
    return [(b.task, b.prompt, b.rows.tolist(), b.targets.tolist()) for b in batches]


def kind_of(prompt: str) -> str | None:
    """The object of a prompt, if any."""
    return next((k for k in KINDS for t in WITH_OBJECT if t.format(plural=k) == prompt), None)


def even_counts(sizes: list[int], count: int) -> list[int]:
    """Assign samples to ranks in turn, as long as a rank has images."""
    counts = [0] * len(sizes)
    while sum(counts) < min(count, sum(sizes)):
        for rank, size in enumerate(sizes):
            if counts[rank] < size and sum(counts) < count:
                counts[rank] += 1
    return counts


@pytest.mark.parametrize("sizes", [[4, 1, 1], [50, 50, 50], [100, 3, 0, 7, 40], [9], [1] * 12])
@pytest.mark.parametrize("count", [0, 1, 5, 10, 40, 500])
def test_sample_evenly_over_ranks_equals_naive_counts(sizes, count):
    rng = np.random.default_rng(count)
    ranks = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = sample_evenly_over_ranks(ranks, count, rng)
    assert len(rows) == len(set(rows.tolist())) == min(count, sum(sizes))
    counts = [sum(ranks[row] == rank for row in rows) for rank in range(len(sizes))]
    # Which ranks get one more than others is random; how many do is not.
    assert sorted(counts) == sorted(even_counts(sizes, count))
    for number, size in zip(counts, sizes, strict=True):
        assert number == size or number >= max(counts) - 1


def test_sample_evenly_over_ranks_reaches_every_image():
    ranks, rng = np.array([0] * 6 + [1] * 3 + [2]), np.random.default_rng(0)
    counts = Counter(
        row for _ in range(300) for row in sample_evenly_over_ranks(ranks, 2, rng).tolist()
    )
    per_rank = [sum(counts[row] for row in np.flatnonzero(ranks == rank)) for rank in range(3)]
    assert 170 < min(per_rank) <= max(per_rank) < 230
    assert sorted(counts) == list(range(10))
    assert min(counts[row] for row in range(6)) > 10


@pytest.mark.parametrize(
    ("batch_size", "ratio"), [(5, 0.2), (8, 0.2), (13, 0.2), (10, 0.5), (10, 0)]
)
def test_sample_ranking_batches_separate_positives_and_negatives(clip, batch_size, ratio):
    data = things()
    mean, std = data.values.mean(), data.values.std()
    batches = draw(clip, [data], steps=60, batch_size=batch_size, negative_ratio=ratio)
    batches = [batch for batch in batches if kind_of(batch.prompt)]
    assert len(batches) > 30
    for batch in batches:
        kind, positives, negatives = kind_of(batch.prompt), [], []
        for row, target in zip(batch.rows, batch.targets, strict=True):
            fields, label = data.metadata.iloc[row], data.values[row]
            positive = fields["plural"] == kind
            assert positive or kind not in fields.to_numpy().tolist()
            (positives if positive else negatives).append(row)
            assert target == pytest.approx(((label if positive else 0) - mean) / std, abs=1e-6)
        assert len(positives) == int((1 - ratio) * batch_size)
        assert len(positives) + len(negatives) == batch_size == len(set(batch.rows.tolist()))
        labels = data.values[data.metadata["plural"] == kind]
        sizes = [int((labels == value).sum()) for value in THINGS.rank_values]
        counts = [int((data.values[positives] == value).sum()) for value in THINGS.rank_values]
        assert sorted(counts) == sorted(even_counts(sizes, len(positives)))
        assert batch.targets.dtype == np.float32


def test_an_image_with_two_objects_is_no_negative_of_either(clip):
    """As in a table of counts: one row for each object in an image."""
    objects = ["stars", "rings", "stars", "cats", "rings", "cats"] * 4
    files = [Path(f"{i // 2}.jpg") for i in range(24)]
    metadata = pd.DataFrame({"plural": objects})
    values = np.arange(24) % 5 + 1.0
    data = ImageData(THINGS, files, np.minimum(values, 4), metadata, "pairs", "train")
    adapter = RankingAdapter(clip, THINGS, prompt_templates={"things": WITH_OBJECT})
    shown = {file: set(metadata["plural"][[f == file for f in files]]) for file in files}
    batches = sample_ranking_batches(adapter, {"things": data}, 40, 12, seed=0, epoch=0)
    zero = adapter.label_scalers["things"].standardize(np.zeros(1))[0]
    negatives = [
        (next(kind for kind in KINDS if kind in batch.prompt), files[row])
        for batch in batches
        for row, target in zip(batch.rows, batch.targets, strict=True)
        if target == pytest.approx(zero)
    ]
    assert len(negatives) > 50
    assert not any(kind in shown[file] for kind, file in negatives)


def test_sample_ranking_batches_have_no_negatives_without_placeholder(clip):
    data = things()
    batches = [b for b in draw(clip, [data], steps=40) if b.prompt == WITHOUT_OBJECT]
    assert len(batches) > 3
    for batch in batches:
        labels = data.values[batch.rows]
        expected = (labels - data.values.mean()) / data.values.std()
        np.testing.assert_allclose(batch.targets, expected, atol=1e-6)
        assert [int((labels == value).sum()) for value in THINGS.rank_values] == [2] * 5


def test_sample_ranking_batches_use_all_templates_and_objects(clip):
    batches = draw(clip, [things(), light()], steps=200, batch_size=4)
    prompts = Counter(batch.prompt for batch in batches if batch.task == "things")
    with_object = {t.format(plural=kind) for t in WITH_OBJECT for kind in KINDS}
    assert set(prompts) == with_object | {WITHOUT_OBJECT}
    assert 15 < prompts[WITHOUT_OBJECT] < 65
    prompts = {batch.prompt for batch in batches if batch.task == "light"}
    assert prompts == {"Rank by light.", "Order the pictures by light.", "light"}


def test_sample_ranking_batches_skip_templates_with_missing_columns(clip):
    colored, data = "How many {color} {plural}?", things()
    batches = draw(clip, [data], templates=[colored, WITHOUT_OBJECT])
    assert {batch.prompt for batch in batches} == {WITHOUT_OBJECT}
    metadata = data.metadata.assign(color=["red", "blue"] * 60)
    both = make_data(THINGS, data.values, metadata)
    for batch in draw(clip, [both], steps=30, templates=[colored]):
        _, _, color, kind = batch.prompt.removesuffix("?").split()
        positives = metadata.iloc[batch.rows[batch.targets > batch.targets.min()]]
        assert set(positives["color"]) <= {color}
        assert set(positives["plural"]) <= {kind}


def test_sample_ranking_batches_sample_tasks_in_proportion_to_size(clip):
    sets = [things(120), light()]
    share = 120 / (120 + len(sets[1]))
    for steps in (1, 3, 12):
        epochs = [draw(clip, sets, steps=steps, epoch=i) for i in range(40)]
        counts = [sum(batch.task == "things" for batch in batches) for batches in epochs]
        assert max(abs(count - share * steps) for count in counts) < 1, steps
        assert abs(np.mean(counts) / steps - share) < 0.15 / steps, steps
    orders = {tuple(b.task for b in draw(clip, sets, steps=12, epoch=i)) for i in range(4)}
    assert len(orders) > 1


def test_sample_ranking_batches_depend_on_seed_and_epoch(clip):
    sets = [things(), light()]
    expected = as_lists(draw(clip, sets, seed=3, epoch=2))
    assert len(expected) == 12
    np.random.seed(7)
    assert as_lists(draw(clip, sets, seed=3, epoch=2)) == expected
    assert as_lists(draw(clip, sets, seed=3, epoch=1)) != expected
    assert as_lists(draw(clip, sets, seed=2, epoch=2)) != expected


@pytest.mark.parametrize(("negative_ratio", "size"), [(0.2, 10), (0.0, 3)])
def test_sample_ranking_batches_take_all_images_of_a_rare_object(clip, negative_ratio, size):
    plural = pd.DataFrame({"plural": ["stars"] * 3 + ["rings"] * 37})
    data, options = make_data(THINGS, np.tile(THINGS.rank_values, 8), plural), {"steps": 60}
    options |= {"templates": WITH_OBJECT[:1], "negative_ratio": negative_ratio}
    batches = [b for b in draw(clip, [data], **options) if b.prompt == "How many stars?"]
    assert batches
    for batch in batches:
        assert batch.rows[:3].tolist() == [0, 1, 2]
        assert len(batch.rows) == len(batch.targets) == size
        assert all(row >= 3 for row in batch.rows[3:])


def test_sample_ranking_batches_with_fewer_images_than_batch_size(clip):
    (batch,) = draw(clip, [light(12)], steps=1, batch_size=20)
    assert batch.rows.tolist() == list(range(12))
    stars = make_data(THINGS, np.array([1.0, 1, 1, 2]), pd.DataFrame({"plural": ["stars"] * 4}))
    (batch,) = draw(clip, [stars], steps=1, batch_size=4, templates=WITH_OBJECT[:1])
    assert len(batch.rows) == 3  # every image shows stars, so there is no negative
