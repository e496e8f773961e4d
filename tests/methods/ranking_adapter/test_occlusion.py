import numpy as np
import pandas as pd
import pytest
import torch

from ordlib.clip import load_clip
from ordlib.data import ImageData
from ordlib.methods.ranking_adapter.model import RankingAdapter
from ordlib.methods.ranking_adapter.occlusion import occlusion_map
from ordlib.tasks import load_task

TASK = load_task("counting")
PROMPTS = ["one star", "two photo", "three"]


@pytest.fixture(scope="module", params=[True, False], ids=["class token", "patches only"])
def adapter(tiny_clip_folder, request):
    clip = load_clip(tiny_clip_folder, device="cpu")
    return RankingAdapter(clip, TASK, use_cls_token=request.param)


@pytest.fixture
def data(noise_images, tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    metadata = pd.DataFrame({"n": range(3)})
    return ImageData(TASK, np.stack(noise_images[:3]), np.arange(1.0, 4), metadata, "three", "val")


@torch.no_grad()
def naive_maps(adapter, data, prompts):
    """Patch by patch, scored one by one."""
    maps = np.zeros((3, 4, 4))
    for i, tokens in enumerate(adapter.image_tokens(data).float()):
        text, first = adapter.encode_prompt(prompts[i]), len(tokens) - 16
        for row in range(4):
            for column in range(4):
                occluded = tokens.clone()
                occluded[first + 4 * row + column] = tokens[first:].mean(0)
                a, b = (adapter.encode(t[None], text) for t in (tokens, occluded))
                maps[i, row, column] = adapter.net.scores(a) - adapter.net.scores(b)
    return maps


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_occlusion_map_equals_naive_loop(adapter, data, batch_size):
    expected = naive_maps(adapter, data, PROMPTS)
    assert abs(expected).max() > 1e-3
    np.testing.assert_allclose(
        occlusion_map(adapter, data, PROMPTS, batch_size), expected, atol=1e-5
    )


def test_occlusion_map_accepts_one_prompt_or_one_per_image(adapter, data):
    maps = occlusion_map(adapter, data, [PROMPTS[0]] * 3)
    np.testing.assert_allclose(occlusion_map(adapter, data, PROMPTS[0]), maps)
    assert not np.allclose(maps, occlusion_map(adapter, data, PROMPTS[1]))
    with pytest.raises(ValueError, match="2 prompts for 3 images"):
        occlusion_map(adapter, data, PROMPTS[:2])


def test_occlusion_map_is_0_for_equal_patches(adapter, data, monkeypatch):
    equal = torch.ones(3, 16 + adapter.options.use_cls_token, adapter.clip.embed_dim)
    monkeypatch.setattr(adapter, "image_tokens", lambda data: equal)
    np.testing.assert_allclose(occlusion_map(adapter, data, "star"), 0, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_occlusion_map_restores_training_mode(adapter, data, training):
    adapter.train(training)
    first = occlusion_map(adapter, data, "star")
    assert adapter.training == training
    np.testing.assert_array_equal(first, occlusion_map(adapter, data, "star"))
    adapter.eval()
