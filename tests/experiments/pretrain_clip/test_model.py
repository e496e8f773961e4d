import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
import torch.nn.functional as F

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
    images = torch.zeros(3, 64, 64, 3, dtype=torch.uint8)
    changed = ids.clone()
    changed[1, 4:] = 5
    torch.testing.assert_close(model(images, ids)[1], model(images, changed)[1])
    clip.model.set_attn_implementation(before)


def test_clamp_logit_scale_limits_to_100(clip):
    model, before = CLIPWithPreprocessing(clip.model), clip.model.logit_scale.clone()
    with torch.no_grad():
        clip.model.logit_scale.fill_(9.0)
    model.clamp_logit_scale()
    assert clip.model.logit_scale.exp().item() == pytest.approx(100)
    with torch.no_grad():
        clip.model.logit_scale.copy_(before)


def pairs(count: int = 6, width: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image, text = torch.randn(2, count, width, generator=generator, dtype=torch.float64)
    unit = [x / x.norm(dim=1, keepdim=True) for x in (image, text)]
    return *(x.requires_grad_() for x in unit), torch.tensor(7.0, dtype=torch.float64)


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


def _loss_of_rank(rank: int, folder: str) -> None:
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    image, text, scale = pairs()
    part = slice(3 * rank, 3 * rank + 3)
    scale.requires_grad_()
    loss = contrastive_loss(image[part], text[part], scale)
    loss.backward()
    result = {"loss": loss.detach(), "image": image.grad, "text": text.grad, "scale": scale.grad}
    torch.save(result, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_contrastive_loss_of_two_processes_equals_one(tmp_path: Path):
    processes.spawn(_loss_of_rank, (str(tmp_path),), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    image, text, scale = pairs()
    scale.requires_grad_()
    loss = contrastive_loss(image, text, scale)
    loss.backward()
    for result in ranks:
        torch.testing.assert_close(result["loss"], loss.detach())
    # DistributedDataParallel averages gradients over processes.
    for name, expected in (("image", image.grad), ("text", text.grad), ("scale", scale.grad)):
        torch.testing.assert_close((ranks[0][name] + ranks[1][name]) / 2, expected)
