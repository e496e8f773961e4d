"""released_config: complete, valid, and trainable on the release's table of counts."""

from dataclasses import fields

import numpy as np
import published_fixtures
import pytest

from ordlib import RankingAdapter, TrainingConfig, fit, load_clip, load_published
from ordlib.methods.ranking_adapter.config import RankingAdapterConfig
from ordlib.methods.ranking_adapter.recipe import released_config

DATASETS = ("coco_count", "adience", "hci", "koniq", "ava")


@pytest.mark.parametrize("dataset", DATASETS)
def test_released_config_has_every_option(dataset):
    recipe = released_config(dataset)
    options = {field.name for field in fields(RankingAdapterConfig)} - {"seed"}
    templates = {"prompt_templates"} if dataset == "coco_count" else set()
    assert recipe.options.keys() == options | templates
    assert any("prompt" in note for note in recipe.unknown) == (dataset != "coco_count")
    TrainingConfig(**recipe.training)
    assert (recipe.method, recipe.resize) == ("RankingAdapter", "squash")


def test_released_config_refuses_other_data_sets():
    with pytest.raises(ValueError, match="dataset = 'morph': must be one of coco_count, adience"):
        released_config("morph")


def test_released_config_trains_on_object_counts(even_clip_folder, tmp_path):
    published_fixtures.coco_count(tmp_path)
    splits = load_published("coco_count", tmp_path, protocol="table", fold=0)
    recipe = released_config("coco_count")
    clip = load_clip(even_clip_folder, "cpu", resize=recipe.resize)
    model = recipe.build(clip, splits["train"].task)
    assert type(model) is RankingAdapter
    assert model.prompts(splits["test"])[0] == "Rank the numbers of horse."
    config = {**recipe.training, "epochs": 2, "batch_size": 5}
    options = {"calibration": None, "checkpoint_dir": tmp_path, "progress": False}
    history = fit(model, splits["train"], splits["test"], config, **options)
    assert np.isfinite(history["loss"]).all()
    # Raw targets: the error is in objects.
    assert history["mae"].tolist() == history["mae_object_count"].tolist()


def test_released_config_names_backbone_whose_widths_differ(tiny_clip_folder):
    recipe = released_config("coco_count")
    with pytest.raises(ValueError, match=r"project_text = False: .* width 24 .* width 32"):
        recipe.build(tiny_clip_folder, "object_count")
