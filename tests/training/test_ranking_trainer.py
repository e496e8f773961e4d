"""A ranking adapter in `fit`: it learns, goes on after a break, and is shared by processes."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import ranking_runs
import torch
from ranking_runs import CONFIG, LIGHT, SPOTS, WORDINGS, light, make, spots, train, without_dropout
from safetensors.torch import load_file
from scipy.stats import spearmanr

from ordlib.methods.ranking_adapter.model import RankingAdapter
from ordlib.metrics import compute_metrics
from ordlib.training import TrainingConfig, fit

EASY = TrainingConfig(epochs=4, batch_size=12, learning_rate=1e-2)


def state_of(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}


def ordered_share(ranks, raw) -> float:
    pairs = [(i, j) for i in range(len(raw)) for j in range(len(raw)) if ranks[i] > ranks[j]]
    return float(np.mean([raw[i] > raw[j] for i, j in pairs]))


def same(one, other) -> bool:
    one, other = one.trainable_state_dict(), other.trainable_state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def straight(tiny_clip_folder):
    """Both tasks, trained without a break, and the history of it."""
    model = make(tiny_clip_folder)
    return model, train(model)


def test_one_task_is_learned_from_its_pictures_alone(clip):
    model, val = RankingAdapter(clip, LIGHT), light("val", 18)
    first, before = state_of(model), compute_metrics(LIGHT, val.values, model.predict(val))
    assert before["spearman"] < 0.5
    history = fit(model, light("train", 36), val, EASY, progress=False)
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]
    found = compute_metrics(LIGHT, val.values, model.predict(val))
    assert found["spearman"] > 0.8
    assert found["mae"] < 0.6 * before["mae"]
    assert not model.training
    assert clip.weights_unchanged
    moved = {
        name for name, t in model.trainable_state_dict().items() if not torch.equal(t, first[name])
    }
    assert moved == first.keys()
    assert (model.ood_score(light("train", 36)) < 1).mean() > 0.8
    noise = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    for images in (noise, spots("val", 6).images):
        strange = replace(spots("val", 6), images=images, fingerprint=str(images.mean()))
        assert model.ood_score(strange).min() > 1
    labels = light("train", 36).values
    assert model.label_scalers["light"].mean == pytest.approx(labels.mean())
    assert model.label_scalers["light"].std == pytest.approx(labels.std())


def test_metrics_are_means_over_tasks(straight):
    model, history = straight
    metrics = ["mae", "accuracy", "off_by_one", "kappa", "spearman", "pearson", "pairwise"]
    assert history.columns.tolist() == ["epoch", "loss", *metrics, "best"]
    assert (len(history), history.attrs["steps"]) == (3, 6)
    best = history.set_index("epoch").loc[history.attrs["best_epoch"]]
    for name in metrics:
        total = 0.0
        for val in (light("val", 12), spots("val", 6)):
            raw = model.predict_scores(val, model.prompts(val))
            found = compute_metrics(val.task, val.values, model.predict(val)) | {
                # Of the scores themselves: a line of calibration may be flat.
                "spearman": spearmanr(val.values, raw).statistic,
                "pearson": np.corrcoef(val.values, raw)[0, 1],
                "pairwise": ordered_share(val.ranks, raw),
            }
            std = model.label_scalers[val.task.name].std
            total += found[name] / (std if name == "mae" else 1)
        assert total / 2 == pytest.approx(best[name], abs=1e-9)
    assert not model.training
    assert set(model.ood_detectors) == {"light", "spots"}


def test_the_order_in_which_sets_are_given_does_not_matter(straight, tiny_clip_folder):
    model, history = straight
    other = make(tiny_clip_folder)
    sets = [spots("train", 10), light("train", 24)], [spots("val", 6), light("val", 12)]
    pd.testing.assert_frame_equal(
        fit(other, *sets, CONFIG, progress=False), history, check_exact=True
    )
    assert same(other, model)


def test_what_a_step_sees(tiny_clip_folder):
    """Pictures of one task, the tokens of the sentence, standardised labels; both have turns."""
    model, seen = make(tiny_clip_folder), []
    encode, loss = model.encode, model.loss
    model.encode = lambda *inputs: seen.append([*inputs]) or encode(*inputs)
    model.loss = lambda tokens, targets: seen[-1].append(targets) or loss(tokens, targets)
    train(model, epochs=1)
    tokens = {data.task.name: model.image_tokens(data) for data in (light("", 24), spots("", 10))}
    asked = ["Rank by light.", "Order the pictures by light.", "light", "Which shows the most?"]
    asked += ["How many reds?", "How many blues?"]
    steps = [step for step in seen if len(step) == 3]
    found = set()
    for shown, words, targets in steps:
        prompt = next(text for text in asked if torch.equal(model.encode_prompt(text), words))
        data = light("", 24) if "light" in prompt else spots("", 10)
        found.add(data.task.name)
        mean, std = data.values.mean(), data.values.std()
        for picture, target in zip(shown, targets.tolist(), strict=True):
            equal = [torch.equal(picture, one) for one in tokens[data.task.name].float()]
            row = np.flatnonzero(equal)
            labels = {round((data.values[i] - mean) / std, 4) for i in row}
            kind = prompt.removeprefix("How many ").removesuffix("?")
            if "How many" in prompt and data.metadata["plural"][row[0]] != kind:
                labels = {round(-mean / std, 4)}
            assert round(target, 4) in labels
    assert found == {"light", "spots"}
    assert sorted(len(targets) for _, _, targets in steps)[-1] == 12


class Interrupted(Exception):
    """What comes in the way."""


def test_it_goes_on_after_a_break_and_ends_in_the_same_bits(straight, tiny_clip_folder, tmp_path):
    expected, history = straight
    model, calls = make(tiny_clip_folder), []
    loss = model.loss

    def breaking(*batch):
        calls.append(1)
        if len(calls) == 4:
            raise Interrupted
        return loss(*batch)

    model.loss = breaking
    with pytest.raises(Interrupted):
        train(model, tmp_path)
    resumed = make(tiny_clip_folder)
    torch.rand(3)
    resumed.loss = lambda *batch: calls.append(1) or type(resumed).loss(resumed, *batch)
    calls.clear()
    pd.testing.assert_frame_equal(train(resumed, tmp_path), history, check_exact=True)
    assert len(calls) == 4
    assert same(resumed, expected)
    assert resumed.label_scalers == expected.label_scalers
    again = make(tiny_clip_folder)
    again.loss = None
    pd.testing.assert_frame_equal(train(again, tmp_path), history, check_exact=True)
    assert same(again, expected)
    assert again.label_scalers == expected.label_scalers
    assert not again.training
    np.testing.assert_array_equal(
        again.ood_score(light("val", 12)), expected.ood_score(light("val", 12))
    )
    other = RankingAdapter(
        resumed.clip, [LIGHT, SPOTS], prompt_templates=WORDINGS | {"light": ["By it."]}
    )
    with pytest.raises(ValueError, match=r"prompt_templates\.light"):
        train(other, tmp_path)


def test_dropout_is_drawn_from_the_plans_seed(straight, tiny_clip_folder):
    """It is on, or the run that goes on would prove nothing of it."""
    dry = without_dropout(lambda: make(tiny_clip_folder))
    assert [m.p for m in dry.modules() if isinstance(m, torch.nn.Dropout)] == [0, 0, 0]
    train(dry)
    assert not same(dry, straight[0])
    torch.manual_seed(99)
    model = make(tiny_clip_folder)
    train(model)
    assert same(model, straight[0])


@pytest.mark.slow
def test_two_processes_end_where_one_does(tiny_clip_folder, tmp_path):
    """Without dropout, which differs between processes; a batch of 10 is shared as 5 and 5."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    line = [sys.executable, ranking_runs.__file__, str(tiny_clip_folder), str(tmp_path)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    model = without_dropout(lambda: make(tiny_clip_folder))
    start = state_of(model)
    expected = train(model)
    scores = model.predict_scores(light("val", 12), "Rank by light.")
    files = [load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1)]
    for rank in (0, 1):
        told = json.loads((tmp_path / f"{rank}.json").read_text())
        assert (told["processes"], told["backend"]) == (2, "gloo")
        pd.testing.assert_frame_equal(pd.DataFrame(told["history"]), expected, rtol=1e-3)
        np.testing.assert_allclose(told["scores"], scores, atol=1e-3)
    assert all(torch.equal(tensor, files[1][name]) for name, tensor in files[0].items())
    # Adam makes steps of equal size of small gradients, and so of their rounding.
    off = moved = 0.0
    for name, tensor in model.trainable_state_dict().items():
        off += (files[0][name] - tensor).square().sum().item()
        moved += (start[name] - tensor).square().sum().item()
    assert off < 1e-2 * moved


