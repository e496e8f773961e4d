"""Rank batches: one sentence each, even over labels, and negatives that hold none of it."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from ordlib import ImageData, OrdinalTask
from ordlib.methods.ranking_adapter.model import RankingAdapter
from ordlib.training.sampling import RankBatch, rank_batches, sample_evenly_over_ranks

THINGS = OrdinalTask(name="things", unit="things", values=(1, 2, 3, 4, 6))
LIGHT = OrdinalTask(name="light", unit="steps", values=(0, 1, 2))
KINDS = ("stars", "rings", "cats", "keys")
NAMED = ("How many {plural}?", "the number of {plural}", "Sort by {plural}.")
GENERAL = "Which shows the most?"
COLOURED = "How many {colour} {plural}?"


def things(count: int = 120) -> ImageData:
    """One kind of thing each, one label more often than all others, another kind now and then."""
    rng = np.random.default_rng(0)
    own = rng.integers(0, 4, count)
    others = (own + rng.integers(1, 4, count)) % 4
    crowded = rng.random(count) < 0.3
    records = pd.DataFrame(
        {
            "plural": [KINDS[i] for i in own],
            "size": rng.random(count),
            "distractor": [KINDS[i] if on else None for i, on in zip(others, crowded, strict=True)],
        }
    )
    values = THINGS.rank_values[rng.choice(5, count, p=[0.6, 0.1, 0.1, 0.1, 0.1])]
    return of(THINGS, values, records)


def of(task: OrdinalTask, values: np.ndarray, records: pd.DataFrame) -> ImageData:
    images = np.zeros((len(values), 8, 8, 3), dtype=np.uint8)
    return ImageData(task, images, values, records, f"{task.name}-{len(values)}", "train")


def light(count: int = 30) -> ImageData:
    values = np.repeat(LIGHT.rank_values, [count - 9, 6, 3])
    return of(LIGHT, values, pd.DataFrame(index=range(count)))


def draw(clip, sets, steps=12, batch_size=10, seed=0, epoch=0, **options) -> list[RankBatch]:
    prompt_templates = options.pop("prompt_templates", {"things": [*NAMED, GENERAL]})
    tasks = [data.task for data in sets]
    prompt_templates = {
        name: w for name, w in prompt_templates.items() if name in {t.name for t in tasks}
    }
    adapter = RankingAdapter(clip, tasks, prompt_templates=prompt_templates, **options)
    adapter.fit_label_scalers(sets)
    by_name = {data.task.name: data for data in sets}
    return rank_batches(adapter, by_name, steps, batch_size, seed, epoch)


def same(one: list[RankBatch], other: list[RankBatch]) -> bool:
    return all(
        (a.task, a.prompt) == (b.task, b.prompt)
        and np.array_equal(a.rows, b.rows)
        and np.array_equal(a.targets, b.targets)
        for a, b in zip(one, other, strict=True)
    )


def kind_of(prompt: str) -> str | None:
    """Return the kind that a sentence asks for, if it names one."""
    found = [kind for kind in KINDS for s in NAMED if s.format(plural=kind) == prompt]
    return found[0] if found else None


def even(sizes: list[int], count: int) -> list[int]:
    """Deal places to ranks in turn, as long as a rank has pictures: the largest turns first."""
    dealt = [0] * len(sizes)
    while sum(dealt) < min(count, sum(sizes)):
        for rank, size in enumerate(sizes):
            if dealt[rank] < size and sum(dealt) < count:
                dealt[rank] += 1
    return dealt


@pytest.mark.parametrize("sizes", [[4, 1, 1], [50, 50, 50], [100, 3, 0, 7, 40], [9], [1] * 12])
@pytest.mark.parametrize("count", [0, 1, 5, 10, 40, 500])
def test_pictures_are_spread_evenly_over_ranks(sizes, count):
    rng = np.random.default_rng(count)
    ranks = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = sample_evenly_over_ranks(ranks, count, rng)
    assert len(rows) == len(set(rows.tolist())) == min(count, sum(sizes))
    found = [sum(ranks[row] == rank for row in rows) for rank in range(len(sizes))]
    # Which ranks get one more than others is chance; how many do is not.
    assert sorted(found) == sorted(even(sizes, count))
    for number, size in zip(found, sizes, strict=True):
        assert number == size or number >= max(found) - 1


def test_every_picture_and_every_rank_has_its_chance():
    ranks, rng = np.array([0] * 6 + [1] * 3 + [2]), np.random.default_rng(0)
    seen = Counter(
        row for _ in range(300) for row in sample_evenly_over_ranks(ranks, 2, rng).tolist()
    )
    shares = [sum(seen[row] for row in np.flatnonzero(ranks == rank)) for rank in range(3)]
    assert 170 < min(shares) <= max(shares) < 230
    assert sorted(seen) == list(range(10))
    assert min(seen[row] for row in range(6)) > 10


@pytest.mark.parametrize("batch_size", [5, 8, 10, 13])
def test_positives_show_what_is_asked_for_and_negatives_hold_none(clip, batch_size):
    data = things()
    mean, std = data.values.mean(), data.values.std()
    checked = 0
    for drawn in draw(clip, [data], steps=60, batch_size=batch_size):
        kind = kind_of(drawn.prompt)
        if kind is None:
            continue
        checked += 1
        positive, negative = [], []
        for row, target in zip(drawn.rows, drawn.targets, strict=True):
            record, label = data.metadata.iloc[row], data.values[row]
            shown = record["plural"] == kind
            assert shown or kind not in record.to_numpy().tolist()
            (positive if shown else negative).append(row)
            assert target == pytest.approx(((label if shown else 0) - mean) / std, abs=1e-6)
        assert len(positive) == int(0.8 * batch_size)
        assert len(positive) + len(negative) == batch_size == len(set(drawn.rows.tolist()))
        mine = data.values[data.metadata["plural"] == kind]
        sizes = [int((mine == level).sum()) for level in THINGS.rank_values]
        found = [int((data.values[positive] == level).sum()) for level in THINGS.rank_values]
        assert sorted(found) == sorted(even(sizes, len(positive)))
        assert drawn.targets.dtype == np.float32
    assert checked > 30


def test_the_share_of_negatives_is_an_option(clip):
    for negatives, expected in ((0.0, 0), (0.5, 5)):
        for drawn in draw(clip, [things()], negative_ratio=negatives):
            if kind := kind_of(drawn.prompt):
                shown = things().metadata["plural"].to_numpy()[drawn.rows] == kind
                assert (~shown).sum() == expected
                assert shown.sum() == 10 - expected


def test_a_sentence_that_names_nothing_has_no_negatives(clip):
    data, seen = things(), 0
    for drawn in draw(clip, [data], steps=40):
        if drawn.prompt == GENERAL:
            seen += 1
            labels = data.values[drawn.rows]
            expected = (labels - data.values.mean()) / data.values.std()
            np.testing.assert_allclose(drawn.targets, expected, atol=1e-6)
            assert [int((labels == level).sum()) for level in THINGS.rank_values] == [2] * 5
    assert seen > 3


def test_all_sentences_and_kinds_are_drawn(clip):
    drawn = draw(clip, [things(), light()], steps=200, batch_size=4)
    prompts = Counter(each.prompt for each in drawn if each.task == "things")
    by_kind = {s.format(plural=kind) for s in NAMED for kind in KINDS}
    assert set(prompts) == by_kind | {GENERAL}
    assert 15 < prompts[GENERAL] < 65
    assert {each.prompt for each in drawn if each.task == "light"} == {
        "Rank by light.",
        "Order the pictures by light.",
        "light",
    }


def test_a_sentence_whose_column_is_missing_is_not_drawn(clip):
    prompt_templates = {"things": [COLOURED, GENERAL]}
    drawn = draw(clip, [things()], prompt_templates=prompt_templates)
    assert {each.prompt for each in drawn} == {GENERAL}
    data = things()
    both = of(THINGS, data.values, data.metadata.assign(colour=["red", "blue"] * 60))
    for each in draw(clip, [both], steps=30, prompt_templates={"things": [COLOURED]}):
        _, _, colour, kind = each.prompt.removesuffix("?").split()
        asked = both.metadata.iloc[each.rows[each.targets > each.targets.min()]]
        assert set(asked["colour"]) <= {colour}
        assert set(asked["plural"]) <= {kind}


def test_tasks_have_their_turns_by_their_pictures(clip):
    sets = [things(120), light()]
    share = 120 / (120 + len(sets[1]))
    for steps in (1, 3, 12):
        epochs = [draw(clip, sets, steps=steps, epoch=i) for i in range(40)]
        counts = [sum(each.task == "things" for each in drawn) for drawn in epochs]
        assert max(abs(count - share * steps) for count in counts) < 1, steps
        assert abs(np.mean(counts) / steps - share) < 0.15 / steps, steps
    orders = {tuple(e.task for e in draw(clip, sets, steps=12, epoch=i)) for i in range(4)}
    assert len(orders) > 1


def test_seed_and_epoch_decide_everything(clip):
    sets = [things(), light()]
    expected = draw(clip, sets, seed=3, epoch=2)
    assert len(expected) == 12
    np.random.seed(7)
    assert same(draw(clip, sets, seed=3, epoch=2), expected)
    assert not same(draw(clip, sets, seed=3, epoch=1), expected)
    assert not same(draw(clip, sets, seed=2, epoch=2), expected)


def test_a_thing_that_few_pictures_show(clip):
    """All that show it are taken; others fill the batch, if there are to be others."""
    values = np.tile(THINGS.rank_values, 8)
    plural = ["stars"] * 3 + ["rings"] * 37
    data = of(THINGS, values, pd.DataFrame({"plural": plural}))
    prompt_templates = {"things": [NAMED[0]]}
    rare = "How many stars?"
    for negatives, size in ((0.2, 10), (0.0, 3)):
        drawn = draw(
            clip, [data], steps=60, prompt_templates=prompt_templates, negative_ratio=negatives
        )
        found = [each for each in drawn if each.prompt == rare]
        assert found
        for each in found:
            assert each.rows[:3].tolist() == [0, 1, 2]
            assert len(each.rows) == len(each.targets) == size
            assert all(row >= 3 for row in each.rows[3:])


def test_fewer_pictures_than_a_batch(clip):
    (drawn,) = draw(clip, [light(12)], steps=1, batch_size=20)
    assert drawn.rows.tolist() == list(range(12))
    everywhere = of(THINGS, np.ones(4), pd.DataFrame({"plural": ["stars"] * 4}))
    adapter = RankingAdapter(clip, THINGS, prompt_templates={"things": [NAMED[0]]})
    (drawn,) = rank_batches(adapter, {"things": everywhere}, 1, 4, 0, 0)
    # Nothing is without stars, so there is no negative.
    assert len(drawn.rows) == 3
