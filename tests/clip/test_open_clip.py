"""Backbones of open_clip against the models themselves; the library if it can be imported."""

import copy
import warnings

import numpy as np
import open_clips
import pytest
import torch
from open_clips import CONTEXT, KINDS, Transform, build
from PIL import Image

from ordlib.clip import ClipBackbone
from ordlib.clip.checkpoints import find_checkpoint
from ordlib.clip.feature_cache import cached_image_features

PROMPTS = ["a photo of one star", "three!", "a photo of five stars, zebras !", "", "a"]
LEARNABLE = [kind for kind in KINDS if kind != "hf"]


def wrap(kind, seed=0):
    return ClipBackbone.from_open_clip(*build(kind, seed), kind)


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def clip(kind):
    return wrap(kind)


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def assert_close(ours, reference):
    assert ours.shape == reference.shape
    assert (ours - reference).abs().max() < 2e-6 * reference.abs().max()


@torch.no_grad()
def check_against_model(clip, model, tokenizer, prompts, pixels):
    """Features equal those of the model, and learned prompts start from them."""
    expected = model.encode_text(tokenizer(prompts, context_length=clip.context_length))
    assert_close(clip.text_features(prompts), expected)
    assert_close(clip.encode_text(prompts, batch_size=2), expected)
    assert_close(clip.image_features(pixels), model.encode_image(pixels))
    if clip.text_encoder.token_embedding is not None:
        embeddings, eos_positions, mask = clip.token_embeddings(prompts)
        longer = torch.randn(len(prompts), clip.context_length, clip.text_width)
        longer[:, : mask.shape[1]][mask] = embeddings[mask]
        assert_close(clip.encode_text_embeddings(longer, eos_positions), expected)
        assert_close(copy.deepcopy(clip.text_encoder)(longer, eos_positions), expected)
    if clip.grid_size and clip.image_encoder.num_cls_tokens:
        assert_close(clip.image_token_features(pixels)[:, 0], clip.image_features(pixels))


def test_features_equal_those_of_the_model(clip, kind, pixels):
    model, _, tokenizer = build(kind)
    check_against_model(clip, model.eval(), tokenizer, PROMPTS, pixels)
    distances = torch.cdist(*[clip.text_features(PROMPTS)] * 2).fill_diagonal_(torch.inf)
    assert distances.min() > 0.01


def test_attributes(clip, kind):
    assert clip.name == f"open_clip:{kind}"
    assert (clip.embed_dim, clip.image_size, clip.context_length) == (24, 64, CONTEXT)
    assert clip.logit_scale == pytest.approx(np.exp(4), rel=1e-6)
    assert clip.logit_bias == (-9 if isinstance(clip.model, open_clips.CustomTextCLIP) else 0)
    assert clip.num_start_tokens == (kind != "siglip")
    assert not any(p.requires_grad for p in clip.model.parameters())
    assert not any(module.training for module in clip.model.modules())
    assert ("no patches" in repr(clip)) == (kind in ("resnet", "clipa"))


@torch.no_grad()
def test_image_token_features_are_projected_patches(pixels):
    clip = wrap("vit")
    hidden = clip.model.visual._hidden(pixels)
    tokens = clip.model.visual.ln_post(hidden) @ clip.model.visual.proj
    assert_close(clip.image_token_features(pixels), tokens)
    pooled = wrap("old")  # by the mean of the patches
    assert pooled.image_token_features(pixels).shape == (3, 16, 24)
    assert_close(pooled.image_token_features(pixels).mean(1), pooled.image_features(pixels))


def test_tokenize_removes_padding_and_refuses_what_would_be_cut(clip, kind):
    ids, mask = clip.tokenize(PROMPTS)
    expected = clip.tokenizer.tokenizer(PROMPTS, context_length=ids.shape[1])
    assert torch.equal(ids[mask], expected[mask])
    start, end = (kind != "siglip"), 1
    assert mask.sum(1).tolist() == [n + start + end for n in (5, 2, 13, 0, 1)]
    full = "star " * (CONTEXT - start - end)
    assert clip.tokenize([full]).ids.shape == (1, CONTEXT)
    with pytest.raises(ValueError, match=rf"takes {CONTEXT + 1} tokens.* {CONTEXT}"):
        clip.text_features([full + "star"])


def test_gradient_reaches_token_embeddings(kind):
    if kind not in LEARNABLE:
        return
    clip = wrap(kind)
    embeddings, eos_positions, mask = clip.token_embeddings(PROMPTS)
    embeddings.requires_grad_()
    clip.encode_text_embeddings(embeddings, eos_positions).square().sum().backward()
    assert (embeddings.grad[mask].abs().sum(1) > 0).all()
    assert embeddings.grad[~mask].abs().max() == 0


