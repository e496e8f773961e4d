import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ordlib import ImageData, list_components, load_clip, load_component, load_data, load_results
from ordlib.components.registry import COMPONENTS
from ordlib.experiments.adapter_data import HELD_OUT_OBJECTS
from ordlib.experiments.train_adapter import TASKS
from ordlib.methods.zero_shot import ZeroShot
from ordlib.metrics import spearman

RANKER = "ranking-adapter"
NAMES = [name for name in list_components().index if name != RANKER]
GRAYS = [np.full((96, 96, 3), shade, dtype=np.uint8) for shade in (0, 128, 255)]


@pytest.fixture(scope="module")
def clip():
    return load_clip("pico-clip", "cpu")


def test_list_components_has_every_prompt_method_and_task():
    tasks = ("ageing", "counting", "dating", "quality")
    methods = ("coop", "l2rclip", "numclip", "ordinalclip")
    assert [f"{method}-{task}" for method in methods for task in tasks] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_component_loads_and_predicts(name, clip):
    model = load_component(name, clip)
    assert model.options.image_encoder == "lora"
    assert sum(file.stat().st_size for file in (COMPONENTS / name).iterdir()) < 1_000_000
    prediction = model.predict_from_features(clip.encode_images(GRAYS))
    low, high = model.task.range
    assert ((prediction.value >= low) & (prediction.value <= high)).all()


@pytest.mark.parametrize("name", NAMES)
def test_component_lies_in_the_interval_of_the_results_table(name, clip):
    """The table was computed on another CPU, at the learning rates of its own grid."""
    card = load_component(name, clip).card
    cells = pd.DataFrame(load_results("methods").attrs["intervals"])
    (cell,) = cells[
        (cells["method"] == list_components().loc[name, "method"])
        & (cells["task"] == name.split("-")[1])
        & (cells["image_encoder"] == "lora")
    ].to_dict("records")
    assert cell["mae_low"] < card["metrics"]["mae"] < cell["mae_high"]


@pytest.fixture(scope="module")
def ranker(clip):
    return load_component(RANKER, clip)


@pytest.fixture(scope="module")
def val(clip):
    """A few images of each task; for counting without the held-out objects."""
    sets = {task: load_data(task, "val", clip.image_size, 50) for task in TASKS}
    seen = ~sets["counting"].metadata["plural"].isin(HELD_OUT_OBJECTS).to_numpy()
    return sets | {"counting": sets["counting"].subset(seen)}


def test_ranking_adapter_is_small_and_float16(clip):
    folder = COMPONENTS / RANKER
    names = ["card.json", "config.json", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6_000_000
    state = load_file(folder / "model.safetensors")
    dtypes = {n: t.dtype for n, t in state.items() if not n.startswith("ood.")}
    assert set(dtypes.values()) == {torch.float16}
    row = list_components().loc[RANKER]
    assert (row["method"], row["task"]) == ("RankingAdapter", ", ".join(TASKS))
    assert row["backbone"] == clip.name == "pico-clip"


def test_ranking_adapter_card_has_command_and_results(ranker):
    card = ranker.card
    fields = {"description", "command", "seed", "device", "train_seconds", "versions", "results"}
    assert fields <= card.keys()
    assert card["seed"] == ranker.options.seed
    seed = f" --seed {card['seed']}" if card["seed"] else ""
    command = f"ordlib train-adapter --output {RANKER}{seed}"
    assert card["command"] == command
    assert re.fullmatch("[0-9a-f]{64}", card["sha256"])
    assert card["train_seconds"] > 0
    assert card["held_out_objects"] == list(HELD_OUT_OBJECTS)
    rows = pd.DataFrame(card["results"]).set_index(["task", "split", "prompts"])
    assert rows.index.is_unique
    sets = {"test", "known objects", "held-out objects", "distractors"}
    expected = {("counting", name, kind) for name in sets for kind in ("seen", "held_out")}
    by_name = product(("known objects", "held-out objects"), ("generic", "singular"))
    expected |= {("counting", *keys) for keys in by_name}
    expected |= {("counting", "absent objects", "seen")}
    expected |= {(task, "test", kind) for task in TASKS for kind in ("seen", "held_out")}
    assert set(rows.index) == expected
    assert rows["spearman"].between(0, 1).all()
    assert rows["pairwise"].between(0.5, 1).all()


def test_ranking_adapter_card_equals_results_table(ranker):
    table = load_results("ranking_adapter").query("method == 'ranking adapter'")
    keys = ["task", "split", "prompts"]
    expected = pd.DataFrame(ranker.card["results"]).set_index(keys).sort_index()
    rows = table[table["seed"] == ranker.card["seed"]].set_index(keys).sort_index()
    pd.testing.assert_frame_equal(rows[expected.columns], expected)


@pytest.mark.parametrize("task", TASKS)
def test_ranking_adapter_outperforms_zero_shot(task, ranker, clip, val):
    data = val[task]
    scores = ranker.predict_scores(data, ranker.prompts(data))
    fill = {"object": "plural"} if task == "counting" else None
    zero_shot = ZeroShot(clip, data.task, templates=(0,), placeholder_columns=fill)
    untrained = zero_shot.predict(data).value
    before, after = spearman(data.values, untrained), spearman(data.values, scores)
    # Quality has few training photos, and zero-shot CLIP is better at it than at other tasks.
    assert after > (0.2 if task == "quality" else max(0.5, before + 0.2))
    low, high = data.task.range
    predicted = ranker.predict(data).value
    assert ((predicted >= low) & (predicted <= high)).all()


def test_ood_score_separates_task_images_from_patterns(ranker, val):
    scores = np.concatenate([ranker.ood_score(data) for data in val.values()])
    assert (scores > 1).mean() < 0.03
    y, x = np.mgrid[:96, :96]
    patterns = [x // 4 % 2, y // 4 % 2, (x // 2 + y // 2) % 2]
    images = np.uint8([np.dstack([255 * pattern] * 3) for pattern in patterns])
    metadata = pd.DataFrame(index=range(3))
    data = ImageData(val["counting"].task, images, np.ones(3), metadata, "patterns", "all")
    assert ranker.ood_score(data).min() > 1.5


def test_ood_score_of_photos_is_high_except_for_quality(ranker, val):
    from ordlib.synthetic.photos import SCENES, photograph

    images = np.stack([np.asarray(photograph(scene.name).resize((96, 96))) for scene in SCENES])
    metadata = pd.DataFrame(index=range(len(SCENES)))
    labels = np.ones(len(SCENES))
    data = ImageData(val["quality"].task, images, labels, metadata, "photographs", "all")
    assert ranker.ood_score(data, "quality").max() < 1
    for task in ("counting", "dating", "ageing"):
        assert (ranker.ood_score(data, task) > 1).mean() > 0.7, task


def test_ood_score_separates_tasks(ranker, val):
    for task in ("counting", "dating", "ageing"):
        for other in TASKS:
            share = (ranker.ood_score(val[other], task) > 1).mean()
            assert share < 0.05 if task == other else share > 0.8, (task, other)


def test_list_components_has_the_mae_of_the_cards():
    table = list_components()
    single = table[table["method"] != "RankingAdapter"]
    assert single["mae"].notna().all()
    assert (
        table.loc["numclip-counting", "mae"]
        == load_component("numclip-counting").card["metrics"]["mae"]
    )
