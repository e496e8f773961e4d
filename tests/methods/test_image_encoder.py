"""The adapter against its formula; frozen, LoRA and full tuning of the image encoder."""

import numpy as np
import pytest
import torch

from ordlib.clip.feature_cache import cached_image_features
from ordlib.methods.image_encoder import Adapter, ImageEncoder, ImageEncoderConfig


def make_encoder(clip, **options):
    torch.manual_seed(0)
    return ImageEncoder(clip, ImageEncoderConfig(**options))


def clip_features(clip, data):
    return clip.encode_images([data[i] for i in range(len(data))])


def test_adapter_equals_formula():
    torch.manual_seed(1)
    adapter, features = Adapter(12), torch.randn(5, 12)
    down, up = (p.detach().numpy().astype(float) for p in adapter.parameters())
    assert (down.shape, up.shape) == ((3, 12), (12, 3))
    for row, adapted in zip(features.numpy().astype(float), adapter(features), strict=True):
        new = np.maximum(up @ np.maximum(down @ row, 0), 0)
        np.testing.assert_allclose(adapted.detach(), 0.8 * new + 0.2 * row, atol=1e-6)


def test_frozen_encoder_uses_cached_features(tiny_clip, seven):
    encoder = make_encoder(tiny_clip, adapter=False)
    cached = cached_image_features(tiny_clip, seven)
    rows = np.array([4, 0, 4])
    assert torch.equal(encoder(encoder.make_loader(seven)(rows)), cached[rows])
    assert torch.equal(encoder.make_loader(seven)(range(7)), cached)
    assert not list(encoder.parameters())
    assert (cached.norm(dim=1) - 1).abs().min() > 0.1  # the adapter takes unnormalized features
    encoder = make_encoder(tiny_clip)
    assert torch.equal(encoder(encoder.make_loader(seven)(range(7))), encoder.adapter(cached))


@pytest.mark.parametrize("image_encoder", ["lora", "full"])
def test_untrained_encoder_equals_backbone(tiny_clip, seven, image_encoder):
    encoder = make_encoder(tiny_clip, image_encoder=image_encoder, adapter=False)
    with torch.no_grad():
        features = encoder(encoder.make_loader(seven)(range(7)))
    # With several threads, 7 rows and the 8 of the backbone round differently.
    torch.testing.assert_close(features, clip_features(tiny_clip, seven))


def changed_by_training(encoder, data):
    """Take two large steps and return the names of the changed parameters."""
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    trainable = [p for p in encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=1.0)
    for _ in range(2):  # B starts at 0, so that A has no gradient in LoRA's first step.
        optimizer.zero_grad()
        encoder(encoder.make_loader(data)(range(4))).square().sum().backward()
        optimizer.step()
    return {name for name, p in encoder.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("image_encoder", ["lora", "full"])
def test_training_changes_tuned_parameters_and_not_the_backbone(tiny_clip, seven, image_encoder):
    before = clip_features(tiny_clip, seven)
    encoder = make_encoder(tiny_clip, image_encoder=image_encoder, adapter=False, lora_r=3)
    trainable = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
    changed = changed_by_training(encoder, seven)
    if image_encoder == "lora":
        assert len(trainable) == 8  # two layers; query and value; A and B
        assert all("lora_" in name for name in trainable)
        assert {min(p.shape) for p in trainable.values()} == {3}
        assert changed == set(trainable)
    else:
        assert len(trainable) == len(list(encoder.parameters()))
        names = {"encoder.projection.weight", "encoder.vision.embeddings.class_embedding"}
        assert names <= changed
    assert tiny_clip.weights_unchanged
    assert torch.equal(clip_features(tiny_clip, seven), before)


def test_lora_target_modules_select_layers(tiny_clip):
    options = {"image_encoder": "lora", "lora_target_modules": r".*\.fc1", "adapter": False}
    encoder = make_encoder(tiny_clip, **options)
    names = [name for name, p in encoder.named_parameters() if p.requires_grad]
    assert len(names) == 4
    assert all(".fc1." in name for name in names)
    with pytest.raises(ValueError, match=r"lora_target_modules = 'query'.* available .*q_proj"):
        make_encoder(tiny_clip, **options | {"lora_target_modules": "query"})


def test_config_rejects_lora_r_below_1():
    with pytest.raises(ValueError, match="lora_r = 0: must be 1 or more"):
        ImageEncoderConfig(lora_r=0)