class TestPreprocessing:
    @pytest.fixture
    def images(self):
        rng = np.random.default_rng(0)
        return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in [(80, 120), (64, 64)]]

    def test_pixels_are_those_of_the_transform(self, images):
        clip = wrap("vit")
        expected = torch.stack([Transform()(Image.fromarray(image)) for image in images])
        pixels = clip.preprocess(images)
        assert torch.equal(pixels, expected)
        bytes_ = clip.preprocessor.denormalize(pixels)
        assert (bytes_ - bytes_.round()).abs().max() < 1e-3
        assert (clip.preprocessor.normalize_bytes(bytes_) - pixels).abs().max() < 1e-5
        assert torch.allclose(clip.encode_images(images), clip.image_features(pixels), atol=1e-5)

    def test_warns_of_the_crop_if_there_is_one(self):
        images = [Image.new("RGB", (200, 60))] * 2
        with pytest.warns(UserWarning, match="leaves out 70%"):
            wrap("vit").encode_images(images)
        model, _, tokenizer = build("vit")
        squashing = ClipBackbone.from_open_clip(model, Transform(crop=False), tokenizer, "squash")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            squashing.encode_images(images)
        assert squashing.preprocessor.key != wrap("vit").preprocessor.key
        assert squashing.weights_hash == wrap("vit").weights_hash
        assert squashing.settings_hash != wrap("vit").settings_hash

    def test_refuses_random_transforms_and_other_sizes(self):
        model, _, tokenizer = build("vit")
        with pytest.raises(ValueError, match=r"preprocess: is random; .* evaluation"):
            ClipBackbone.from_open_clip(model, Transform(train=True), tokenizer, "x")
        with pytest.raises(ValueError, match=r"shape \(3, 32, 32\), but .* \(3, 64, 64\)"):
            ClipBackbone.from_open_clip(model, Transform(32), tokenizer, "x")


class TestIdentity:
    def test_hashes_depend_on_weights_statistics_and_settings(self, kind):
        first = wrap(kind).weights_hash
        assert wrap(kind).weights_hash == first
        assert wrap(kind, seed=1).weights_hash != first
        model, *rest = build(kind)
        if kind == "resnet":
            model.visual.bn1.running_mean += 0.5
            assert ClipBackbone.from_open_clip(model, *rest, kind).weights_hash != first
        elif kind == "vit":
            for block in model.visual.transformer.resblocks:
                block.attn.num_heads, block.attn.head_dim = 2, 20
            changed = ClipBackbone.from_open_clip(model, *rest, kind)
            assert changed.weights_hash == first
            assert changed.settings_hash != wrap(kind).settings_hash == wrap(kind).settings_hash
            assert changed.image_encoder.settings != wrap(kind).image_encoder.settings

    def test_cached_features_are_read_again(self, tmp_path, monkeypatch, noise_images):
        monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
        data = _data(noise_images)
        features = cached_image_features(wrap("resnet"), data)
        again = wrap("resnet")
        again.encode_batches = None
        assert torch.equal(cached_image_features(again, data), features)

    def test_name_cannot_be_loaded(self):
        with pytest.raises(FileNotFoundError, match=r"open_clip:vit.*from_open_clip.* as clip"):
            find_checkpoint(wrap("vit").name)


def _data(images):
    import pandas as pd

    from ordlib import ImageData, OrdinalTask

    task = OrdinalTask(name="t", unit="u", values=range(7))
    return ImageData(task, images, np.arange(7.0), pd.DataFrame({"row": range(7)}), "7", "train")


def test_what_is_not_supported_is_refused_by_name(pixels):
    with pytest.raises(TypeError, match=r"Linear.* no visual"):
        ClipBackbone.from_open_clip(torch.nn.Linear(1, 1), Transform(), lambda x: x, "x")
    clip = wrap("hf")
    for call in (clip.token_embeddings, clip.text_token_features):
        with pytest.raises(ValueError, match=r"open_clip:hf: .*HFTextEncoder.* ZeroShot"):
            call(["a"])
    model, transform, tokenizer = build("vit")
    model.encode_text = lambda text: torch.randn(len(text), 24)
    with pytest.raises(ValueError, match=r"text features differ .*CLIP"):
        ClipBackbone.from_open_clip(model, transform, tokenizer, "x")
    model, transform, tokenizer = build("vit")
    model.visual.image_size = (64, 32)
    with pytest.raises(ValueError, match=r"image_size = \(64, 32\): must be a square"):
        ClipBackbone.from_open_clip(model, transform, tokenizer, "x")


@pytest.fixture
def library():
    reason = "open_clip or torchvision cannot be imported"
    return pytest.importorskip("open_clip", reason=reason, exc_type=ImportError)


class TestLibrary:
    """open_clip itself, with random weights; skipped where it or torchvision is missing."""

    @pytest.mark.parametrize("name", ["CLIP", "CustomTextCLIP", "ModifiedResNet", "last"])
    def test_features_equal_those_of_the_model(self, library, pixels, name):
        vision = {"image_size": 64, "patch_size": 16, "width": 64, "layers": 2, "head_width": 16}
        text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}
        if name == "ModifiedResNet":
            vision = {"image_size": 64, "layers": (1, 1, 1, 1), "width": 16, "patch_size": None}
        if name == "last":
            text |= {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
        model_class = library.CLIP if name in ("CLIP", "ModifiedResNet") else library.CustomTextCLIP
        torch.manual_seed(0)
        model, tokenizer = model_class(24, vision, text).eval(), library.get_tokenizer("ViT-B-32")
        transform = library.image_transform(64, is_train=False)
        clip = ClipBackbone.from_open_clip(model, transform, tokenizer, name)
        assert clip.grid_size == (None if name == "ModifiedResNet" else 4)
        check_against_model(clip, model, tokenizer, PROMPTS, pixels)
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8))
        assert torch.equal(clip.preprocess([image])[0], transform(image))
        assert clip.preprocessor.unseen_fraction(200, 100) == 0.5
