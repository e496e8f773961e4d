"""RankingAdapter: scores, prompts, calibration, OOD detection, loss, saving and loading."""

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from ordlib import ImageData, OrdinalTask, load_component
from ordlib.clip.feature_cache import cached_image_tokens
from ordlib.losses import dual_loss
from ordlib.methods.ranking_adapter.label_scaler import LabelScaler
from ordlib.methods.ranking_adapter.model import MIN_LAYERS_FOR_FULL_ADAPTER, RankingAdapter
from ordlib.methods.ranking_adapter.occlusion import occlusion_map

THINGS = OrdinalTask(name="things", unit="things", values=(0, 1, 2, 3, 5))
LIGHT = OrdinalTask(name="light", unit="steps", values=(1, 2, 3))
TEMPLATES = {"things": ["How many {plural}?", "Most {plural}, {color}?", "How many things?"]}
KINDS = ("stars", "rings")
STARS = "How many stars?"


def noise(count: int, seed: int, task: OrdinalTask = THINGS, dark: bool = False) -> ImageData:
    """Coarse noise, in all colors or dark and blue."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (count, 8, 8, 3))
    if dark:
        blocks = blocks // [8, 8, 2]
    images = blocks.astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    metadata = pd.DataFrame({"plural": [KINDS[i % 2] for i in range(count)], "size": range(count)})
    values = task.rank_values[rng.integers(0, task.num_ranks, count)]
    key = f"{task.name}-{count}-{seed}-{dark}"
    return ImageData(task, images, values, metadata, key, "train")


@pytest.fixture(scope="module")
def data() -> ImageData:
    return noise(11, 0)


@pytest.fixture
def adapter(tiny_clip) -> RankingAdapter:
    return RankingAdapter(tiny_clip, [THINGS, LIGHT], prompt_templates=TEMPLATES)


# Scores.


@torch.no_grad()
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("use_cls_token", [True, False])
def test_predict_scores_is_independent_of_other_images(tiny_clip, data, use_cls_token, batch_size):
    adapter = RankingAdapter(tiny_clip, THINGS, use_cls_token=use_cls_token)
    scores = adapter.predict_scores(data, STARS, batch_size)
    text = tiny_clip.text_token_features([STARS])[0][0]
    expected = []
    for image in cached_image_tokens(tiny_clip, data).float():
        tokens = adapter.net(image[None] if use_cls_token else image[None, 1:], text)
        expected.append(adapter.net.scores(tokens).item())
    assert (scores.dtype, scores.shape) == (np.float64, (11,))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores.std() > 1e-3
    for rows in ([4], [7, 2], range(9)):
        subset = adapter.predict_scores(data.subset(rows), STARS, batch_size)
        np.testing.assert_allclose(subset, scores[list(rows)], atol=1e-5)


def test_pairwise_head_runs_in_training_only(adapter, data, monkeypatch):
    def forward(*_):
        raise AssertionError("the pairwise head ran")

    monkeypatch.setattr(adapter.net.pairwise_head, "forward", forward)
    adapter.fit_label_scalers([data])
    adapter.calibrate([data])
    adapter.fit_ood_detectors([data], [data])
    adapter.predict(data)
    adapter.ood_score(data)
    with pytest.raises(AssertionError, match="pairwise head ran"):
        adapter.loss(torch.zeros(2, 16, 24), torch.zeros(2))


def test_predict_scores_encodes_each_image_and_prompt_once(adapter, tiny_clip, data, monkeypatch):
    sizes, prompts, encode = [], [], tiny_clip.text_token_features
    adapter.net.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    monkeypatch.setattr(
        tiny_clip,
        "text_token_features",
        lambda texts, *args: prompts.append(texts) or encode(texts, *args),
    )
    adapter.predict_scores(data, STARS, batch_size=4)
    assert sizes == [4, 4, 3]
    sizes.clear()
    adapter.predict_scores(data, adapter.prompts(data), batch_size=4)
    assert sizes == [4, 2, 4, 1]
    adapter.predict(data)
    assert prompts == [[STARS], ["How many rings?"]]


def test_predict_scores_accepts_one_prompt_per_image(adapter, data):
    stars, rings = (adapter.predict_scores(data, f"How many {kind}?") for kind in KINDS)
    assert abs(stars - rings).max() > 1e-4
    same = adapter.predict_scores(data, [STARS] * 11)
    np.testing.assert_allclose(same, stars, atol=1e-6)
    mixed = adapter.predict_scores(data, adapter.prompts(data))
    np.testing.assert_allclose(mixed, np.where(np.arange(11) % 2, rings, stars), atol=1e-5)
    with pytest.raises(ValueError, match=r"2 prompts for 11 images: .* or a list of 11"):
        adapter.predict_scores(data, [STARS, "How many rings?"])


def test_predict_scores_disables_dropout_and_restores_mode(adapter, data, monkeypatch):
    assert not adapter.training
    expected = adapter.predict_scores(data, STARS)
    assert not adapter.training
    adapter.train()
    np.testing.assert_array_equal(adapter.predict_scores(data, STARS), expected)
    assert adapter.training
    monkeypatch.setattr(adapter, "encode", lambda *_: 1 / 0)
    for function in (adapter.predict_scores, partial(occlusion_map, adapter)):
        with pytest.raises(ZeroDivisionError):
            function(data, STARS)
        assert adapter.training


# Prompts.


def test_prompts_use_first_template_with_all_columns(adapter, data):
    assert adapter.prompts(data) == [f"How many {KINDS[i % 2]}?" for i in range(11)]
    colored = replace(data, metadata=data.metadata.assign(color="red"))
    prompts = adapter.prompts(colored, "The {color} {plural}?")
    assert prompts == [f"The red {KINDS[i % 2]}?" for i in range(11)]
    bare = replace(data, metadata=data.metadata[["size"]])
    assert adapter.prompts(bare) == ["How many things?"] * 11
    assert adapter.prompts(bare, template="Which?") == ["Which?"] * 11
    assert adapter.prompts(noise(3, 0, LIGHT)) == ["Rank by light."] * 3


def test_prompts_refuse_missing_column_and_other_task(tiny_clip, adapter, uneven, data):
    message = r"template = '.*': the metadata of things has no column 'color'; .* plural, size"
    with pytest.raises(ValueError, match=message):
        adapter.prompts(data, "The {color} {plural}?")
    templates = {"things": ["By {shape}", "By {age}"]}
    other = RankingAdapter(tiny_clip, THINGS, prompt_templates=templates)
    with pytest.raises(ValueError, match=r"template = 'By \{shape\}': .* no column 'shape'"):
        other.predict(data)
    with pytest.raises(ValueError, match="task = 'uneven': this adapter was built for things, lig"):
        adapter.predict(replace(data, task=uneven, values=data.values + 1))


# Label scalers and calibration.


def test_label_scalers_before_and_after_fitting(adapter):
    scaler = adapter.label_scalers["things"]
    assert scaler.mean == scaler.intercept == 2.5
    assert scaler.std == pytest.approx(5 / math.sqrt(12))
    sets = [noise(20, 1), noise(30, 2, LIGHT)]
    adapter.fit_label_scalers(sets)
    fitted = [LabelScaler.fit(task_data.values) for task_data in sets]
    assert adapter.label_scalers == dict(zip(("things", "light"), fitted, strict=True))


def test_calibrate_fits_line_and_predict_clips_to_range(adapter, data):
    scores = adapter.predict_scores(data, adapter.prompts(data))
    # Not on a line, but rising with the scores.
    labels = np.clip(2.4 + 1.5 * np.sign(scores - scores.mean()), 0, 5)
    adapter.fit_label_scalers([data])
    light, expected = adapter.label_scalers["light"], LabelScaler.fit(data.values)
    adapter.calibrate([replace(data, values=labels)])
    scaler = adapter.label_scalers["things"]
    assert scaler == expected.calibrated(scores, labels)
    assert scaler.slope > 0
    assert adapter.label_scalers["light"] == light
    prediction = adapter.predict(data)
    expected = [min(max(scaler.slope * s + scaler.intercept, 0), 5) for s in scores]
    np.testing.assert_allclose(prediction.value, expected, atol=1e-4)
    assert prediction.probabilities is None
    for value, label in zip(prediction.value, prediction.label, strict=True):
        assert abs(value - label) == min(abs(value - rank) for rank in THINGS.rank_values)
    adapter.calibrate([replace(data, values=labels.max() - labels)])
    assert adapter.label_scalers["things"].slope == 0


# OOD detection.


@pytest.fixture
def fitted(adapter) -> RankingAdapter:
    train = [noise(80, 1), noise(80, 2, LIGHT, dark=True)]
    val = [noise(120, 3), noise(120, 4, LIGHT, dark=True)]
    adapter.fit_label_scalers(train)
    adapter.fit_ood_detectors(train, val)
    return adapter


def uniform_images() -> ImageData:
    """White, black, and red."""
    colors = np.array([(255, 255, 255), (0, 0, 0), (255, 0, 0)], dtype=np.uint8)
    images = colors[:, None, None].repeat(64, axis=1).repeat(64, axis=2)
    return ImageData(LIGHT, images, np.ones(3), pd.DataFrame(index=range(3)), "uniform", "all")


def test_ood_score_separates_training_images_from_others(fitted):
    dark = noise(40, 6, LIGHT, dark=True)
    for in_distribution in (noise(80, 1), noise(40, 5), dark):
        scores = fitted.ood_score(in_distribution, batch_size=7)
        assert np.median(scores) < 0.8
        assert (scores > 1).mean() <= 0.1
    assert fitted.ood_score(uniform_images()).min() > 1.5
    assert (fitted.ood_score(dark, "things") > 1).all()
    assert (fitted.ood_score(dark, "light") < 1).mean() > 0.9
    del fitted.ood_detectors["light"]
    assert fitted.ood_score(dark).min() > 1


def test_ood_score_requires_training(adapter, data):
    with pytest.raises(RuntimeError, match="no OOD detectors: train it with fit"):
        adapter.ood_score(data)


# Loss and initialization.


@torch.no_grad()
@pytest.mark.parametrize("learnable_tokens", ["vector", "scalar"])
def test_scalar_learnable_tokens_have_no_effect(tiny_clip, data, learnable_tokens):
    adapter = RankingAdapter(tiny_clip, THINGS, learnable_tokens=learnable_tokens)
    before, tokens = adapter.predict_scores(data, STARS), adapter.net.learnable_tokens
    tokens.copy_(torch.randn(tokens.shape, generator=torch.Generator().manual_seed(1)))
    difference = abs(adapter.predict_scores(data, STARS) - before).max()
    assert difference > 1e-3 if learnable_tokens == "vector" else difference < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("tie_handling", ["mask", "half", "zero"])
def test_loss_is_dual_loss_of_both_heads(tiny_clip, tie_handling):
    adapter = RankingAdapter(tiny_clip, THINGS, tie_handling=tie_handling)
    tokens = torch.randn(4, 16, 24, generator=torch.Generator().manual_seed(2))
    targets = torch.tensor([0.5, -1.0, 0.5, 2.0])
    heads = adapter.net.scores(tokens), adapter.net.pair_logits(tokens)
    expected = dual_loss(*heads, targets, tie_handling=tie_handling)
    assert torch.equal(adapter.loss(tokens, targets), expected)


def test_initialization_depends_on_seed_only(tiny_clip):
    torch.manual_seed(3)
    expected = torch.rand(1)
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(3)
        states.append(RankingAdapter(tiny_clip, THINGS, seed=seed).trainable_state_dict())
        assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert not torch.equal(states[0]["net.learnable_tokens"], states[2]["net.learnable_tokens"])


@torch.no_grad()
def test_initial_text_projection_is_that_of_clip(adapter, tiny_clip):
    text = adapter.net.text_projection(adapter.encode_prompt(STARS))
    torch.testing.assert_close(text[-1:], tiny_clip.text_features([STARS]))


@pytest.mark.parametrize(("offset", "layers"), [(-1, 1), (0, 2)])
def test_deep_image_encoder_gets_deep_adapter(tiny_clip, monkeypatch, offset, layers):
    depth = MIN_LAYERS_FOR_FULL_ADAPTER + offset
    monkeypatch.setattr(tiny_clip.image_encoder, "num_layers", depth)
    assert len(RankingAdapter(tiny_clip, THINGS).net.cross_modal_blocks) == layers


# Saving and loading.


def test_save_pretrained_round_trip(fitted, tiny_clip, tmp_path, data):
    fitted.calibrate([noise(40, 3)])
    fitted.save_pretrained(tmp_path, {"description": "a test"})
    assert json.loads((tmp_path / "config.json").read_text())["method"] == "RankingAdapter"
    loaded = load_component(tmp_path, tiny_clip)
    assert type(loaded) is RankingAdapter
    assert loaded.card["description"] == "a test"
    for name in ("tasks", "prompt_templates", "label_scalers", "options"):
        assert getattr(loaded, name) == getattr(fitted, name), name
    assert not loaded.training
    for images in (data, uniform_images()):
        np.testing.assert_allclose(loaded.ood_score(images), fitted.ood_score(images), rtol=1e-3)
    np.testing.assert_allclose(loaded.predict(data).value, fitted.predict(data).value, atol=0.02)
    parameters = sum(tensor.numel() for tensor in fitted.trainable_state_dict().values())
    ood_bytes = 2 * 4 * (48 * 48 + 48)  # float32 mean and precision of two tasks
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size < 2 * parameters + ood_bytes + 10_000


# Invalid arguments.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learnable_tokens": "matrix"}, "learnable_tokens = 'matrix': must be one of vector, sc"),
        ({"tie_handling": "skip"}, "tie_handling = 'skip': must be one of mask, half, zero"),
        ({"negative_ratio": 1.0}, "negative_ratio = 1.0: must be from 0 to below 1"),
        ({"negative_ratio": -0.1}, "negative_ratio = -0.1: must be from 0 to below 1"),
        ({"prompt_templates": {"age": ["By age."]}}, r"prompt_templates\['age'\] = .* things"),
        ({"prompt_templates": {"things": []}}, r"prompt_templates\['things'\] = \[\]: must be"),
        *(
            (
                {"prompt_templates": {"things": ["By size.", template]}},
                r"_templates\['things'\]\[1\]",
            )
            for template in ("By {size", "By size}", "By {}", "By {size:9}", "By {a.b}", 3, None)
        ),
        ({"prompt_templates": {"things": "By size."}}, r"'By size\.': must be a list of"),
    ],
)
def test_ranking_adapter_refuses_invalid_option(tiny_clip, options, message):
    with pytest.raises(ValueError, match=message):
        RankingAdapter(tiny_clip, THINGS, **options)


def test_ranking_adapter_refuses_unknown_option_and_wrong_tasks(tiny_clip):
    with pytest.raises(TypeError, match="temperature"):
        RankingAdapter(tiny_clip, THINGS, temperature=1.0)
    for tasks in ([], [THINGS, LIGHT, THINGS]):
        with pytest.raises(ValueError, match=r"tasks = \[.*\]: must be one or more"):
            RankingAdapter(tiny_clip, tasks)
