"""Saved adapters: half precision, and components that do not fit."""

import json
from itertools import combinations

import pytest

from ordlib import CoOp, OrdinalTask, RankingAdapter, load_component, load_data
from ordlib.metrics import spearman

THINGS = OrdinalTask(name="things", unit="things", values=(0, 1, 2, 3, 5))


def test_half_precision_keeps_order_of_rendered_images(tiny_clip, tmp_path):
    val = load_data("counting", "val", image_size=64, num_images=16)
    adapter = RankingAdapter(tiny_clip, val.task, tie_handling="half", seed=2)
    adapter.save_pretrained(tmp_path)
    loaded = RankingAdapter.from_pretrained(tmp_path, tiny_clip)
    prompts = loaded.prompts(val)
    assert prompts == [f"Rank by the number of {kind}." for kind in val.metadata["plural"]]
    for prompt in (prompts, "Which picture shows the most things?"):
        before, after = adapter.predict_scores(val, prompt), loaded.predict_scores(val, prompt)
        assert 0 < abs(before - after).max() < 0.02 * before.std()
        assert spearman(before, after) > 0.99
        # Only images whose scores differ by less than the rounding error may be swapped.
        for i, j in combinations(range(16), 2):
            if (before[i] > before[j]) != (after[i] > after[j]):
                assert abs(before[i] - before[j]) < 0.02 * before.std()


def test_loading_refuses_wrong_components(tiny_clip, tmp_path):
    CoOp(tiny_clip, THINGS).save_pretrained(tmp_path / "coop")
    with pytest.raises(ValueError, match=r"CoOp.*RankingAdapter"):
        RankingAdapter.from_pretrained(tmp_path / "coop", tiny_clip)
    folder = tmp_path / "adapter"
    RankingAdapter(tiny_clip, THINGS).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    scalar = config["options"] | {"learnable_tokens": "scalar"}
    for change, message in (
        ({"backbone": {"name": "another", "sha256": "0" * 64}}, r"'another' .* .*tiny-clip"),
        ({"options": scalar}, r"net\.learnable_tokens .*\(32, (1|24)\)"),
    ):
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ValueError, match=message):
            load_component(folder, tiny_clip)
    (folder / "config.json").write_text(json.dumps(config))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ValueError, match=r"model\.safetensors|damaged"):
        load_component(folder, tiny_clip)
