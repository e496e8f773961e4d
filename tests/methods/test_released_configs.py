"""released_config of the prompt methods: complete, valid, trainable, and as in docs/recipes.md."""

from dataclasses import fields
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import recipes_page

from ordlib import TrainingConfig, fit, load_clip, load_task
from ordlib.data import ImageData
from ordlib.methods import find_method

CASES = [
    ("NumCLIP", "morph"),
    ("NumCLIP", "hci"),
    ("NumCLIP", "aesthetics"),
    ("OrdinalCLIP", "morph"),
    ("CoOp", "morph"),
    ("L2RCLIP", "morph"),
]
# Options that a release does not decide, or that exist for ablations and other image encoders only.
UNDECIDED = {"seed", "lora_r", "lora_target_modules", "n_ctx", "template", "fcrc_norm"}


@pytest.mark.parametrize(("method", "dataset"), CASES[:-1])
def test_every_option_is_decided(method, dataset):
    recipe = recipes_page.load_recipe(method, dataset)
    config = getattr(import_module(find_method(method).__module__), f"{method}Config")
    missing = {field.name for field in fields(config)} - UNDECIDED - recipe.options.keys()
    assert missing <= {"rank_specific_context"}
    TrainingConfig(**recipe.training)


@pytest.mark.parametrize("method", ["NumCLIP", "OrdinalCLIP", "CoOp", "L2RCLIP"])
def test_other_data_sets_are_refused(method):
    with pytest.raises(ValueError, match="dataset = 'koniq': must be one of morph"):
        recipes_page.load_recipe(method, "koniq")


@pytest.mark.parametrize(("method", "dataset"), CASES)
def test_recipe_trains(tiny_clip_folder, noise_images, tmp_path, monkeypatch, method, dataset):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    recipe = recipes_page.load_recipe(method, dataset)
    clip = load_clip(tiny_clip_folder, "cpu", resize=recipe.resize)
    task = load_task("morph_101" if dataset == "morph" else dataset)
    labels = np.linspace(*task.range, 7).round()
    data = ImageData(task, noise_images, labels, pd.DataFrame(index=range(7)), "seven", "train")
    model = recipe.build(clip, task)
    config = {**recipe.training, "epochs": 2, "batch_size": 7}
    if "milestones" in config:
        config["milestones"] = (1,)
    history = fit(model, data, data, config, progress=False)
    assert history["loss"].notna().all()


def test_page_is_up_to_date():
    """After a change run ``python tests/helpers/recipes_page.py``."""
    assert recipes_page.PAGE.read_text(encoding="utf-8") == recipes_page.page()
