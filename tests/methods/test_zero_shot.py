"""Zero-shot CLIP against naive loops over images and prompts in plain transformers."""

from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer

from ordlib import ImageData, OrdinalTask, ZeroShot, load_clip
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
OPTIONS = {
    "all templates": {},
    "named": {"placeholder_columns": NAMED},
    "both named": {"placeholder_columns": {"colour": "tint", "object": "kind"}},
    "one template": {"placeholder_columns": NAMED, "templates": (1,)},
    "two templates, reversed": {"templates": (2, 0)},
    "argmax": {"placeholder_columns": NAMED, "decode": "argmax"},
}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture
def data(noise_images):
    metadata = pd.DataFrame(
        {
            # "dogs" is not a placeholder value of the task: columns may contain any text.
            "kind": ["cats", "star", "dogs", "cats", "dogs", "star", "cats"],
            "tint": ["red", "red", "blue", "red", "red", "blue", "blue"],
            "size": np.arange(7.0),
        }
    )
    values = np.array([1.0, 2.0, 3.0, 7.0, 1.0, 2.0, 3.0])
    return ImageData(TASK, noise_images, values, metadata, "noise", "val")


@pytest.fixture(scope="module")
def naive(tiny_clip_folder):
    """Probabilities of all images, prompt by prompt, without ordlib's encoding."""
    model = CLIPModel.from_pretrained(tiny_clip_folder, dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(tiny_clip_folder)
    processor = PROCESSOR.from_pretrained(tiny_clip_folder)

    def unit(vector):
        vector = np.asarray(vector, dtype=np.float64).ravel()
        return vector / np.sqrt((vector**2).sum())

    @lru_cache
    @torch.no_grad()
    def encode(prompt):
        return unit(model.get_text_features(**tokenizer(prompt, return_tensors="pt")).pooler_output)

    @torch.no_grad()
    def row_probabilities(image, templates, names, values):
        pixels = processor(image, return_tensors="pt")
        image = unit(model.get_image_features(**pixels).pooler_output)
        logits = []
        for name in names:
            means = []
            for template in templates:
                pairs = product(values["object"], values["colour"])
                prompts = [template.format(rank=name, object=o, colour=c) for o, c in pairs]
                means.append(unit(np.mean([encode(prompt) for prompt in prompts], axis=0)))
            logits.append(np.exp(model.logit_scale.item()) * (unit(np.mean(means, 0)) @ image))
        return np.exp(logits) / np.exp(logits).sum()

    def probabilities(data, templates, names, columns=()):
        rows = []
        for i, image in enumerate(data.images):
            given = {name: [data.metadata[columns[name]][i]] for name in columns}
            rows.append(row_probabilities(image, templates, names, TASK.placeholders | given))
        rows = np.stack(rows)
        assert np.ptp(rows, axis=0).max() > 0.01  # else agreement would prove little
        return rows

    return probabilities


@pytest.mark.parametrize("case", OPTIONS)
def test_predict_equals_naive_loop(clip, naive, data, case):
    options = OPTIONS[case]
    templates = [TASK.templates[i] for i in options.get("templates", (0, 1, 2))]
    rows = naive(data, templates, TASK.rank_names, options.get("placeholder_columns", ()))
    prediction = ZeroShot(clip, TASK, **options).predict(data)
    np.testing.assert_allclose(prediction.probabilities, rows, atol=1e-5)
    for row, value in zip(rows, prediction.value, strict=True):
        if options.get("decode") == "argmax":
            assert value == TASK.values[int(row.argmax())]
        else:
            mean = sum(p * v for p, v in zip(row, TASK.values, strict=True))
            assert value == pytest.approx(mean, abs=5e-5)


@pytest.mark.parametrize("columns", [{}, NAMED], ids=["average", "named"])
def test_bin_prompts_equal_naive_loop(clip, naive, data, columns):
    rows = naive(data, TASK.bin_templates, TASK.bin_phrases, columns)
    options = {"prompts_for": "bins", "placeholder_columns": columns}
    model = ZeroShot(clip, TASK, **options)
    prediction = model.predict(data)
    # The midpoint of the bin 1 to 3 is 2; that of 3 to 20 is clipped to the last rank, 7.
    np.testing.assert_allclose(prediction.value, rows @ [2.0, 7.0], atol=5e-5)
    assert prediction.probabilities is None
    assert model.predict_bins(data).tolist() == rows.argmax(1).tolist()
    prediction = ZeroShot(clip, TASK, decode="argmax", **options).predict(data)
    assert prediction.value.tolist() == np.array([2.0, 7.0])[rows.argmax(1)].tolist()


def test_predict_bins_sums_rank_probabilities(clip, naive, data, monkeypatch):
    model = ZeroShot(clip, TASK, placeholder_columns=NAMED)
    rows = naive(data, TASK.templates, TASK.rank_names, NAMED)
    sums = [[row[0] + row[1], row[2] + row[3]] for row in rows]
    assert model.predict_bins(data).tolist() == np.argmax(sums, axis=1).tolist()
    rows = np.array([[0.3, 0.3, 0.4, 0.0], [0.1, 0.3, 0.2, 0.4]])
    monkeypatch.setattr(model, "_probabilities", lambda data: rows)
    assert model.predict_bins(data).tolist() == [0, 1]


def test_each_prompt_is_encoded_once(clip, data, monkeypatch):
    prompts = []
    encode = type(clip).encode_text
    monkeypatch.setattr(
        type(clip), "encode_text", lambda self, p: prompts.extend(p) or encode(self, p)
    )
    model = ZeroShot(clip, TASK, placeholder_columns={"object": "kind", "colour": "tint"})
    model.predict(data)
    pairs = set(zip(data.metadata["kind"], data.metadata["tint"], strict=True))
    expected = set()
    for name in TASK.rank_names:
        expected |= {f"I see {name}", *(f"{name} {kind}" for kind, _ in pairs)}
        expected |= {f"a photo of {name} {tint} {kind}" for kind, tint in pairs}
    assert sorted(prompts) == sorted(expected)
    model.predict(data.subset([4, 0, 1]))
    model.predict_bins(data)
    assert len(prompts) == len(expected)


def test_text_features_are_normalized_and_depend_on_placeholders(clip):
    model = ZeroShot(clip, TASK)
    text = model.text_features(object="dogs")
    assert text.shape == (4, clip.embed_dim)
    assert torch.allclose(text.norm(dim=1), torch.ones(4), atol=1e-6)
    assert not torch.allclose(text, model.text_features(), atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"templates": (3,)}, r"task 'own' .*templates\[3\]"),
        ({"templates": (2,), "prompts_for": "bins"}, r"bin_templates\[2\]"),
        ({"templates": 1}, "templates = 1: must be unique indices"),
        ({"templates": ()}, r"templates = \(\): must be unique indices"),
        ({"templates": (1, 1)}, r"templates = \(1, 1\): must be unique indices"),
        ({"placeholder_columns": {"animal": "kind"}}, "'own' .*'animal'.* 'object', 'colour'"),
        ({"prompts_for": "words"}, "prompts_for = 'words': must be one of ranks, bins"),
        ({"decode": "mode"}, "decode = 'mode': must be one of"),
    ],
    ids=["rank", "bin", "integer", "empty", "twice", "placeholder", "prompts_for", "decode"],
)
def test_init_rejects_invalid_options(clip, options, message):
    with pytest.raises(ValueError, match=message):
        ZeroShot(clip, TASK, **options)


