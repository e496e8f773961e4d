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


@pytest.fixture(scope="module", params=[True, False], ids=["class token", "patches alone"])
def adapter(tiny_clip_folder, request):
    clip = load_clip(tiny_clip_folder, device="cpu")
    return RankingAdapter(clip, TASK, use_cls_token=request.param)


@pytest.fixture
def data(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    return ImageData(
        task=TASK, images=np.stack(pictures[:3]), values=np.arange(1.0, 4),
        metadata=pd.DataFrame({"n": range(3)}), fingerprint="three", split="val",
    )  # fmt: skip


@torch.no_grad()
def by_loops(adapter, data, prompts):
    """Patch by patch, scored one by one."""
    maps = np.zeros((3, 4, 4))
    for picture, tokens in enumerate(adapter.image_tokens(data).float()):
        words, first = adapter.encode_prompt(prompts[picture]), len(tokens) - 16
        for row in range(4):
            for column in range(4):
                without = tokens.clone()
                without[first + 4 * row + column] = tokens[first:].mean(0)
                whole, less = (adapter.encode(t[None], words) for t in (tokens, without))
                maps[picture, row, column] = adapter.net.scores(whole) - adapter.net.scores(less)
    return maps


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_each_number_is_how_far_the_score_falls_without_the_patch(adapter, data, batch_size):
    found = occlusion_map(adapter, data, PROMPTS, batch_size)
    expected = by_loops(adapter, data, PROMPTS)
    assert abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_one_sentence_does_for_all(adapter, data):
    same = occlusion_map(adapter, data, [PROMPTS[0]] * 3)
    np.testing.assert_allclose(occlusion_map(adapter, data, PROMPTS[0]), same)
    assert not np.allclose(same, occlusion_map(adapter, data, PROMPTS[1]))


def test_a_picture_whose_patches_are_alike_has_none_that_counts(adapter, data, monkeypatch):
    alike = torch.ones(3, 16 + adapter.options.use_cls_token, adapter.clip.embed_dim)
    monkeypatch.setattr(adapter, "tokens", lambda *given: alike)
    np.testing.assert_allclose(occlusion_map(adapter, data, "star"), 0, atol=1e-5)


@pytest.mark.parametrize("learning", [True, False])
def test_the_adapter_is_left_as_it_was(adapter, data, learning):
    adapter.train(learning)
    first = occlusion_map(adapter, data, "star")
    assert adapter.training == learning
    np.testing.assert_array_equal(first, occlusion_map(adapter, data, "star"))
    adapter.eval()


def test_as_many_sentences_as_pictures(adapter, data):
    with pytest.raises(ValueError, match="2 sentences for 3 pictures"):
        occlusion_map(adapter, data, PROMPTS[:2])
