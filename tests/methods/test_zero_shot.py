"""Zero-shot against loops over pictures and prompts in plain transformers."""

from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer

from ordlib import ImageData, OrdinalTask, ZeroShot, evaluate, load_clip
from ordlib.clip.preprocessing import PROCESSOR

TASK = OrdinalTask(
    name="own",
    unit="objects",
    values=(1, 2, 3, 7),
    rank_names=("one", "two", "three", "seven"),
    templates=("{rank} {object}", "a photo of {rank} {colour} {object}", "I see {rank}"),
    placeholders={"object": ("star", "cats", "cars"), "colour": ("red", "blue")},
    bin_edges=(1, 3),
    bin_phrases=("few", "many"),
    bin_templates=("{rank} {object}", "a crowd: {rank}"),
    upper_edge=20,
)
NAMED = {"object": "kind"}
CASES = {
    "unnamed": {},
    "named": {"fill": NAMED},
    "both named": {"fill": {"colour": "tint", "object": "kind"}},
    "one template": {"fill": NAMED, "templates": (1,)},
    "two templates, out of order": {"templates": (2, 0)},
    "argmax": {"fill": NAMED, "decode": "argmax"},
}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture
def data(pictures):
    records = pd.DataFrame(
        {
            # "dogs" is none of the task's own words: named prompts take any.
            "kind": ["cats", "star", "dogs", "cats", "dogs", "star", "cats"],
            "tint": ["red", "red", "blue", "red", "red", "blue", "blue"],
            "size": np.arange(7.0),
        }
    )
    values = np.array([1.0, 2.0, 3.0, 7.0, 1.0, 2.0, 3.0])
    return ImageData(TASK, pictures, values, records, "noise", "val")


