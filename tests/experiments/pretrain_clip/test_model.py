import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ordlib import load_clip
from ordlib.experiments.pretrain_clip.model import CLIPWithPreprocessing

PROMPTS = ["a star of one photo", "two", "of three photo star star"]


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


def test_features_are_those_of_the_library(clip, pictures):
    towers = CLIPWithPreprocessing(clip.model)
    images = torch.from_numpy(np.stack(pictures))
    ids = clip.tokenize(PROMPTS).ids
    image, text, scale = towers(images, F.pad(ids, (0, 4), value=clip.tokenizer.eos_token_id))
    torch.testing.assert_close(image, F.normalize(clip.image_features(clip.preprocess(pictures))))
    torch.testing.assert_close(text, F.normalize(clip.text_features(PROMPTS)))
    assert scale.item() == pytest.approx(clip.logit_scale)


def test_half_precision_gives_nearly_the_same_in_single(clip, pictures):
    images, ids = torch.from_numpy(np.stack(pictures)), clip.tokenize(PROMPTS).ids
    exact = CLIPWithPreprocessing(clip.model)(images, ids)
    mixed = CLIPWithPreprocessing(clip.model, torch.bfloat16)(images, ids)
    for one, other in zip(exact[:2], mixed[:2], strict=True):
        assert other.dtype == torch.float32
        assert not torch.equal(one, other)
        assert (one * other).sum(1).min() > 0.999


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_looks_back_only_in_text(clip, attention):
    before = clip.model.config._attn_implementation
    clip.model.set_attn_implementation(attention)
    towers, ids = CLIPWithPreprocessing(clip.model), clip.tokenize(PROMPTS).ids
    images = torch.zeros(3, 64, 64, 3, dtype=torch.uint8)
    changed = ids.clone()
    changed[1, 4:] = 5
    torch.testing.assert_close(towers(images, ids)[1], towers(images, changed)[1])
    clip.model.set_attn_implementation(before)


def test_scale_stays_at_a_hundred(clip):
    towers = CLIPWithPreprocessing(clip.model)
    before = clip.model.logit_scale.clone()
    with torch.no_grad():
        clip.model.logit_scale.fill_(9.0)
    towers.clamp_logit_scale()
    assert clip.model.logit_scale.exp().item() == pytest.approx(100)
    with torch.no_grad():
        clip.model.logit_scale.copy_(before)
