import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from training_runs import run_on_two_processes

from ordlib import load_clip
from ordlib.experiments.pretrain_clip.model import CLIPWithPreprocessing, contrastive_loss

PROMPTS = ["a star of one photo", "two", "of three photo star star"]


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


def test_forward_equals_clip_backbone(clip, noise_images):
    model, images = CLIPWithPreprocessing(clip.model), torch.from_numpy(np.stack(noise_images))
    ids = clip.tokenize(PROMPTS).ids
    image, text, scale = model(images, F.pad(ids, (0, 4), value=clip.tokenizer.eos_token_id))
    torch.testing.assert_close(
        image, F.normalize(clip.image_features(clip.preprocess(noise_images)))
    )
    torch.testing.assert_close(text, F.normalize(clip.text_features(PROMPTS)))
    assert scale.item() == pytest.approx(clip.logit_scale)


def test_forward_in_bfloat16_approximates_float32(clip, noise_images):
    images, ids = torch.from_numpy(np.stack(noise_images)), clip.tokenize(PROMPTS).ids
    exact = CLIPWithPreprocessing(clip.model)(images, ids)
    mixed = CLIPWithPreprocessing(clip.model, torch.bfloat16)(images, ids)
    for a, b in zip(exact[:2], mixed[:2], strict=True):
        assert b.dtype == torch.float32
        assert not torch.equal(a, b)
        assert (a * b).sum(1).min() > 0.999


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_forward_text_attention_is_causal(clip, attention):
    before = clip.model.config._attn_implementation
    clip.model.set_attn_implementation(attention)
    model, ids = CLIPWithPreprocessing(clip.model), clip.tokenize(PROMPTS).ids
    images, changed = torch.zeros(3, 64, 64, 3, dtype=torch.uint8), ids.clone()
    changed[1, 4:] = 5
    torch.testing.assert_close(model(images, ids)[1], model(images, changed)[1])
    clip.model.set_attn_implementation(before)


@torch.no_grad()
def test_clamp_logit_scale_limits_to_100(clip):
    scale = clip.model.logit_scale
    before = scale.clone()
    scale.fill_(9.0)
    CLIPWithPreprocessing(clip.model).clamp_logit_scale()
    assert scale.exp().item() == pytest.approx(100)
    scale.copy_(before)


def pairs() -> list[torch.Tensor]:
    """Six image features, six text features and a scale."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    scale = torch.tensor(7.0, dtype=torch.float64)
    return [x.requires_grad_() for x in (*F.normalize(features, dim=-1), scale)]


def naive_loss(image: list[list[float]], text: list[list[float]], scale: float) -> float:
    total = 0.0
    for anchors, candidates in ((image, text), (text, image)):
        for i, anchor in enumerate(anchors):
            logits = [
                scale * sum(a * b for a, b in zip(anchor, x, strict=True)) for x in candidates
            ]
            total += math.log(sum(map(math.exp, logits))) - logits[i]
    return total / (2 * len(image))


def test_contrastive_loss_equals_naive_loop():
    image, text, scale = pairs()
    expected = naive_loss(image.tolist(), text.tolist(), scale.item())
    assert contrastive_loss(image, text, scale).item() == pytest.approx(expected, rel=1e-12)


def sharded_loss(rank: int) -> dict[str, torch.Tensor]:
    (image, text, scale), part = pairs(), slice(3 * rank, 3 * rank + 3)
    loss = contrastive_loss(image[part], text[part], scale)
    loss.backward()
    return {"loss": loss.detach(), "image": image.grad, "text": text.grad, "scale": scale.grad}


def test_contrastive_loss_of_two_processes_equals_one(tmp_path: Path):
    ranks = run_on_two_processes(sharded_loss, tmp_path)
    image, text, scale = pairs()
    loss = contrastive_loss(image, text, scale)
    loss.backward()
    for result in ranks:
        torch.testing.assert_close(result["loss"], loss.detach())
    # DistributedDataParallel averages gradients over processes.
    for name, expected in (("image", image.grad), ("text", text.grad), ("scale", scale.grad)):
        torch.testing.assert_close((ranks[0][name] + ranks[1][name]) / 2, expected)