@pytest.fixture(scope="module")
def naive(tiny_clip_folder):
    """Probabilities of one picture, prompt by prompt, without any of ordlib's encoding."""
    model = CLIPModel.from_pretrained(tiny_clip_folder, dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(tiny_clip_folder)
    processor = PROCESSOR.from_pretrained(tiny_clip_folder)

    def unit(vector):
        vector = np.asarray(vector, dtype=np.float64).ravel()
        return vector / np.sqrt((vector**2).sum())

    @lru_cache
    @torch.no_grad()
    def text(prompt):
        return unit(model.get_text_features(**tokenizer(prompt, return_tensors="pt")).pooler_output)

    @torch.no_grad()
    def probabilities(picture, templates, words, choices):
        pixels = processor(picture, return_tensors="pt")
        image = unit(model.get_image_features(**pixels).pooler_output)
        logits = []
        for word in words:
            means = []
            for template in templates:
                prompts = []
                for thing, colour in product(choices["object"], choices["colour"]):
                    prompt = template.replace("{rank}", word).replace("{object}", thing)
                    prompts.append(prompt.replace("{colour}", colour))
                means.append(unit(np.mean([text(prompt) for prompt in prompts], axis=0)))
            logits.append(np.exp(model.logit_scale.item()) * (unit(np.mean(means, 0)) @ image))
        odds = np.exp(logits)
        return odds / odds.sum()

    return probabilities


def choices(data, row, fill):
    """The words of every placeholder for one picture: its own where named, else all."""
    return {
        name: [data.metadata[fill[name]][row]] if name in fill else words
        for name, words in TASK.placeholders.items()
    }


def expected(naive, data, templates, words, fill=()):
    return np.stack(
        [
            naive(data.images[row], templates, words, choices(data, row, fill))
            for row in range(len(data))
        ]
    )


def differ(rows):
    """Whether the reference tells pictures apart; else agreeing with it would say little."""
    return np.ptp(rows, axis=0).max() > 0.01


@pytest.mark.parametrize("case", CASES)
def test_ranks_equal_a_loop_over_pictures_and_prompts(clip, naive, data, case):
    settings = CASES[case]
    templates = [TASK.templates[i] for i in settings.get("templates", (0, 1, 2))]
    rows = expected(naive, data, templates, TASK.rank_names, settings.get("fill", ()))
    assert differ(rows)
    prediction = ZeroShot(clip, TASK, **settings).predict(data)
    np.testing.assert_allclose(prediction.probabilities, rows, atol=1e-5)
    for row, value in zip(rows, prediction.value, strict=True):
        if settings.get("decode") == "argmax":
            assert value == TASK.values[int(row.argmax())]
        else:
            mean = sum(p * v for p, v in zip(row, TASK.values, strict=True))
            assert value == pytest.approx(mean, abs=5e-5)


def test_naming_changes_the_answer_and_so_does_the_template(clip, data):
    settings = [{}, {"fill": NAMED}, {"templates": (0,)}, {"templates": (1,)}]
    answers = [ZeroShot(clip, TASK, **each).predict(data).value for each in settings]
    for i, j in product(range(4), range(4)):
        assert i == j or np.abs(answers[i] - answers[j]).max() > 1e-3


@pytest.mark.parametrize("fill", [{}, NAMED])
def test_bins_equal_a_loop(clip, naive, data, fill):
    rows = expected(naive, data, TASK.bin_templates, TASK.bin_phrases, fill)
    assert differ(rows)
    phrases = ZeroShot(clip, TASK, over="bins", fill=fill)
    prediction = phrases.predict(data)
    # Ranks 1 and 2 lie in the bin from 1 to 3; the middle of 3 to 20 is beyond the last rank.
    np.testing.assert_allclose(prediction.value, rows @ [2.0, 7.0], atol=5e-5)
    assert prediction.probabilities is None
    assert phrases.predict_bins(data).tolist() == rows.argmax(1).tolist()
    likeliest = ZeroShot(clip, TASK, over="bins", fill=fill, decode="argmax").predict(data)
    assert likeliest.value.tolist() == np.array([2.0, 7.0])[rows.argmax(1)].tolist()


def test_the_ranks_of_a_bin_are_summed(clip, data, monkeypatch):
    model = ZeroShot(clip, TASK)
    rows = np.array([[0.3, 0.3, 0.4, 0.0], [0.1, 0.3, 0.2, 0.4]])
    monkeypatch.setattr(model, "_probabilities", lambda data: rows)
    assert model.predict_bins(data).tolist() == [0, 1]


def test_bins_of_ranks_equal_a_loop(clip, naive, data):
    rows = expected(naive, data, TASK.templates, TASK.rank_names, NAMED)
    sums = [[row[0] + row[1], row[2] + row[3]] for row in rows]
    found = ZeroShot(clip, TASK, fill=NAMED).predict_bins(data)
    assert found.tolist() == np.argmax(sums, axis=1).tolist()


def test_a_prompt_is_encoded_once_however_many_pictures(clip, data, monkeypatch):
    prompts = []
    encode = type(clip).encode_text
    monkeypatch.setattr(
        type(clip), "encode_text", lambda self, p: prompts.extend(p) or encode(self, p)
    )
    model = ZeroShot(clip, TASK, fill={"object": "kind", "colour": "tint"})
    model.predict(data)
    pairs = set(zip(data.metadata["kind"], data.metadata["tint"], strict=True))
    things = {thing for thing, _ in pairs}
    wanted = {f"{word} {thing}" for word in TASK.rank_names for thing in things}
    wanted |= {
        f"a photo of {word} {tint} {kind}" for word in TASK.rank_names for kind, tint in pairs
    }
    wanted |= {f"I see {word}" for word in TASK.rank_names}
    assert sorted(prompts) == sorted(wanted)
    model.predict(data.subset([4, 0, 1]))
    model.predict_bins(data)
    assert len(prompts) == len(wanted)


def test_text_features_have_length_one_and_are_what_pictures_meet(clip, data):
    model = ZeroShot(clip, TASK, fill=NAMED)
    text = model.text_features(object="dogs")
    assert text.shape == (4, clip.embed_dim)
    assert torch.allclose(text.norm(dim=1), torch.ones(4), atol=1e-6)
    image = clip.encode_images([data.images[2]])
    odds = (clip.logit_scale * torch.nn.functional.normalize(image) @ text.T).softmax(1)
    np.testing.assert_allclose(odds, model.predict(data).probabilities[2:3], atol=1e-5)
    assert not torch.allclose(text, model.text_features(), atol=1e-3)


def test_the_order_of_pictures_does_not_matter(clip, data):
    order = [6, 2, 0, 5, 1, 4, 3]
    model = ZeroShot(clip, TASK, fill=NAMED)
    shuffled = model.predict(data.subset(order)).value
    np.testing.assert_allclose(shuffled, model.predict(data).value[order], atol=1e-5)


def test_evaluates_like_any_model(clip, data):
    result = evaluate(ZeroShot(clip, TASK, fill=NAMED), data, n_resamples=10)
    assert result.metrics["mae"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"templates": (3,)}, r"task 'own' has no templates\[3\]; it has 3"),
        ({"templates": (2,), "over": "bins"}, r"no bin_templates\[2\]; it has 2"),
        ({"templates": 1}, r"templates = 1: give a tuple of indices, such as \(0,\)"),
        ({"templates": ()}, r"templates = \(\): give a tuple"),
        ({"templates": (1, 1)}, "names one twice"),
        ({"fill": {"animal": "kind"}}, "no placeholder 'animal' to fill; it has 'object', 'colour"),
        ({"over": "words"}, "over = 'words': must be one of ranks, bins"),
        ({"decode": "mode"}, "decode = 'mode': must be one of"),
    ],
)
def test_wrong_settings_fail_at_once(clip, settings, message):
    with pytest.raises(ValueError, match=message):
        ZeroShot(clip, TASK, **settings)


def test_records_without_the_words_are_named(clip, data):
    missing = r"fill\['object'\] = 'plural': the records of own/val have no such column; they have "
    with pytest.raises(ValueError, match=missing + "kind, tint, size"):
        ZeroShot(clip, TASK, fill={"object": "plural"}).predict(data)
    with pytest.raises(ValueError, match=r"row 0 of the records of own/val holds 0\.0, "):
        ZeroShot(clip, TASK, fill={"object": "size"}).predict(data)
    for nothing in (None, " "):
        data.metadata.loc[3, "kind"] = nothing
        with pytest.raises(ValueError, match=r"row 3 of the records .* leave 'object' out of fill"):
            ZeroShot(clip, TASK, fill=NAMED).predict(data)


def test_no_placeholder_of_that_name_in_text_features(clip):
    model = ZeroShot(clip, TASK)
    for _ in range(2):  # nor when everything is encoded
        with pytest.raises(ValueError, match="no placeholder 'animal'"):
            model.text_features(animal="cats")
        model.text_features()


def test_a_long_prompt_fails_before_pictures_are_encoded(clip, data, monkeypatch):
    monkeypatch.setattr(type(clip), "image_features", lambda *_: pytest.fail("encoded"))
    data.metadata["kind"] = "very " * 40
    with pytest.raises(ValueError, match="the context of this CLIP holds 77"):
        ZeroShot(clip, TASK, fill=NAMED).predict(data)
