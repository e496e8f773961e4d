"""ClipBackbone against plain transformers with padding to all 77 positions."""

import logging
import math
import warnings

import pytest
import torch
from clips import build_tiny_clip
from PIL import Image
from torch.nn.functional import normalize
from transformers import CLIPModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from ordlib.clip import load_clip

PROMPTS = ["a photo of one star", "seven", "a photo of twenty two big stars, page 12", "a star"]


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture(scope="module")
def plain(tiny_clip_folder):
    return CLIPModel.from_pretrained(tiny_clip_folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def padded(folder, prompts=PROMPTS):
    """Reference tokens, padded to the whole context."""
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer(prompts, padding="max_length", max_length=77, return_tensors="pt")


def assert_close(ours, reference):
    ours, reference = normalize(ours, dim=-1), normalize(reference, dim=-1)
    assert (ours - reference).abs().max() < 1e-6


class TestText:
    def test_text_features_equal_reference(self, clip, plain, tiny_clip_folder):
        with torch.no_grad():
            reference = plain.get_text_features(**padded(tiny_clip_folder)).pooler_output
        assert_close(clip.text_features(PROMPTS), reference)
        # The prompts differ, so that closeness is meaningful.
        assert (normalize(reference) @ normalize(reference).T).fill_diagonal_(0).max() < 0.99
        eager = load_clip(tiny_clip_folder, device="cpu")
        eager.model.set_attn_implementation("eager")
        assert_close(eager.text_features(PROMPTS), clip.text_features(PROMPTS))

    def test_text_features_equal_reference_on_vit_b_32(self, vit_b_32_folder):
        clip = load_clip(vit_b_32_folder, device="cpu")
        assert (clip.embed_dim, clip.text_width, clip.grid_size) == (512, 512, 7)
        assert clip.model.text_model.eos_token_id == clip.tokenizer.eos_token_id == 49407
        ours = clip.text_features(PROMPTS)
        # With the config's value, transformers pools correctly as long as no token is added.
        clip.model.text_model.eos_token_id = clip.model.config.text_config.eos_token_id
        assert clip.model.text_model.eos_token_id == 2
        assert_close(ours, clip.model.get_text_features(**padded(vit_b_32_folder)).pooler_output)

    def test_tokenize_pads_to_the_longest_prompt(self, clip, tiny_clip_folder):
        ids, mask = clip.tokenize(PROMPTS)
        reference = padded(tiny_clip_folder)
        length = int(reference["attention_mask"].sum(1).max())
        assert ids.shape == (4, length)
        assert torch.equal(ids[mask], reference["input_ids"][reference["attention_mask"].bool()])
        assert torch.equal(mask, reference["attention_mask"][:, :length].bool())
        assert torch.equal(clip.tokenize("a star").ids, clip.tokenize(["a star"]).ids)

    def test_text_token_features_equal_last_hidden_state(self, clip, plain, tiny_clip_folder):
        tokens, mask = clip.text_token_features(PROMPTS)
        with torch.no_grad():
            reference = plain.text_model(**padded(tiny_clip_folder)).last_hidden_state
        assert tokens.shape == (*mask.shape, 32)
        assert torch.allclose(tokens[mask], reference[:, : mask.shape[1]][mask], atol=1e-5)

    @pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS], ids=["one", "several"])
    def test_text_token_features_at_all_positions_equal_model_on_padded_ids(
        self, clip, plain, prompts
    ):
        tokens, mask = clip.text_token_features(prompts, all_positions=True)
        rows = [clip.tokenizer(prompt)["input_ids"] for prompt in prompts]
        ids = torch.tensor([row + [0] * (77 - len(row)) for row in rows])
        with torch.no_grad():
            reference = plain.text_model(input_ids=ids).last_hidden_state
        assert tokens.shape == (len(prompts), 77, 32)
        assert torch.allclose(tokens, reference, atol=1e-5)
        assert mask.sum(1).tolist() == [len(row) for row in rows]
        short, _ = clip.text_token_features(prompts)
        assert torch.allclose(tokens[:, : short.shape[1]][mask[:, : short.shape[1]]],
                              short[mask[:, : short.shape[1]]], atol=1e-5)  # fmt: skip

    def test_encode_text_embeddings_ignores_padding(self, clip):
        embeddings, eos_positions, mask = clip.token_embeddings(PROMPTS)
        longer = torch.randn(4, 77, 32)
        longer[:, : mask.shape[1]][mask] = embeddings[mask]
        features = clip.encode_text_embeddings(longer, eos_positions)
        assert_close(features, clip.text_features(PROMPTS))

    def test_encode_text_embeddings_gradient_equals_reference(self, clip, plain, tiny_clip_folder):
        embeddings, eos_positions, mask = clip.token_embeddings(PROMPTS)
        target = torch.randn(4, 24)
        ours = embeddings.clone().requires_grad_()
        features = normalize(clip.encode_text_embeddings(ours, eos_positions), dim=-1)
        (features * target).sum().backward()

        inputs = padded(tiny_clip_folder)
        table = plain.text_model.embeddings.token_embedding
        theirs = table(inputs["input_ids"]).detach().requires_grad_()
        hook = table.register_forward_hook(lambda *_: theirs)
        reference = normalize(plain.get_text_features(**inputs).pooler_output, dim=-1)
        hook.remove()
        (reference * target).sum().backward()

        expected = theirs.grad[:, : ours.shape[1]]
        assert ours.grad.abs().max() > 0
        assert torch.allclose(ours.grad[mask], expected[mask], atol=1e-6)
        assert ours.grad[~mask].abs().max() == 0

    def test_text_features_pool_at_eos_despite_added_tokens(self, tmp_path, clip):
        """With ``eos_token_id`` 2 in the config, plain transformers pools at the added token."""
        quirky = load_clip(build_tiny_clip(tmp_path / "quirk", end=2), device="cpu")
        quirky.tokenizer.add_tokens(["<context>"])
        table = quirky.model.text_model.embeddings.token_embedding
        table.weight = torch.nn.Parameter(torch.cat([table.weight, torch.ones(1, 32)]))
        prompts = ["a <context> star"]
        ids = quirky.tokenizer(prompts, return_tensors="pt")["input_ids"]
        assert ids.argmax() != ids.shape[1] - 1
        ours = quirky.text_features(prompts)
        assert_close(ours, quirky.model.get_text_features(input_ids=ids).pooler_output)
        quirky.model.text_model.eos_token_id = 2
        wrong = quirky.model.get_text_features(input_ids=ids).pooler_output
        assert (normalize(ours, dim=-1) - normalize(wrong, dim=-1)).abs().max() > 1e-3

    def test_encode_text_in_batches(self, clip):
        features = clip.encode_text(PROMPTS * 3, batch_size=5)
        assert_close(features, clip.text_features(PROMPTS * 3))
        assert not features.requires_grad


