"""The adapter by hand; a tower that is frozen, low-rank or whole."""

import numpy as np
import pytest
import torch

from ordlib.clip.feature_cache import cached_image_features
from ordlib.methods.image_encoder import Adapter, ImageEncoder, ImageEncoderConfig


def side_of(clip, **options):
    torch.manual_seed(0)
    return ImageEncoder(clip, ImageEncoderConfig(**options))


def own_features(clip, data):
    return clip.encode_images([data[i] for i in range(len(data))])


def test_the_adapter_is_the_formula():
    torch.manual_seed(1)
    adapter, features = Adapter(12), torch.randn(5, 12)
    narrow, wide = (p.detach().numpy().astype(float) for p in adapter.parameters())
    assert (narrow.shape, wide.shape) == ((3, 12), (12, 3))
    for row, found in zip(features.numpy().astype(float), adapter(features), strict=True):
        new = np.maximum(wide @ np.maximum(narrow @ row, 0), 0)
        np.testing.assert_allclose(found.detach(), 0.8 * new + 0.2 * row, atol=1e-6)


def test_a_frozen_side_takes_cached_features(tiny_clip, seven):
    side = side_of(tiny_clip, adapter=False)
    cached = cached_image_features(tiny_clip, seven)
    rows = np.array([4, 0, 4])
    assert torch.equal(side(side.make_loader(seven)(rows)), cached[rows])
    assert torch.equal(side.make_loader(seven)(range(7)), cached)
    assert not list(side.parameters())


def test_the_adapter_sees_features_that_are_not_normalised(tiny_clip, seven):
    side, own = side_of(tiny_clip), own_features(tiny_clip, seven)
    assert (own.norm(dim=1) - 1).abs().min() > 0.1
    assert torch.equal(side(side.make_loader(seven)(range(7))), side.adapter(own))


@pytest.mark.parametrize("image_encoder", ["lora", "full"])
def test_a_fresh_tower_gives_the_backbone_s_features(tiny_clip, seven, image_encoder):
    side = side_of(tiny_clip, image_encoder=image_encoder, adapter=False)
    with torch.no_grad():
        found = side(side.make_loader(seven)(range(7)))
    assert torch.equal(found, own_features(tiny_clip, seven))


def trained_step(side, data):
    """Move everything that can be tuned; return the names that moved."""
    before = {name: p.detach().clone() for name, p in side.named_parameters()}
    tuned = [p for p in side.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(tuned, lr=1.0)
    for _ in range(2):  # The first step of LoRA moves B alone: A's gradient passes through B.
        optimizer.zero_grad()
        side(side.make_loader(data)(range(4))).square().sum().backward()
        optimizer.step()
    return {name for name, p in side.named_parameters() if not torch.equal(p, before[name])}


def test_lora_trains_its_own_tensors_only(tiny_clip, seven):
    own = own_features(tiny_clip, seven)
    side = side_of(tiny_clip, image_encoder="lora", adapter=False, lora_r=3)
    names = {name for name, p in side.named_parameters() if p.requires_grad}
    # Two layers; query and value; A and B.
    assert len(names) == 8
    assert all("lora_" in name for name in names)
    assert {min(p.shape) for p in side.parameters() if p.requires_grad} == {3}
    assert trained_step(side, seven) == names
    assert tiny_clip.weights_unchanged
    assert torch.equal(own_features(tiny_clip, seven), own)


def test_full_trains_the_whole_tower_and_not_the_clip(tiny_clip, seven):
    own = own_features(tiny_clip, seven)
    side = side_of(tiny_clip, image_encoder="full", adapter=False)
    assert all(p.requires_grad for p in side.parameters())
    moved = trained_step(side, seven)
    assert {"encoder.projection.weight", "encoder.vision.embeddings.class_embedding"} <= moved
    assert tiny_clip.weights_unchanged
    assert torch.equal(own_features(tiny_clip, seven), own)


def test_lora_reaches_the_layers_it_is_told(tiny_clip):
    side = side_of(tiny_clip, image_encoder="lora", lora_target_modules=r".*\.fc1", adapter=False)
    names = [name for name, p in side.named_parameters() if p.requires_grad]
    assert len(names) == 4
    assert all(".fc1." in name for name in names)


def test_a_target_that_is_not_there(tiny_clip):
    with pytest.raises(ValueError, match=r"'query': matches no linear .* there are .*q_proj"):
        side_of(tiny_clip, image_encoder="lora", lora_target_modules="query")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_encoder": "half"}, "image_encoder = 'half': must be one of frozen, lora, full"),
        ({"lora_r": 0}, "lora_r = 0: must be 1 or more"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ImageEncoderConfig(**options)