def test_predict_rejects_missing_column_and_invalid_values(clip, data):
    missing = r"placeholder_columns\['object'\] = 'plural': .* own/val .* columns: kind, tint, size"
    with pytest.raises(ValueError, match=missing):
        ZeroShot(clip, TASK, placeholder_columns={"object": "plural"}).predict(data)
    with pytest.raises(ValueError, match=r"row 0 of .* own/val is 0\.0, "):
        ZeroShot(clip, TASK, placeholder_columns={"object": "size"}).predict(data)
    for empty in (None, " "):
        data.metadata.loc[3, "kind"] = empty
        with pytest.raises(ValueError, match=r"row 3 of .* omit 'object'"):
            ZeroShot(clip, TASK, placeholder_columns=NAMED).predict(data)


def test_text_features_reject_unknown_placeholder(clip):
    model = ZeroShot(clip, TASK)
    for _ in range(2):  # also when all features are cached
        with pytest.raises(ValueError, match="'animal'"):
            model.text_features(animal="cats")
        model.text_features()


def test_long_prompt_raises_before_images_are_encoded(clip, data, monkeypatch):
    monkeypatch.setattr(type(clip), "image_features", lambda *_: pytest.fail("encoded"))
    data.metadata["kind"] = "very " * 40
    with pytest.raises(ValueError, match="77"):
        ZeroShot(clip, TASK, placeholder_columns=NAMED).predict(data)
