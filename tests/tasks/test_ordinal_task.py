import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordlib.tasks import OrdinalTask, Prediction, load_task

deterministic = settings(max_examples=60, deadline=None, derandomize=True, database=None)
STARS = OrdinalTask(name="stars", unit="stars", values=(1, 2, 3, 4, 5))
PRICES = OrdinalTask(
    name="prices", unit="euros", values=(1, 2.5, 10, 100), upper_edge=200,
    templates=("it costs {rank} in the {place}", "{rank}"),
    placeholders={"place": ("shop", "market")}, bin_edges=(0, 5), bin_phrases=("cheap", "dear"),
    bin_templates=("{rank} wares of the {place}",),
)  # fmt: skip
STAGES = OrdinalTask(
    name="stages", unit="months", values=("early", "middle", "late"), positions=(0, 3, 12)
)


@st.composite
def tasks(draw):
    rank_values = draw(st.lists(st.integers(-1000, 1000), min_size=2, max_size=30, unique=True))
    scale = draw(st.sampled_from([1, 0.25, 7.5]))
    return OrdinalTask(
        name="any", unit="units", values=[scale * value for value in sorted(rank_values)]
    )


numbers = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20)


def test_ordinal_task_defaults():
    assert STARS.rank_names == ("1", "2", "3", "4", "5")
    assert STARS.bin_phrases == STARS.rank_names
    assert STARS.bin_edges == (1, 1.5, 2.5, 3.5, 4.5)
    assert (STARS.num_ranks, STARS.num_bins, STARS.upper_edge) == (5, 5, 5)
    assert STARS.bin_templates == STARS.templates == ("{rank}",)
    named = OrdinalTask(name="size", unit="steps", values=("s", "m", "l"))
    assert (named.positions, named.rank_names) == ((0, 1, 2), ("s", "m", "l"))
    assert STAGES.rank_values.tolist() == [0.0, 3.0, 12.0]
    assert STAGES.rank_values.dtype == np.float64
    assert STAGES.range == (0.0, 12.0)
    assert PRICES.range == (1.0, 100.0)


@deterministic
@given(tasks(), numbers)
def test_rank_index_equals_naive_nearest_and_is_monotonic(task, values):
    for value, rank in zip(values, task.rank_index(values), strict=True):
        distances = [abs(value - other) for other in task.rank_values]
        assert distances[rank] == pytest.approx(min(distances), abs=1e-9)
    ranks = task.rank_index(np.sort(values))
    assert (np.diff(ranks) >= 0).all()
    assert (task.rank_index(task.rank_values[ranks]) == ranks).all()
    assert (task.rank_index(task.rank_values) == np.arange(task.num_ranks)).all()


@deterministic
@given(tasks(), numbers)
def test_bin_index_equals_rank_index_for_default_bins(task, values):
    assert (task.bin_index(values) == task.rank_index(values)).all()
    assert task.bin_midpoints() == pytest.approx(task.rank_values)


def test_rank_index_and_bin_index_preserve_shape_and_reject_nan():
    assert STARS.rank_index(3.2).shape == ()
    assert STARS.rank_index([[1, 2], [3, 9]]).tolist() == [[0, 1], [2, 4]]
    assert STARS.bin_index(np.ones((2, 3, 4))).shape == (2, 3, 4)
    assert STARS.rank_index([1.0]).dtype == np.int64
    for method in (STARS.rank_index, STARS.bin_index):
        with pytest.raises(ValueError, match=r"value \[1\] is NaN"):
            method([1.0, float("nan")])


def test_bin_index_equals_naive_loop():
    task = load_task("ageing")
    for age in task.rank_values:
        naive = max(index for index, edge in enumerate(task.bin_edges) if age >= edge)
        assert task.bin_index(age) == naive
    assert PRICES.bin_index([-3, 0, 4.99, 5, 1000]).tolist() == [0, 0, 0, 1, 1]


def test_bin_midpoints_use_upper_edge_and_single_ranks():
    assert PRICES.bin_midpoints().tolist() == [2.5, 102.5]
    single = dataclasses.replace(PRICES, bin_edges=(0, 50))
    assert single.bin_midpoints().tolist() == [25.0, 100.0]


def test_prompts_use_default_placeholders():
    assert PRICES.prompts()[1] == "it costs 2.5 in the shop"
    assert PRICES.prompts(place="fair")[3] == "it costs 100 in the fair"
    assert PRICES.prompts(template=1, place="fair") == ["1", "2.5", "10", "100"]
    wares = PRICES.bin_prompts(place="market")
    assert wares == ["cheap wares of the market", "dear wares of the market"]


def test_prompts_keep_braces_in_rank_names():
    task = dataclasses.replace(
        PRICES, rank_names=tuple("{}[]"), templates=("{{{rank}}}", "{place}{rank}")
    )
    assert task.prompts() == ["{{}", "{}}", "{[}", "{]}"]


