"""The ranking adapter: pictures one by one, sentences, scales, what is kept, what is strange."""

import json
import math
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from small_adapter import noise as known_noise
from small_adapter import small_adapter

from ordlib import ImageData, OrdinalTask, load_component, load_data
from ordlib.clip.feature_cache import cached_image_tokens
from ordlib.methods.coop import CoOp
from ordlib.methods.ranking_adapter.label_scaler import LabelScaler
from ordlib.methods.ranking_adapter.model import MIN_LAYERS_FOR_FULL_ADAPTER, RankingAdapter
from ordlib.methods.ranking_adapter.occlusion import occlusion_map
from ordlib.metrics import spearman

THINGS = OrdinalTask(name="things", unit="things", values=(0, 1, 2, 3, 5))
LIGHT = OrdinalTask(name="light", unit="steps", values=(1, 2, 3))
WORDINGS = {"things": ["How many {plural}?", "Most {plural}, {colour}?", "How many things?"]}
KINDS = ("stars", "rings")


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def noise(count: int, seed: int, task: OrdinalTask = THINGS, dark: bool = False) -> ImageData:
    """Coarse noise, in all colours or dark and blue."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (count, 8, 8, 3))
    if dark:
        blocks = blocks // [8, 8, 2]
    images = blocks.astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    records = pd.DataFrame({"plural": [KINDS[i % 2] for i in range(count)], "size": range(count)})
    values = task.rank_values[rng.integers(0, task.num_ranks, count)]
    key = f"{task.name}-{count}-{seed}-{dark}"
    return ImageData(task, images, values, records, key, "train")


@pytest.fixture(scope="module")
def data() -> ImageData:
    return noise(11, 0)


@pytest.fixture
def adapter(tiny_clip) -> RankingAdapter:
    return RankingAdapter(tiny_clip, [THINGS, LIGHT], prompt_templates=WORDINGS)


@pytest.fixture
def calls(tiny_clip, monkeypatch) -> list[list[str]]:
    """The sentences of every pass of the text tower."""
    seen, read = [], tiny_clip.text_token_features
    monkeypatch.setattr(
        tiny_clip, "text_token_features", lambda texts: seen.append(texts) or read(texts)
    )
    return seen


@pytest.fixture
def sizes(adapter) -> list[int]:
    """How many pictures the network saw at a time."""
    seen = []
    adapter.net.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    return seen


# Scores: of each picture by itself, at the cost of each.


@torch.no_grad()
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("use_cls_token", [True, False])
def test_each_picture_is_scored_by_itself(tiny_clip, data, use_cls_token, batch_size):
    adapter = RankingAdapter(tiny_clip, THINGS, use_cls_token=use_cls_token)
    found = adapter.predict_scores(data, "How many stars?", batch_size)
    words = tiny_clip.text_token_features(["How many stars?"])[0][0]
    expected = []
    for seen in cached_image_tokens(tiny_clip, data).float():
        tokens = adapter.net(seen[None] if use_cls_token else seen[None, 1:], words)
        expected.append(adapter.net.scores(tokens).item())
    assert (found.dtype, found.shape) == (np.float64, (11,))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.std() > 1e-3
    for rows in ([4], [7, 2], range(9)):
        part = adapter.predict_scores(data.subset(rows), "How many stars?", batch_size)
        np.testing.assert_allclose(part, found[list(rows)], atol=1e-5)


def test_pairs_are_never_looked_at_outside_of_training(adapter, data, monkeypatch):
    def forward(*_):
        raise AssertionError("the pair branch ran")

    monkeypatch.setattr(adapter.net.pairwise_head, "forward", forward)
    adapter.fit_label_scalers([data])
    adapter.calibrate([data])
    adapter.fit_ood_detectors([data], [data])
    adapter.predict(data)
    adapter.ood_score(data)
    with pytest.raises(AssertionError, match="pair branch ran"):
        adapter.loss(torch.zeros(2, 16, 24), torch.zeros(2))


def test_no_more_than_a_batch_is_in_the_network_and_each_picture_once(adapter, data, sizes):
    adapter.predict_scores(data, "How many stars?", batch_size=4)
    assert sizes == [4, 4, 3]
    sizes.clear()
    adapter.predict_scores(data, adapter.prompts(data), batch_size=4)
    assert sizes == [4, 2, 4, 1]


def test_a_sentence_is_read_once_whatever_the_pictures(adapter, data, calls):
    adapter.predict_scores(data, adapter.prompts(data), batch_size=2)
    adapter.predict_scores(data, "How many stars?", batch_size=2)
    adapter.predict(data)
    assert calls == [["How many stars?"], ["How many rings?"]]


def test_a_sentence_for_each_picture(adapter, data):
    stars, rings = (adapter.predict_scores(data, f"How many {kind}?") for kind in KINDS)
    assert abs(stars - rings).max() > 1e-4
    same = adapter.predict_scores(data, ["How many stars?"] * 11)
    np.testing.assert_allclose(same, stars, atol=1e-6)
    mixed = adapter.predict_scores(data, adapter.prompts(data))
    for i, score in enumerate(mixed):
        assert score == pytest.approx((stars, rings)[i % 2][i], abs=1e-5)
    with pytest.raises(ValueError, match="2 sentences for 11 pictures: give one or each"):
        adapter.predict_scores(data, ["How many stars?", "How many rings?"])


def test_dropout_is_off_and_the_mode_is_left_as_it_was(adapter, data):
    assert not adapter.training
    expected = adapter.predict_scores(data, "How many stars?")
    adapter.train()
    np.testing.assert_array_equal(adapter.predict_scores(data, "How many stars?"), expected)
    assert adapter.training


# Sentences.


def test_the_first_sentence_whose_columns_are_there_is_asked(adapter, data):
    assert adapter.prompts(data) == [f"How many {KINDS[i % 2]}?" for i in range(11)]
    coloured = ImageData(
        THINGS, data.images, data.values, data.metadata.assign(colour="red"), "red", "test"
    )
    asked = adapter.prompts(coloured, "The {colour} {plural}?")
    assert asked == [f"The red {KINDS[i % 2]}?" for i in range(11)]
    bare = ImageData(THINGS, data.images, data.values, data.metadata[["size"]], "bare", "test")
    assert adapter.prompts(bare) == ["How many things?"] * 11
    assert adapter.prompts(bare, "Which?") == ["Which?"] * 11
    assert adapter.prompts(noise(3, 0, LIGHT)) == ["Rank by light."] * 3


def test_a_sentence_that_the_records_cannot_fill(tiny_clip, adapter, data):
    message = r"records of things have no column 'colour', which '.*' asks for; there are plural, s"
    with pytest.raises(ValueError, match=message):
        adapter.prompts(data, "The {colour} {plural}?")
    needy = RankingAdapter(
        tiny_clip, THINGS, prompt_templates={"things": ["By {shape}", "By {age}"]}
    )
    with pytest.raises(ValueError, match=r"no column 'shape', which 'By \{shape\}' asks for"):
        needy.predict(data)


def test_pictures_of_another_task(adapter, uneven, data):
    other = ImageData(uneven, data.images, data.values + 1, data.metadata, "other", "test")
    with pytest.raises(ValueError, match="data of task 'uneven': this adapter knows things, light"):
        adapter.predict(other)


# Scales.


def test_before_training_a_scale_is_guessed_from_the_range(adapter):
    # A uniform spread over 0 to 5.
    assert adapter.label_scalers["things"].mean == adapter.label_scalers["things"].intercept == 2.5
    assert adapter.label_scalers["things"].std == pytest.approx(5 / math.sqrt(12))


def test_targets_are_standardised_by_each_tasks_training_labels(adapter):
    sets = [noise(20, 1), noise(30, 2, LIGHT)]
    adapter.fit_label_scalers(sets)
    for each in sets:
        total = squares = 0.0
        for value in each.values:
            total += value
            squares += value**2
        mean = total / len(each)
        std = math.sqrt(squares / len(each) - mean**2)
        scale = adapter.label_scalers[each.task.name]
        assert scale.mean == scale.intercept == pytest.approx(mean)
        assert scale.std == scale.slope == pytest.approx(std)


def with_values(data: ImageData, values: np.ndarray) -> ImageData:
    return ImageData(data.task, data.images, values, data.metadata, data.fingerprint, data.split)


def test_calibration_fits_a_line_and_predictions_stay_in_range(adapter, data):
    scores = adapter.predict_scores(data, adapter.prompts(data))
    # Not on a line, but rising with the scores.
    values = np.clip(2.4 + 1.5 * np.sign(scores - scores.mean()), 0, 5)
    adapter.fit_label_scalers([data])
    before = adapter.label_scalers["things"]
    adapter.calibrate([with_values(data, values)])
    scale = adapter.label_scalers["things"]
    up = down = 0.0
    for score, value in zip(scores, values, strict=True):
        up += (score - scores.mean()) * (value - values.mean())
        down += (score - scores.mean()) ** 2
    assert scale.slope == pytest.approx(up / down, rel=1e-6)
    assert scale.intercept == pytest.approx(values.mean() - up / down * scores.mean(), rel=1e-6)
    assert (scale.mean, scale.std) == (before.mean, before.std)
    assert adapter.label_scalers["light"].slope == pytest.approx(2 / math.sqrt(12))
    found = adapter.predict(data)
    expected = [min(max(scale.slope * s + scale.intercept, 0), 5) for s in scores]
    np.testing.assert_allclose(found.value, expected, atol=1e-4)
    assert found.probabilities is None
    for value, label in zip(found.value, found.label, strict=True):
        assert abs(value - label) == min(abs(value - level) for level in THINGS.rank_values)


@pytest.mark.parametrize("how", ["falls", "does not vary"])
def test_where_a_line_would_fall_all_get_the_mean(how, adapter, data, monkeypatch):
    adapter.fit_label_scalers([data])
    scores = adapter.predict_scores(data, adapter.prompts(data))
    rising = np.argsort(np.argsort(scores)) / 2.5
    if how == "does not vary":
        monkeypatch.setattr(adapter, "predict_scores", lambda *_: np.ones(11))
    adapter.calibrate([with_values(data, rising.max() - rising)])
    scale = adapter.label_scalers["things"]
    assert scale.slope == 0
    assert scale.intercept == pytest.approx(rising.mean())


def test_predictions_beyond_the_ranks_end_at_the_range(adapter):
    adapter.label_scalers["light"] = LabelScaler(mean=2, std=1, slope=1, intercept=2)
    found = adapter.predict_from_scores(LIGHT, np.array([-9.0, 0.3, 9.0]))
    np.testing.assert_allclose(found.value, [1, 2.3, 3])
    assert found.label.tolist() == [1, 2, 3]


# What is strange.


@pytest.fixture
def experienced(adapter) -> RankingAdapter:
    train = [noise(80, 1), noise(80, 2, LIGHT, dark=True)]
    val = [noise(120, 3), noise(120, 4, LIGHT, dark=True)]
    adapter.fit_label_scalers(train)
    adapter.fit_ood_detectors(train, val)
    return adapter


def strangers() -> ImageData:
    """White, black, and red."""
    colours = np.array([(255, 255, 255), (0, 0, 0), (255, 0, 0)], dtype=np.uint8)
    images = colours[:, None, None].repeat(64, axis=1).repeat(64, axis=2)
    return ImageData(LIGHT, images, np.ones(3), pd.DataFrame(index=range(3)), "strange", "all")


def test_training_pictures_are_alike_and_others_strange(experienced):
    for known in (noise(80, 1), noise(40, 5), noise(40, 6, LIGHT, dark=True)):
        distances = experienced.ood_score(known, batch_size=7)
        assert np.median(distances) < 0.8
        assert (distances > 1).mean() <= 0.1
    assert experienced.ood_score(strangers()).min() > 1.5
    dark = noise(40, 6, LIGHT, dark=True)
    assert (experienced.ood_score(dark, "things") > 1).all()
    assert (experienced.ood_score(dark, "light") < 1).mean() > 0.9
    # The nearest task counts: the dark pictures are none of the other's.
    del experienced.ood_detectors["light"]
    assert experienced.ood_score(dark).min() > 1


def test_strangeness_needs_training(adapter, data):
    with pytest.raises(RuntimeError, match="this RankingAdapter has seen no pictures yet: fit it"):
        adapter.ood_score(data)


# What is learned, and its loss.


@torch.no_grad()
@pytest.mark.parametrize("learnable_tokens", ["vector", "scalar"])
def test_the_released_text_tokens_move_no_score(tiny_clip, data, learnable_tokens):
    adapter = RankingAdapter(tiny_clip, THINGS, learnable_tokens=learnable_tokens)
    before = adapter.predict_scores(data, "How many stars?")
    drawn = torch.randn(
        adapter.net.learnable_tokens.shape, generator=torch.Generator().manual_seed(1)
    )
    adapter.net.learnable_tokens.copy_(drawn)
    moved = abs(adapter.predict_scores(data, "How many stars?") - before).max()
    assert moved > 1e-3 if learnable_tokens == "vector" else moved < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("tie_handling", ["mask", "half", "zero"])
def test_the_loss_is_that_of_all_pairs(tiny_clip, tie_handling):
    adapter = RankingAdapter(tiny_clip, THINGS, tie_handling=tie_handling)
    tokens = torch.randn(4, 16, 24, generator=torch.Generator().manual_seed(2))
    targets = [0.5, -1.0, 0.5, 2.0]
    scores, logits = adapter.net.scores(tokens).tolist(), adapter.net.pair_logits(tokens).tolist()
    errors, orders = [], []
    for i in range(4):
        off = abs(scores[i] - targets[i])
        errors.append(off - 0.5 if off > 1 else off**2 / 2)
        for j in range(4):
            above = float(targets[i] > targets[j])
            if targets[i] == targets[j]:
                if tie_handling == "mask":
                    continue
                above = 0.5 if tie_handling == "half" else 0.0
            share = 1 / (1 + math.exp(-logits[i][j]))
            orders.append(-above * math.log(share) - (1 - above) * math.log(1 - share))
    expected = 0.2 * math.log(1 + sum(errors) / 4) + sum(orders) / len(orders)
    assert adapter.loss(tokens, torch.tensor(targets)).item() == pytest.approx(expected, rel=1e-4)


def test_first_weights_are_of_the_seed_alone(tiny_clip):
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
def test_it_begins_with_clips_own_projection_of_the_sentence(adapter, tiny_clip):
    words = adapter.net.text_projection(adapter.encode_prompt("How many stars?"))
    torch.testing.assert_close(words[-1:], tiny_clip.text_features(["How many stars?"]))


def test_a_deeper_tower_gets_a_deeper_adapter(tiny_clip, monkeypatch):
    assert len(RankingAdapter(tiny_clip, THINGS).net.cross_modal_blocks) == 1
    for depth, layers in ((MIN_LAYERS_FOR_FULL_ADAPTER - 1, 1), (MIN_LAYERS_FOR_FULL_ADAPTER, 2)):
        monkeypatch.setattr(tiny_clip.model.config.vision_config, "num_hidden_layers", depth)
        assert len(RankingAdapter(tiny_clip, THINGS).net.cross_modal_blocks) == layers


# What is kept.


def test_half_precision_hardly_changes_the_order_of_rendered_pictures(tiny_clip, tmp_path):
    val = load_data("counting", "val", image_size=64, num_images=16)
    adapter = RankingAdapter(tiny_clip, val.task, tie_handling="half", seed=2)
    adapter.save_pretrained(tmp_path)
    found = RankingAdapter.from_pretrained(tmp_path, tiny_clip)
    prompts = found.prompts(val)
    assert prompts == [f"Rank by the number of {kind}." for kind in val.metadata["plural"]]
    for asked in (prompts, "Which picture shows the most things?"):
        before, after = adapter.predict_scores(val, asked), found.predict_scores(val, asked)
        assert 0 < abs(before - after).max() < 0.02 * before.std()
        assert spearman(before, after) > 0.99
        # Two that change places lay as close as the rounding.
        for i, j in combinations(range(16), 2):
            if (before[i] > before[j]) != (after[i] > after[j]):
                assert abs(before[i] - before[j]) < 0.02 * before.std()


def test_it_is_kept_and_loaded_with_all_it_knows(experienced, tiny_clip, tmp_path, data):
    experienced.calibrate([noise(40, 3)])
    experienced.save_pretrained(tmp_path, {"description": "a trial"})
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["method"] == "RankingAdapter"
    found = load_component(tmp_path, tiny_clip)
    assert type(found) is RankingAdapter
    assert found.card["description"] == "a trial"
    for name in ("tasks", "prompt_templates", "label_scalers", "options"):
        assert getattr(found, name) == getattr(experienced, name), name
    assert not found.training
    for pictures in (data, strangers()):
        np.testing.assert_allclose(
            found.ood_score(pictures), experienced.ood_score(pictures), rtol=1e-3
        )
    np.testing.assert_allclose(
        found.predict(data).value, experienced.predict(data).value, atol=0.02
    )
    parameters = sum(tensor.numel() for tensor in experienced.trainable_state_dict().values())
    # Two tasks' covariances of class token and mean patch are in single precision.
    likeness = 2 * 4 * (48 * 48 + 48)
    assert (tmp_path / "model.safetensors").stat().st_size < 2 * parameters + likeness + 10_000


def test_components_that_cannot_be_loaded(adapter, tiny_clip, tmp_path):
    CoOp(tiny_clip, THINGS).save_pretrained(tmp_path / "coop")
    with pytest.raises(ValueError, match="holds a CoOp, not a RankingAdapter"):
        RankingAdapter.from_pretrained(tmp_path / "coop", tiny_clip)
    adapter.save_pretrained(tmp_path / "mine")
    path = tmp_path / "mine" / "config.json"
    config = json.loads(path.read_text())
    other = config | {"backbone": {"name": "another", "sha256": "0" * 64}}
    path.write_text(json.dumps(other))
    with pytest.raises(ValueError, match=r"trained on 'another' .* does not fit .*tiny-clip"):
        load_component(tmp_path / "mine", tiny_clip)
    options = config["options"] | {"learnable_tokens": "scalar"}
    path.write_text(json.dumps(config | {"options": options}))
    with pytest.raises(
        ValueError, match=r"net\.learnable_tokens is \(32, 24\) there and \(32, 1\) in"
    ):
        load_component(tmp_path / "mine", tiny_clip)
    path.write_text(json.dumps(config))
    weights = tmp_path / "mine" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ValueError, match="damaged or exchanged"):
        load_component(tmp_path / "mine", tiny_clip)


# What cannot be.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"learnable_tokens": "matrix"},
            "learnable_tokens = 'matrix': must be one of vector, scalar",
        ),
        ({"tie_handling": "skip"}, "tie_handling = 'skip': must be one of mask, half, zero"),
        ({"negative_ratio": 1.0}, "negative_ratio = 1.0: must be from 0 to below 1"),
        ({"negative_ratio": -0.1}, "negative_ratio = -0.1: must be from 0 to below 1"),
        (
            {"prompt_templates": {"age": ["By age."]}},
            r"prompt_templates\['age'\] = .* for one of things",
        ),
        (
            {"prompt_templates": {"things": []}},
            r"prompt_templates\['things'\] = \[\]: must be one or more",
        ),
        (
            {"prompt_templates": {"things": "By size."}},
            r"'By size\.': must be .* sentences, in a list",
        ),
    ],
)
def test_options_that_cannot_be(tiny_clip, options, message):
    with pytest.raises(ValueError, match=message):
        RankingAdapter(tiny_clip, THINGS, **options)


def test_options_that_there_are_not(tiny_clip):
    with pytest.raises(TypeError, match="temperature"):
        RankingAdapter(tiny_clip, THINGS, temperature=1.0)


@pytest.mark.parametrize("tasks", [[], [THINGS, LIGHT, THINGS]], ids=["none", "twice"])
def test_tasks_that_cannot_be(tiny_clip, tasks):
    with pytest.raises(ValueError, match=r"tasks = \[.*\]: give one or more, each once"):
        RankingAdapter(tiny_clip, tasks)


def test_scores_leave_the_mode_as_it_was_also_after_an_error(tiny_clip_folder, monkeypatch):
    adapter, data = small_adapter(tiny_clip_folder), known_noise("counting", "val", 4)
    for training in (True, False):
        adapter.train(training)
        adapter.predict_scores(data, "the number of stars")
        assert adapter.training is training
    adapter.train()
    monkeypatch.setattr(adapter, "encode", lambda *_: 1 / 0)
    for ask in (adapter.predict_scores, partial(occlusion_map, adapter)):
        with pytest.raises(ZeroDivisionError):
            ask(data, "the number of stars")
        assert adapter.training