def test_a_loss_that_is_no_number_names_the_sentence(clip):
    model = RankingAdapter(clip, SPOTS, prompt_templates={"spots": ["How many {plural}?"]})
    first, loss, calls = state_of(model), model.loss, []

    def breaking(*batch):
        calls.append(1)
        return loss(*batch) * (float("nan") if len(calls) == 2 else 1.0)

    model.loss = breaking
    told = r"the loss is nan at step 2 .* spots, 'How many (reds|blues)\?', pictures \d"
    with pytest.raises(FloatingPointError, match=told):
        fit(
            model, spots("train", 24), spots("val", 6), TrainingConfig(batch_size=6), progress=False
        )
    assert all(
        torch.equal(tensor, first[name]) for name, tensor in model.trainable_state_dict().items()
    )


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        ([light("train", 24), spots("train", 10), light("b", 12)], "two sets are of one task: lig"),
        ([light("train", 24)], "train has pictures of light; the adapter learns light, spots: giv"),
        (spots("train", 10), "train has pictures of spots; the adapter learns light, spots"),
    ],
    ids=["twice", "missing", "alone"],
)
def test_sets_that_are_not_one_for_each_task(tiny_clip_folder, sets, told):
    val = [light("val", 12), spots("val", 6)]
    with pytest.raises(ValueError, match=told):
        fit(make(tiny_clip_folder), sets, val, CONFIG, progress=False)
    with pytest.raises(ValueError, match=told.replace("train has", "val has")):
        fit(make(tiny_clip_folder), [light("train", 24), spots("train", 10)], sets, progress=False)


def test_pictures_that_nothing_is_learned_from(clip):
    model, data = RankingAdapter(clip, LIGHT), light("train", 24)
    equal = data.subset(data.values == 2)
    with pytest.raises(ValueError, match=r"all labels of ImageData\(light.* are equal: there is"):
        fit(model, equal, data, progress=False)
    needy = RankingAdapter(clip, LIGHT, prompt_templates={"light": ["How bright is the {object}?"]})
    with pytest.raises(ValueError, match="no column 'object'"):
        fit(needy, data, data, progress=False)
