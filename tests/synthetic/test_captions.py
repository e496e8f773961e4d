import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, spearmanr

from ordlib.synthetic import TASKS, render_many
from ordlib.synthetic.captions import caption, captions, table
from ordlib.synthetic.vocabulary import COLOURS, OBJECTS
from ordlib.tasks import load_task
from ordlib.tasks.builtin import number_words

MANY = 8_000
SPELLED = {number_words(n): n for n in range(1, 100)}
# Longest first, so that "twenty one" is not read as "twenty".
NUMERAL = re.compile(
    r"\b(\d+|" + "|".join(sorted(SPELLED, key=len, reverse=True)) + r")\b(?!s)", re.ASCII
)
DECADE = re.compile(r"\b(?:19|nineteen )(twenties|thirties|forties|fifties|sixties|seventies|\d0s)")


def numerals(text: str) -> list[int]:
    return [int(n) if n.isdigit() else SPELLED[n] for n in NUMERAL.findall(DECADE.sub("", text))]


@pytest.fixture(scope="module")
def pictures() -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    """Records and labels of real pictures, each many times over; every object in every colour."""
    world = {}
    for task in TASKS:
        _, values, records = render_many(task, "pretrain", range(80), 64, workers=1)
        rows = np.arange(MANY) % len(records)
        world[task] = records.iloc[rows].reset_index(drop=True), values[rows]
    records, values = world["counting"]
    nouns = [OBJECTS[i % len(OBJECTS)] for i in range(MANY)]
    records["object"] = [noun.singular for noun in nouns]
    records["plural"] = [noun.plural for noun in nouns]
    records["colour"] = [list(COLOURS)[i // len(OBJECTS) % len(COLOURS)] for i in range(MANY)]
    return world


@pytest.fixture(scope="module")
def said(pictures) -> dict[str, list[str]]:
    return {task: captions(*pictures[task], task) for task in TASKS}


@pytest.fixture(scope="module")
def bare(pictures) -> dict[str, list[str]]:
    """The same captions without asides."""
    return {task: captions(*pictures[task], task, distractor_number_fraction=0.0) for task in TASKS}


def test_dose_is_the_share_of_true_counts(pictures):
    records, values = pictures["counting"]
    without = captions(records, values, "counting", distractor_number_fraction=0)
    for dose in (0.003, 0.1, 0.5, 1.0):
        with_dose = captions(
            records, values, "counting", count_caption_fraction=dose, distractor_number_fraction=0
        )
        true = [numerals(text) == [value] for text, value in zip(with_dose, values, strict=True)]
        assert np.mean(true) == pytest.approx(
            dose, abs=3 * np.sqrt(dose * (1 - dose) / MANY) + 1e-9
        )
        kept = [a == b for a, b in zip(with_dose, without, strict=True)]
        assert kept == [not t for t in true]


def test_larger_dose_keeps_what_smaller_dose_replaced(pictures):
    doses = [
        captions(*pictures["counting"], "counting", count_caption_fraction=d)
        for d in (0, 0.03, 0.3, 1)
    ]
    for none, small, large, all_ in zip(*doses, strict=True):
        assert small in (none, all_)
        assert large in (none, all_)
        assert small == none or large == small


def test_dose_leaves_other_families_alone(pictures, said):
    for task in set(TASKS) - {"counting"}:
        assert captions(*pictures[task], task, count_caption_fraction=1.0) == said[task]


@pytest.mark.parametrize("task", TASKS)
def test_without_asides_nothing_exact_is_said(bare, task):
    assert [t for t in bare[task] if numerals(t) or DECADE.search(t) or re.search(r"\d", t)] == []


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rate", [None, 0.05, 0.6])
def test_spurious_numerals_come_at_their_rate_and_change_nothing_else(pictures, bare, task, rate):
    texts = captions(*pictures[task], task, distractor_number_fraction=rate)
    expected = table()["all"]["distractor_number_fraction"] if rate is None else rate
    aside = [bool(numerals(text) or DECADE.search(text)) for text in texts]
    assert np.mean(aside) == pytest.approx(expected, abs=0.015)
    for text, body, longer in zip(texts, bare[task], aside, strict=True):
        assert (body in text and body != text) if longer else body == text


def test_asides_are_the_same_at_every_dose(pictures):
    asides, bodies = [], []
    for dose in (0, 0.5, 1):
        with_, without = (
            captions(
                *pictures["counting"],
                "counting",
                count_caption_fraction=dose,
                distractor_number_fraction=rate,
            )
            for rate in (None, 0.0)
        )
        asides.append([a.replace(b, "...") for a, b in zip(with_, without, strict=True)])
        bodies.append(np.array(without))
    assert asides[0] == asides[1] == asides[2]
    # ... and as frequent beside true counts as beside all others.
    counted, has_aside = bodies[1] != bodies[0], np.array(asides[0]) != "..."
    assert has_aside[counted].mean() == pytest.approx(0.2, abs=0.02)
    assert has_aside[~counted].mean() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("task", TASKS)
def test_spurious_numerals_do_not_depend_on_the_label(pictures, said, task):
    values = pictures[task][1]
    found = [(values[i], n) for i, text in enumerate(said[task]) for n in numerals(text)]
    assert len(found) > 1000
    labels, numbers = np.array(found).T
    assert abs(spearmanr(labels, numbers).statistic) < 0.07
    hits = np.mean(labels == numbers)
    rng = np.random.default_rng(0)
    chance = [np.mean(rng.permutation(labels) == numbers) for _ in range(200)]
    assert min(chance) <= hits <= max(chance)
    assert set(numbers) == set(range(1, 91))


def test_decade_words_do_not_depend_on_the_decade(pictures, said):
    values = pictures["dating"][1]
    found = [
        (v, d[1]) for v, t in zip(values, said["dating"], strict=True) if (d := DECADE.search(t))
    ]
    counts = pd.crosstab(*zip(*[(d, v) for v, d in found], strict=True))
    assert counts.to_numpy().sum() > 150
    assert chi2_contingency(counts).pvalue > 1e-3


@pytest.mark.parametrize("task", TASKS)
def test_grammar(said, task):
    text = "\n".join(said[task])
    for wrong in (
        r"\ba (?!euro|one|uni)[aeiou]",
        r"\ban [^aeiou\n]",
        "  ",
        "[{}_]",
        r" [,:]",
        ",,",
    ):
        assert re.findall(f".*{wrong}.*", text) == []
    assert all(caption_ == caption_.strip(" ,:") for caption_ in said[task])
    assert all(len(caption_.split()) < 40 for caption_ in said[task])


def test_one_object_is_singular_and_more_are_plural(pictures):
    records, values = pictures["counting"]
    for dose in (0.0, 1.0):
        texts = captions(
            records, values, "counting", count_caption_fraction=dose, distractor_number_fraction=0
        )
        vague = re.compile("|".join(w for ws in amounts()["words"] for w in ws))
        for text, value, row in zip(texts, values, records.itertuples(), strict=True):
            if not vague.search(text):
                noun = row.object if value == 1 else row.plural
                assert re.search(rf"\b{noun}\b", text), text


def amounts() -> dict:
    return table()["counting"]["slots"]["amount"]


def test_half_of_counting_captions_are_loose_and_mostly_in_the_right_bin(pictures, bare):
    task, values = load_task("counting"), pictures["counting"][1]
    bins = [
        (re.compile(rf"\b(?:{'|'.join(words)})\b"), i) for i, words in enumerate(amounts()["words"])
    ]
    off = []
    for text, value in zip(bare["counting"], values, strict=True):
        # "quite a few" before "a few": the longest match is the phrase that was meant.
        matches = [(len(m[0]), i) for pattern, i in bins if (m := pattern.search(text))]
        if matches:
            off.append(max(matches)[1] - int(task.bin_index(value)))
    assert len(off) / MANY == pytest.approx(0.5, abs=0.015)
    assert np.mean(np.array(off) != 0) == pytest.approx(amounts()["noise"], abs=0.015)
    assert set(off) == {-1, 0, 1}


@pytest.mark.parametrize("task", ["dating", "quality"])
def test_words_that_are_ranks_are_wrong_a_third_of_the_time(pictures, bare, task):
    known = load_task(task)
    phrases = known.bin_phrases
    ranks = known.rank_index(pictures[task][1])
    named = [
        (rank, phrases.index(found[0]))
        for rank, text in zip(ranks, bare[task], strict=True)
        if (found := re.findall(rf"\b({'|'.join(phrases)})\b", text))
    ]
    assert len(named) > 0.2 * MANY
    off = np.abs(np.subtract(*np.array(named).T))
    assert np.mean(off == 1) == pytest.approx(1 / 3, abs=0.02)
    assert off.max() == 1


@pytest.mark.parametrize(
    ("task", "slot"),
    [("counting", "amount"), ("ageing", "age"), ("dating", "era"), ("quality", "quality")],
)
def test_table_and_tasks_use_the_same_bins(task, slot):
    known, entry = load_task(task), table()[task]["slots"][slot]
    assert [words[0] for words in entry["words"]] == list(known.bin_phrases)
    grid = np.linspace(*table()[task]["range"], 1000)
    mine = np.searchsorted(entry["edges"][1:], grid, side="right")
    assert (mine == known.bin_index(grid)).all()
    assert table()[task]["range"] == list(known.range)


def words_of(texts: list[str]) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", " ".join(texts).lower()))


@pytest.mark.parametrize("task", TASKS)
def test_every_word_of_the_task_occurs_in_its_own_captions(said, task):
    known = load_task(task)
    prompts = [text for t in range(len(known.templates)) for text in known.prompts(t)]
    prompts += [text for t in range(len(known.bin_templates)) for text in known.bin_prompts(t)]
    prompts += [word for words in known.placeholders.values() for word in words]
    missing = words_of(prompts) - words_of(said[task])
    assert not missing, f"captions.toml never says {sorted(missing)} for {task}"


def test_deterministic_and_independent_of_what_follows(pictures, said):
    records, values = pictures["ageing"]
    assert captions(records, values, "ageing") == said["ageing"]
    assert captions(records[:700], values[:700], "ageing") == said["ageing"][:700]
    assert captions(records, values, "ageing", seed=1) != said["ageing"]


def test_one_by_one_equals_all_at_once_with_mixed_tasks(pictures):
    tasks = [TASKS[i % 4] for i in range(400)]
    records = pd.concat([pictures[t][0].iloc[[i]] for i, t in enumerate(tasks)], ignore_index=True)
    values = [pictures[t][1][i] for i, t in enumerate(tasks)]
    rng = np.random.default_rng(5)
    single = [
        caption(t, pictures[t][0].iloc[i].to_dict(), v, rng, count_caption_fraction=0.4)
        for i, (t, v) in enumerate(zip(tasks, values, strict=True))
    ]
    assert captions(records, values, tasks, count_caption_fraction=0.4, seed=5) == single


def test_nothing_to_say():
    assert captions(pd.DataFrame(), [], "counting") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": "cooking"}, "no captions for the task 'cooking'; there are counting, "),
        ({"count_caption_fraction": 1.5}, "dose 1.5 is a share of captions: 0 to 1"),
        ({"distractor_number_fraction": float("nan")}, "spurious nan is a share"),
        ({"values": [1.0] * 98 + [21.0] * 2}, "value 21.0 in row 98 is outside 1 to 20, the lab"),
        ({"values": [1.0] * 99 + [float("nan")]}, "value nan in row 99"),
        ({"values": [2.0]}, "100 records, 1 values and 100 tasks"),
    ],
)
def test_bad_arguments_are_named(pictures, change, message):
    records = pictures["counting"][0][:100]
    with pytest.raises(ValueError, match=message):
        captions(**{"records": records, "values": [1.0] * 100, "tasks": "counting", **change})


def test_bad_records_are_named(pictures):
    records, values = pictures["counting"][0][:100], pictures["counting"][1][:100]
    with pytest.raises(
        ValueError, match=r"row \d+ of records: template '.*' needs the text field 'pl"
    ):
        captions(records.drop(columns="plural"), values, "counting")
    with pytest.raises(ValueError, match=r"template '.*' needs the text field 'scene'; the record"):
        caption("quality", {}, 3.0, np.random.default_rng(4))