def test_placeholder_combinations_are_complete():
    assert PRICES.placeholder_combinations() == [{"place": "shop"}, {"place": "market"}]
    assert PRICES.placeholder_combinations(template=1) == [{}]
    counting = load_task("counting")
    colourful = [index for index, text in enumerate(counting.templates) if "{colour}" in text]
    combinations = counting.placeholder_combinations(colourful[0])
    objects, colours = (len(counting.placeholders[name]) for name in ("object", "colour"))
    assert len({tuple(c.items()) for c in combinations}) == len(combinations) == objects * colours


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (PRICES.prompts, {"template": 2}, r"'prices' .* templates\[2\].* 2"),
        (PRICES.bin_prompts, {"template": 1}, r"'prices' .* bin_templates\[1\].* 1"),
        (PRICES.prompts, {"colour": "red"}, "'prices' .* 'colour'.* 'place'"),
        (STARS.prompts, {"colour": "red"}, "'stars' .* 'colour'.* none"),
    ],
)
def test_prompts_invalid_arguments(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(**arguments)


def test_rank_label_formats_values():
    floats = OrdinalTask(name="halves", unit="points", values=(1.0, 1.5, 2.0))
    assert [floats.rank_label(rank) for rank in range(3)] == ["1", "1.5", "2"]
    assert [STAGES.rank_label(rank) for rank in range(3)] == ["early", "middle", "late"]


def test_decode_probabilities_expectation_and_argmax():
    task = dataclasses.replace(PRICES, decode="argmax")
    for prediction in (
        PRICES.decode_probabilities([[0.5, 0.0, 0.5, 0.0]]),
        task.decode_probabilities([[0.5, 0.0, 0.5, 0.0]], decode="expectation"),
    ):
        assert (prediction.value.tolist(), prediction.label.tolist()) == ([5.5], [2.5])
    prediction = task.decode_probabilities([[0.5, 0.0, 0.4, 0.1]])
    assert prediction.value.tolist() == prediction.label.tolist() == [1.0]


@pytest.mark.filterwarnings("error")
@deterministic
@given(tasks(), st.integers(0, 1000))
def test_decode_probabilities_equals_naive_expectation(task, seed):
    rows = np.random.default_rng(seed).dirichlet(np.ones(task.num_ranks), size=4)
    prediction = task.decode_probabilities(rows.astype(np.float16))
    naive = [sum(p * value for p, value in zip(row, task.rank_values, strict=True)) for row in rows]
    span = task.range[1] - task.range[0]
    assert prediction.value == pytest.approx(np.array(naive), abs=2e-3 * span)
    assert prediction.probabilities.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-12)
    assert set(prediction.label) <= set(task.rank_values)


@pytest.mark.parametrize(
    ("rows", "decode", "message"),
    [
        ([[0.5, 0.5]], None, r"\(N, 5\)"),
        ([0.2] * 5, None, r"\(N, 5\)"),
        ([[0.2] * 5, [26.0, 25, 24, 23, 22]], None, r"probabilities\[1\].* 120.*softmax"),
        ([[1.5, -0.5, 0, 0, 0]], None, r"probabilities\[0\].* -0.5"),
        ([[float("nan")] * 5], None, r"probabilities\[0\]"),
        ([[0.2] * 5], "mode", "decode = 'mode'"),
    ],
)
def test_decode_probabilities_invalid_arguments(rows, decode, message):
    with pytest.raises(ValueError, match=message):
        STARS.decode_probabilities(rows, decode)


def test_decode_values_keeps_values_and_rounds_labels():
    prediction = STARS.decode_values([0.2, 3.4, 9.0])
    assert isinstance(prediction, Prediction)
    assert prediction.value.tolist() == [0.2, 3.4, 9.0]
    assert prediction.label.tolist() == [1.0, 3.0, 5.0]
    assert prediction.probabilities is None


@pytest.mark.parametrize("task", [STARS, PRICES, STAGES, load_task("counting")], ids=repr)
def test_ordinal_task_json_and_pickle_round_trip(task):
    fields = json.loads(json.dumps(dataclasses.asdict(task)))
    assert OrdinalTask(**fields) == task
    assert pickle.loads(pickle.dumps(task)) == task
    assert hash(OrdinalTask(**fields)) == hash(task)


def test_ordinal_task_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        STARS.name = "other"
    STARS.rank_values[0] = 99
    assert STARS.rank_values[0] == 1


def test_placeholder_combinations_refuses_more_than_prompts_can_be_made_of():
    names = [f"word{i}" for i in range(40)]
    task = OrdinalTask(
        name="many", unit="words", values=(1, 2),
        templates=("{rank} " + " ".join(f"{{{name}}}" for name in names), "{rank} {word0} {word1}"),
        placeholders={name: ("a", "b", "c") for name in names},
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"12,157,665,459,056,928,801 combinations .* 10,000"):
        task.placeholder_combinations()
    assert len(task.placeholder_combinations(template=1)) == 9
    assert len(set(task.prompts())) == 2
