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

MANY = 6_500
SPELLED = {number_words(n): n for n in range(1, 100)}
# Longest first, so that "twenty one" does not match as "twenty".
NUMERAL = re.compile(
    r"\b(\d+|" + "|".join(sorted(SPELLED, key=len, reverse=True)) + r")\b(?!s)", re.ASCII
)
DECADE = re.compile(r"\b(?:19|nineteen )(twenties|thirties|forties|fifties|sixties|seventies|\d0s)")


def numerals(text: str) -> list[int]:
    return [int(n) if n.isdigit() else SPELLED[n] for n in NUMERAL.findall(DECADE.sub("", text))]


@pytest.fixture(scope="module")
def samples() -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    """Metadata and labels of rendered samples, repeated; every object in every colour."""
    tasks = {}
    for task in TASKS:
        _, values, records = render_many(task, "pretrain", range(80), 64, workers=1)
        rows = np.arange(MANY) % len(records)
        tasks[task] = records.iloc[rows].reset_index(drop=True), values[rows]
    records, nouns = tasks["counting"][0], [OBJECTS[i % len(OBJECTS)] for i in range(MANY)]
    records["object"] = [noun.singular for noun in nouns]
    records["plural"] = [noun.plural for noun in nouns]
    records["colour"] = [list(COLOURS)[i // len(OBJECTS) % len(COLOURS)] for i in range(MANY)]
    return tasks


@pytest.fixture(scope="module")
def default(samples) -> dict[str, list[str]]:
    return {task: captions(*samples[task], task) for task in TASKS}


@pytest.fixture(scope="module")
def plain(samples) -> dict[str, list[str]]:
    return {task: captions(*samples[task], task, distractor_number_fraction=0.0) for task in TASKS}


def counting_captions(samples, fraction: float, distractors: float | None = None) -> list[str]:
    fractions = {"count_caption_fraction": fraction, "distractor_number_fraction": distractors}
    return captions(*samples["counting"], "counting", **fractions)


def test_count_caption_fraction_is_the_fraction_of_true_counts(samples, plain):
    values = samples["counting"][1]
    for fraction in (0.003, 0.1, 0.5, 1.0):
        texts = counting_captions(samples, fraction, 0)
        is_true = [numerals(text) == [value] for text, value in zip(texts, values, strict=True)]
        tolerance = 3 * np.sqrt(fraction * (1 - fraction) / MANY) + 1e-9
        assert np.mean(is_true) == pytest.approx(fraction, abs=tolerance)
        is_equal = [a == b for a, b in zip(texts, plain["counting"], strict=True)]
        assert is_equal == [not t for t in is_true]


def test_count_caption_fraction_is_nested(samples):
    texts = [counting_captions(samples, fraction) for fraction in (0, 0.03, 0.3, 1)]
    for none, small, large, all_ in zip(*texts, strict=True):
        assert small in (none, all_)
        assert large in (none, all_)
        assert small == none or large == small


def test_count_caption_fraction_changes_only_counting(samples, default):
    for task in set(TASKS) - {"counting"}:
        assert captions(*samples[task], task, count_caption_fraction=1.0) == default[task]


@pytest.mark.parametrize("task", TASKS)
def test_captions_without_asides_have_no_numbers(plain, task):
    assert [t for t in plain[task] if numerals(t) or DECADE.search(t) or re.search(r"\d", t)] == []


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("fraction", [None, 0.05, 0.6])
def test_distractor_numbers_have_their_fraction_and_change_nothing_else(
    samples, plain, task, fraction
):
    texts = captions(*samples[task], task, distractor_number_fraction=fraction)
    expected = table()["all"]["distractor_number_fraction"] if fraction is None else fraction
    aside = [bool(numerals(text) or DECADE.search(text)) for text in texts]
    assert np.mean(aside) == pytest.approx(expected, abs=0.015)
    for text, body, longer in zip(texts, plain[task], aside, strict=True):
        assert (body in text and body != text) if longer else body == text


def test_asides_do_not_depend_on_count_caption_fraction(samples):
    asides, bodies = [], []
    for fraction in (0, 0.5, 1):
        with_, without = (counting_captions(samples, fraction, d) for d in (None, 0.0))
        asides.append([a.replace(b, "...") for a, b in zip(with_, without, strict=True)])
        bodies.append(np.array(without))
    assert asides[0] == asides[1] == asides[2]
    # ... and as frequent beside true counts as beside all others.
    counted, has_aside = bodies[1] != bodies[0], np.array(asides[0]) != "..."
    assert has_aside[counted].mean() == pytest.approx(0.2, abs=0.02)
    assert has_aside[~counted].mean() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("task", TASKS)
def test_distractor_numbers_do_not_depend_on_the_label(samples, default, task):
    values = samples[task][1]
    found = [(values[i], n) for i, text in enumerate(default[task]) for n in numerals(text)]
    assert len(found) > 1000
    labels, numbers = np.array(found).T
    assert abs(spearmanr(labels, numbers).statistic) < 0.07
    hits = np.mean(labels == numbers)
    rng = np.random.default_rng(0)
    chance = [np.mean(rng.permutation(labels) == numbers) for _ in range(200)]
    assert min(chance) <= hits <= max(chance)
    assert set(numbers) == set(range(1, 91))


def test_distractor_decades_do_not_depend_on_the_label(samples, default):
    values = samples["dating"][1]
    counts = pd.crosstab(pd.Series(default["dating"]).str.extract(DECADE)[0], values)
    assert counts.to_numpy().sum() > 150
    assert chi2_contingency(counts).pvalue > 1e-3


@pytest.mark.parametrize("task", TASKS)
def test_captions_are_grammatical(default, task):
    joined = "\n".join(default[task])
    articles = (r"\ba (?!euro|one|uni)[aeiou]", r"\ban [^aeiou\n]")
    for wrong in (*articles, "  ", "[{}_]", r" [,:]", ",,"):
        assert re.findall(f".*{wrong}.*", joined) == []
    assert all(text == text.strip(" ,:") for text in default[task])
    assert all(len(text.split()) < 40 for text in default[task])


def test_captions_use_singular_and_plural(samples):
    records, values = samples["counting"]
    vague = re.compile("|".join(word for words in amounts()["words"] for word in words))
    nouns = records["object"].where(values == 1, records["plural"])
    for fraction in (0.0, 1.0):
        for text, noun in zip(counting_captions(samples, fraction, 0), nouns, strict=True):
            assert vague.search(text) or re.search(rf"\b{noun}\b", text), text


def amounts() -> dict:
    return table()["counting"]["slots"]["amount"]


def test_counting_captions_have_vague_quantities(samples, plain):
    task, values = load_task("counting"), samples["counting"][1]
    bin_of = {word: i for i, words in enumerate(amounts()["words"]) for word in words}
    # "quite a few" before "a few": the longest match is the phrase that was meant.
    phrase = rf"\b({'|'.join(sorted(bin_of, key=len, reverse=True))})\b"
    named = pd.Series(plain["counting"]).str.extract(phrase)[0].map(bin_of)
    off = (named - task.bin_index(values)).dropna()
    assert len(off) / MANY == pytest.approx(0.5, abs=0.015)
    assert np.mean(off != 0) == pytest.approx(amounts()["noise"], abs=0.015)
    assert set(off) == {-1, 0, 1}


@pytest.mark.parametrize("task", ["dating", "quality"])
def test_rank_words_are_wrong_in_a_third_of_captions(samples, plain, task):
    known = load_task(task)
    bin_of = {phrase: i for i, phrase in enumerate(known.bin_phrases)}
    named = pd.Series(plain[task]).str.extract(rf"\b({'|'.join(bin_of)})\b")[0].map(bin_of)
    off = (named - known.rank_index(samples[task][1])).abs().dropna()
    assert len(off) > 0.2 * MANY
    assert np.mean(off == 1) == pytest.approx(1 / 3, abs=0.02)
    assert off.max() == 1


@pytest.mark.parametrize(
    ("task", "slot"),
    [("counting", "amount"), ("ageing", "age"), ("dating", "era"), ("quality", "quality")],
)
def test_table_has_the_bins_of_the_tasks(task, slot):
    known, entry = load_task(task), table()[task]["slots"][slot]
    assert [words[0] for words in entry["words"]] == list(known.bin_phrases)
    grid = np.linspace(*table()[task]["range"], 1000)
    mine = np.searchsorted(entry["edges"][1:], grid, side="right")
    assert (mine == known.bin_index(grid)).all()
    assert table()[task]["range"] == list(known.range)


@pytest.mark.parametrize("task", TASKS)
def test_captions_contain_every_word_of_the_prompts(default, task):
    known = load_task(task)
    prompts = [text for t in range(len(known.templates)) for text in known.prompts(t)]
    prompts += [text for t in range(len(known.bin_templates)) for text in known.bin_prompts(t)]
    prompts += [word for words in known.placeholders.values() for word in words]
    needed, there = (
        set(re.findall(r"[a-z0-9]+", " ".join(texts).lower())) for texts in (prompts, default[task])
    )
    missing = needed - there
    assert not missing, f"captions.toml lacks {sorted(missing)} for {task}"


def test_captions_are_deterministic_and_do_not_depend_on_later_rows(samples, default):
    records, values = samples["ageing"]
    assert captions(records, values, "ageing") == default["ageing"]
    assert captions(records[:700], values[:700], "ageing") == default["ageing"][:700]
    assert captions(records, values, "ageing", seed=1) != default["ageing"]
    assert captions(pd.DataFrame(), [], "counting") == []


def test_captions_equal_caption_for_mixed_tasks(samples):
    tasks, rng = [TASKS[i % 4] for i in range(400)], np.random.default_rng(5)
    records = pd.concat([samples[t][0].iloc[[i]] for i, t in enumerate(tasks)], ignore_index=True)
    values = [samples[t][1][i] for i, t in enumerate(tasks)]
    single = [
        caption(t, samples[t][0].iloc[i].to_dict(), values[i], rng, count_caption_fraction=0.4)
        for i, t in enumerate(tasks)
    ]
    assert captions(records, values, tasks, count_caption_fraction=0.4, seed=5) == single


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": "cooking"}, "task = 'cooking': .* choose from counting, "),
        ({"count_caption_fraction": 1.5}, "count_caption_fraction = 1.5: "),
        ({"distractor_number_fraction": float("nan")}, "distractor_number_fraction = nan: "),
        ({"values": [1.0] * 98 + [21.0] * 2}, r"values\[98\] = 21.0: .* between 1 and 20, the lab"),
        ({"values": [1.0] * 99 + [float("nan")]}, r"values\[99\] = nan"),
        ({"values": [2.0]}, "lengths 100, 1 and 100"),
    ],
)
def test_captions_reject_invalid_arguments(samples, change, message):
    records = samples["counting"][0][:100]
    with pytest.raises(ValueError, match=message):
        captions(**{"records": records, "values": [1.0] * 100, "tasks": "counting", **change})


def test_captions_reject_missing_fields(samples):
    records, values = samples["counting"][0][:100], samples["counting"][1][:100]
    with pytest.raises(ValueError, match=r"row \d+ of records: .* needs the text field 'pl"):
        captions(records.drop(columns="plural"), values, "counting")
    with pytest.raises(ValueError, match=r"template '.*' needs the text field 'scene'; the record"):
        caption("quality", {}, 3.0, np.random.default_rng(4))
