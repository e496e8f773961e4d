"""SigLIP and SigLIP 2 against plain transformers."""

import importlib.util
import json
import math
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from siglips import BUILDERS, MAX_LENGTH, build_tiny_siglip, gemma_tokenizer
from torch.nn.functional import normalize

from ordlib.clip import load_clip
from ordlib.clip.checkpoints import find_checkpoint

PROMPTS = ["a photo of one star", "three", "A PHOTO, of two big stars.", "one"]
CLASSES = {"siglip": "SiglipModel", "siglip2": "SiglipModel", "naflex": "Siglip2Model"}


@pytest.fixture(scope="module", params=BUILDERS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    return BUILDERS[kind](tmp_path_factory.mktemp("siglips") / kind)


@pytest.fixture(scope="module")
def clip(folder):
    return load_clip(folder, "cpu")


@pytest.fixture(scope="module")
def plain(kind, folder):
    model = getattr(transformers, CLASSES[kind])
    return model.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def padded(clip, prompts=PROMPTS):
    options = {"padding": "max_length", "max_length": MAX_LENGTH, "return_tensors": "pt"}
    return clip.tokenizer(prompts, **options)["input_ids"]


def patches(pixels, side=16):
    """Lists of patches as NaFlex takes them, by plain loops; each is (row, column, channel)."""
    rows = range(0, pixels.shape[2], side)
    return torch.stack([
        torch.stack([
            image[:, top : top + side, left : left + side].permute(1, 2, 0).flatten()
            for top in rows for left in rows
        ])
        for image in pixels
    ])  # fmt: skip


def plain_vision(plain, kind, pixels):
    if kind != "naflex":
        return plain.vision_model(pixel_values=pixels)
    mask, shapes = torch.ones(len(pixels), 16), torch.tensor([[4, 4]] * len(pixels))
    return plain.vision_model(patches(pixels), mask, shapes)


def assert_close(ours, reference):
    assert (ours - reference).abs().max() < 1e-6 * reference.abs().max()


class TestText:
    @torch.no_grad()
    def test_text_features_equal_reference(self, clip, plain):
        reference = plain.get_text_features(input_ids=padded(clip)).pooler_output
        assert_close(clip.text_features(PROMPTS), reference)
        assert_close(clip.encode_text(PROMPTS, batch_size=3), reference)
        # The prompts differ, so that closeness is meaningful.
        assert (normalize(reference) @ normalize(reference).T).fill_diagonal_(0).max() < 0.999

    def test_tokenize_adds_no_start_token(self, clip, kind):
        ids, mask = clip.tokenize(PROMPTS)
        assert clip.num_start_tokens == 0
        for row, is_text, reference in zip(ids, mask, padded(clip), strict=True):
            assert torch.equal(row[is_text], reference[: is_text.sum()])
            assert row[is_text][-1] == clip.tokenizer.eos_token_id
        same = torch.equal(*clip.tokenize(["A Photo!", "a photo"]).ids)
        assert same == (kind == "siglip")

    @torch.no_grad()
    def test_text_token_features_equal_last_hidden_state(self, clip, plain):
        tokens, mask = clip.text_token_features(PROMPTS)
        reference = plain.text_model(input_ids=padded(clip)).last_hidden_state
        assert tokens.shape == (*mask.shape, 32)
        assert_close(tokens[mask], reference[:, : mask.shape[1]][mask])

    def test_encode_text_embeddings_ignores_what_stands_behind_the_eos(self, clip):
        embeddings, eos_positions, mask = clip.token_embeddings(PROMPTS)
        longer = torch.randn(4, MAX_LENGTH, 32)
        longer[:, : mask.shape[1]][mask] = embeddings[mask]
        expected = clip.text_features(PROMPTS)
        assert torch.equal(clip.encode_text_embeddings(longer, eos_positions), expected)

    def test_encode_text_embeddings_gradient_equals_reference(self, clip, plain):
        embeddings, eos_positions, mask = clip.token_embeddings(PROMPTS)
        ours, target = embeddings.clone().requires_grad_(), torch.randn(4, 24)
        (clip.encode_text_embeddings(ours, eos_positions) * target).sum().backward()
        ids = padded(clip)
        table = plain.text_model.embeddings.token_embedding
        theirs = table(ids).detach().requires_grad_()
        hook = table.register_forward_hook(lambda *_: theirs)
        (plain.get_text_features(input_ids=ids).pooler_output * target).sum().backward()
        hook.remove()
        assert ours.grad[mask].abs().max() > 0
        assert torch.allclose(ours.grad[mask], theirs.grad[:, : mask.shape[1]][mask], atol=1e-5)
        assert ours.grad[~mask].abs().max() == 0

    def test_tokenize_too_long_prompt_or_no_eos_token(self, clip, tmp_path):
        full = " one" * (MAX_LENGTH - 1)
        assert clip.tokenize([full]).ids.shape == (1, MAX_LENGTH)
        with pytest.raises(ValueError, match=r"takes 65 tokens.* 64"):
            clip.text_features([full + " one"])
        tokenizer = gemma_tokenizer()
        tokenizer.add_eos_token = False
        with pytest.raises(ValueError, match=r"siglip: the tokenizer puts no EOS token"):
            load_clip(build_tiny_siglip(tmp_path / "siglip", tokenizer), "cpu")


class TestImages:
    @torch.no_grad()
    def test_image_features_and_token_features_equal_reference(self, clip, plain, kind, pixels):
        reference = plain_vision(plain, kind, pixels)
        assert_close(clip.image_features(pixels), reference.pooler_output)
        if kind != "naflex":
            features = plain.get_image_features(pixel_values=pixels).pooler_output
            assert torch.equal(features, reference.pooler_output)
        assert clip.image_token_features(pixels).shape == (3, 16, 24)
        assert_close(clip.image_token_features(pixels), reference.last_hidden_state)

    @torch.no_grad()
    def test_pixels_equal_those_of_the_checkpoints_processor(self, clip, kind, folder):
        """NaFlex keeps the aspect ratio, so that only squares are equal."""
        rng = np.random.default_rng(0)
        shape = (90, 90, 3) if kind == "naflex" else (70, 150, 3)
        images = [Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)) for _ in range(2)]
        name = "Siglip2ImageProcessor" if kind == "naflex" else "SiglipImageProcessor"
        pil = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
        expected = pil.from_pretrained(folder)(images, return_tensors="pt")["pixel_values"]
        ours = clip.preprocess(images)
        ours = patches(ours) if kind == "naflex" else ours
        assert (ours - expected).abs().max() < (0.02 if kind == "naflex" else 1e-6)

    def test_nothing_is_cropped_without_a_center_crop(self, clip, folder):
        image = Image.new("RGB", (300, 60))
        image.paste("white", (0, 0, 20, 60))
        assert clip.preprocess([image])[0, :, 30, 0].min() > 0.9
        assert clip.preprocessor.unseen_fraction(300, 60) == 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            clip.encode_images([image] * 3)
        squashed = load_clip(folder, "cpu", resize="squash")
        assert torch.equal(squashed.preprocess([image]), clip.preprocess([image]))
        padded = load_clip(folder, "cpu", resize="pad").preprocess([image])
        assert padded[0, :, 0].abs().max() < 0.01

    def test_encode_images_in_batches(self, clip, noise_images):
        whole = clip.image_features(clip.preprocess(noise_images))
        assert torch.allclose(clip.encode_images(noise_images, batch_size=3), whole, atol=1e-5)