class TestImages:
    def test_image_features_and_token_features_equal_reference(self, clip, plain, pixels):
        with torch.no_grad():
            reference = plain.get_image_features(pixel_values=pixels).pooler_output
            hidden = plain.vision_model(pixel_values=pixels).last_hidden_state
            rows = [plain.visual_projection(plain.vision_model.post_layernorm(h)) for h in hidden]
        tokens = torch.stack(rows)
        assert torch.equal(clip.image_features(pixels), reference)
        assert torch.allclose(tokens[:, 0], reference, atol=1e-6)
        assert torch.allclose(clip.image_token_features(pixels), tokens, atol=1e-6)

    def test_image_token_features_are_in_row_major_order(self, tiny_clip_folder, pixels):
        blind = load_clip(tiny_clip_folder, device="cpu")
        for layer in blind.model.vision_model.encoder.layers:
            layer.self_attn.out_proj.weight.zero_()
        changed = pixels[:1].clone()
        changed[:, :, 16:32, 48:64] += 3
        before, after = map(blind.image_token_features, (pixels[:1], changed))
        assert (after - before)[0].norm(dim=-1).nonzero().tolist() == [[1 + 1 * 4 + 3]]

    def test_image_features_gradient_reaches_unfrozen_weights(self, tiny_clip_folder, pixels):
        clip = load_clip(tiny_clip_folder, device="cpu")
        weight = clip.model.visual_projection.weight.requires_grad_()
        clip.image_features(pixels).sum().backward()
        assert weight.grad.abs().sum() > 0
        assert not clip.encode_images([torch.zeros(64, 64, 3, dtype=torch.uint8).numpy()]).grad_fn

    def test_encode_images_in_batches(self, clip, noise_images):
        whole = clip.image_features(clip.preprocess(noise_images))
        assert torch.allclose(clip.encode_images(noise_images, batch_size=3), whole, atol=1e-6)


