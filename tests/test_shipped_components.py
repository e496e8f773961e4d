"""The components that come with the library: complete, small, and in agreement with the table."""

import numpy as np
import pytest

from ordlib import list_components, load_clip, load_component, load_results
from ordlib.components import COMPONENTS

NAMES = list_components().index.tolist()
GREYS = [np.full((96, 96, 3), shade, dtype=np.uint8) for shade in (0, 128, 255)]


@pytest.fixture(scope="module")
def clip():
    return load_clip("pico-clip", "cpu")


def test_every_prompt_method_is_there_for_every_task():
    tasks = ("ageing", "counting", "dating", "quality")
    methods = ("coop", "l2rclip", "numclip", "ordinalclip")
    assert [f"{method}-{task}" for method in methods for task in tasks] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_and_reads(name, clip):
    model = load_component(name, clip)
    assert model.options.tower == "lora"
    assert sum(file.stat().st_size for file in (COMPONENTS / name).iterdir()) < 1_000_000
    prediction = model.read(clip.encode_images(GREYS))
    low, high = model.task.range
    assert ((prediction.value >= low) & (prediction.value <= high)).all()


@pytest.mark.parametrize("name", NAMES)
def test_its_card_agrees_with_the_table(name, clip):
    card = load_component(name, clip).card
    table = load_results("methods")
    row = table[
        (table["method"] == list_components().loc[name, "method"])
        & (table["task"] == name.split("-")[1])
        & (table["block"] == "lora")
        & (table["seed"] == card["seed"])
    ]
    assert row["mae"].tolist() == [card["test"]["mae"]]