class TestLoading:
    def test_attributes(self, clip, kind):
        assert (clip.embed_dim, clip.text_width, clip.context_length) == (24, 32, MAX_LENGTH)
        assert (clip.image_size, clip.grid_size) == (64, 4)
        assert clip.logit_scale == pytest.approx(math.exp(4.7), rel=1e-5)
        assert clip.logit_bias == pytest.approx(-12.9)

    @torch.no_grad()
    def test_scale_and_bias_give_the_logits_of_transformers(self, clip, plain, kind, pixels):
        ids, vision = padded(clip), {"pixel_values": pixels}
        if kind == "naflex":
            mask, shapes = torch.ones(3, 16), torch.tensor([[4, 4]] * 3)
            vision = {"pixel_values": patches(pixels), "spatial_shapes": shapes}
            vision["pixel_attention_mask"] = mask
        reference = plain(input_ids=ids, **vision).logits_per_image
        image = normalize(clip.image_features(pixels), dim=-1)
        text = normalize(clip.text_features(PROMPTS), dim=-1)
        logits = clip.logit_scale * image @ text.T + clip.logit_bias
        assert torch.allclose(logits, reference, atol=1e-3)

    def test_half_precision_returns_close_float32_features(self, folder, clip, pixels):
        half = load_clip(folder, "cpu", dtype=torch.bfloat16)
        for ours, exact in [
            (half.image_features(pixels), clip.image_features(pixels)),
            (half.text_features(PROMPTS), clip.text_features(PROMPTS)),
        ]:
            assert ours.dtype == torch.float32
            assert torch.cosine_similarity(ours, exact, dim=-1).min() > 0.99

    def test_load_clip_reports_what_is_wrong(self, folder, kind, tmp_path):
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        config = json.loads((copy / "config.json").read_text())
        config["vision_config"]["vision_use_head"] = False
        (copy / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match="copy: vision_use_head = False"):
            load_clip(copy, "cpu")
        if kind == "naflex":
            config["vision_config"] |= {"vision_use_head": True, "num_patches": 15}
            (copy / "config.json").write_text(json.dumps(config))
            weights = load_file(copy / "model.safetensors")
            name = "vision_model.embeddings.position_embedding.weight"
            save_file(weights | {name: weights[name][:15].clone()}, copy / "model.safetensors")
            with pytest.raises(ValueError, match=r"copy: num_patches = 15: must be a square"):
                load_clip(copy, "cpu")

    def test_tokenizer_of_sentencepiece(self, tmp_path):
        """SigLIP's own on the hub; that of SigLIP 2 needs no further package."""
        spm = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
        pytest.importorskip("google.protobuf", reason="protobuf is not installed")
        text = [" ".join(PROMPTS).lower(), "abcdefghijklmnopqrstuvwxyz 0123456789"] * 50
        special = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "vocab_size": 60}
        with open(tmp_path / "spiece.model", "wb") as file:
            spm.SentencePieceTrainer.train(
                sentence_iterator=iter(text), model_writer=file, hard_vocab_limit=False, **special
            )
        tokenizer = transformers.SiglipTokenizer(str(tmp_path / "spiece.model"))
        clip = load_clip(build_tiny_siglip(tmp_path / "siglip", tokenizer), "cpu")
        assert type(clip.tokenizer).__name__ == "SiglipTokenizer"
        with torch.no_grad():
            expected = clip.model.get_text_features(input_ids=padded(clip)).pooler_output
        assert_close(clip.text_features(PROMPTS), expected)
        assert torch.equal(*clip.tokenize(["A Photo!", "a photo"]).ids)

    def test_sentencepiece_tokenizer_is_found_or_asked_for(self, folder, kind, tmp_path):
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        for file in copy.glob("tokenizer*"):
            file.unlink()
        with pytest.raises(FileNotFoundError, match=r"no tokenizer.* spiece.model"):
            find_checkpoint(copy)
        (copy / "spiece.model").write_bytes(b"")
        (copy / "tokenizer_config.json").write_text('{"tokenizer_class": "SiglipTokenizer"}')
        assert find_checkpoint(copy) == Path(copy)
        if kind != "naflex" and not importlib.util.find_spec("sentencepiece"):
            with pytest.raises(ValueError, match=r"copy: .*pip install 'ordlib\[siglip\]'"):
                load_clip(copy, "cpu")