class TestLoading:
    def test_clip_backbone_attributes(self, clip):
        assert (clip.embed_dim, clip.text_width) == (24, 32)
        assert (clip.image_size, clip.grid_size, clip.context_length) == (64, 4, 77)
        assert (clip.device.type, clip.dtype) == ("cpu", torch.float32)
        assert clip.logit_scale == pytest.approx(math.exp(2.6592), rel=1e-3)
        assert "64 pixels, 4x4 patches, width 24, torch.float32 on cpu" in repr(clip)
        assert not any(parameter.requires_grad for parameter in clip.model.parameters())
        assert not any(module.training for module in clip.model.modules())

    def test_half_precision_returns_close_float32_features(self, tiny_clip_folder, clip, pixels):
        half = load_clip(tiny_clip_folder, device="cpu", dtype=torch.bfloat16)
        assert half.dtype == torch.bfloat16
        assert half.logit_scale == clip.logit_scale
        for ours, exact in [
            (half.image_features(pixels), clip.image_features(pixels)),
            (half.image_token_features(pixels), clip.image_token_features(pixels)),
            (half.text_features(PROMPTS), clip.text_features(PROMPTS)),
            (half.text_token_features(PROMPTS)[0], clip.text_token_features(PROMPTS)[0]),
        ]:
            assert ours.dtype == torch.float32
            assert torch.cosine_similarity(ours, exact, dim=-1).min() > 0.999

    @pytest.mark.parametrize(
        ("amx", "avx512_bf16", "dtype"),
        [
            (False, False, torch.float32),
            (True, False, torch.bfloat16),
            (False, True, torch.bfloat16),
        ],
    )
    def test_auto_precision_depends_on_the_cpu_but_not_for_bundled_models(
        self, tiny_clip_folder, monkeypatch, amx, avx512_bf16, dtype
    ):
        features = {"_is_amx_tile_supported": amx, "_is_avx512_bf16_supported": avx512_bf16}
        for name, value in features.items():
            monkeypatch.setattr(torch.cpu, name, lambda value=value: value, raising=False)
        assert load_clip(tiny_clip_folder, "cpu", dtype="auto").dtype == dtype
        assert load_clip(tiny_clip_folder, "cpu").dtype == torch.float32
        assert load_clip("pico-clip", "cpu", dtype="auto").dtype == torch.float32

    def test_load_clip_is_silent_and_restores_transformers_logging(
        self, tiny_clip_folder, capfd, caplog
    ):
        transformers_logging.enable_progress_bar()
        before = transformers_logging.get_verbosity()
        with caplog.at_level(logging.WARNING):
            clip = load_clip(tiny_clip_folder, device="cpu")
            clip.encode_text(PROMPTS)
            with pytest.raises(ValueError, match="takes 102 tokens"):
                clip.tokenize(["seven " * 20])
        assert (capfd.readouterr(), caplog.records) == (("", ""), [])
        assert transformers_logging.get_verbosity() == before
        assert transformers_logging.is_progress_bar_enabled()

    def test_weights_unchanged_detects_training_and_lora(self, tiny_clip_folder):
        clip = load_clip(tiny_clip_folder, device="cpu")
        clip.encode_text(PROMPTS)
        assert clip.weights_unchanged
        weight = clip.model.visual_projection.weight.requires_grad_()
        weight.grad = torch.ones_like(weight)
        torch.optim.SGD([weight], lr=0.1).step()
        assert not clip.weights_unchanged
        peft = pytest.importorskip("peft")
        clip = load_clip(tiny_clip_folder, device="cpu")
        config = peft.LoraConfig(r=2, target_modules=r"vision_model\..*\.(q_proj|v_proj)")
        peft.get_peft_model(clip.model, config)
        assert not clip.weights_unchanged


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (["a star", " ".join(["seven"] * 20)], r"'seven seven.* 102 tokens.* 77"),
        ([], "no prompts"),
        (["one <|endoftext|> star"], r"'one <.endoftext.> star'.*does not know"),
    ],
)
def test_encode_text_invalid_prompts(clip, prompts, message):
    with pytest.raises(ValueError, match=message):
        clip.encode_text(prompts)
    with pytest.raises(ValueError, match=r"80 positions.* 77"):
        clip.encode_text_embeddings(torch.zeros(1, 80, 32), torch.tensor([79]))


@pytest.mark.parametrize(
    ("sizes", "warned"),
    [
        ([(64, 48)] * 2 + [(64, 64)] * 8, True),
        ([(64, 48)] + [(64, 64)] * 9, False),
        ([(64, 54)] * 10, False),
    ],
)
def test_encode_images_warns_where_the_crop_leaves_out_much(tiny_clip_folder, sizes, warned):
    images = [Image.new("RGB", size) for size in sizes]
    for resize in ("crop", "pad"):
        clip = load_clip(tiny_clip_folder, "cpu", resize=resize)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                clip.encode_images(images, batch_size=4)
        messages = [str(warning.message) for warning in caught]
        expected = [
            "CLIP's center crop leaves out 5% of the area of 10 images on average, at most 25%"
        ]
        assert [message.split(";")[0] for message in messages] == (
            expected if warned and resize == "crop" else []
        )
