"""The backbone against plain transformers: at 77 positions, without any cut or shortcut."""

import logging
import math

import pytest
import torch
from clips import build_tiny_clip
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
    """What anybody would write: pad to the whole context."""
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer(prompts, padding="max_length", max_length=77, return_tensors="pt")


def close(ours, reference):
    ours, reference = normalize(ours, dim=-1), normalize(reference, dim=-1)
    assert (ours - reference).abs().max() < 1e-6


class TestText:
    def test_features_equal_those_at_77_positions(self, clip, plain, tiny_clip_folder):
        with torch.no_grad():
            reference = plain.get_text_features(**padded(tiny_clip_folder)).pooler_output
        close(clip.text_features(PROMPTS), reference)
        # Else what is close would say little.
        assert (normalize(reference) @ normalize(reference).T).fill_diagonal_(0).max() < 0.99

    def test_features_equal_on_vit_b_32_geometry(self, vit_b_32_folder):
        clip = load_clip(vit_b_32_folder, device="cpu")
        assert (clip.embed_dim, clip.text_width, clip.grid_size) == (512, 512, 7)
        assert clip.model.text_model.eos_token_id == clip.tokenizer.eos_token_id == 49407
        ours = clip.text_features(PROMPTS)
        # As the config has it; without added tokens it pools at the right place all the same.
        clip.model.text_model.eos_token_id = clip.model.config.text_config.eos_token_id
        assert clip.model.text_model.eos_token_id == 2
        close(ours, clip.model.get_text_features(**padded(vit_b_32_folder)).pooler_output)

    def test_features_equal_under_eager_attention(self, tiny_clip_folder, clip):
        eager = load_clip(tiny_clip_folder, device="cpu")
        eager.model.set_attn_implementation("eager")
        close(eager.text_features(PROMPTS), clip.text_features(PROMPTS))

    def test_tokens_are_cut_to_the_longest_live_prompt(self, clip, tiny_clip_folder):
        ids, mask = clip.tokenize(PROMPTS)
        reference = padded(tiny_clip_folder)
        length = int(reference["attention_mask"].sum(1).max())
        assert ids.shape == (4, length)
        assert torch.equal(ids[mask], reference["input_ids"][reference["attention_mask"].bool()])
        assert torch.equal(mask, reference["attention_mask"][:, :length].bool())
        assert torch.equal(clip.tokenize("a star").ids, clip.tokenize(["a star"]).ids)

    def test_text_tokens_equal_the_last_hidden_state(self, clip, plain, tiny_clip_folder):
        tokens, mask = clip.text_token_features(PROMPTS)
        with torch.no_grad():
            reference = plain.text_model(**padded(tiny_clip_folder)).last_hidden_state
        assert tokens.shape == (*mask.shape, 32)
        assert torch.allclose(tokens[mask], reference[:, : mask.shape[1]][mask], atol=1e-5)

    def test_what_stands_behind_the_end_cannot_matter(self, clip):
        words = clip.token_embeddings(PROMPTS)
        longer = torch.randn(4, 77, 32)
        longer[:, : words.embeddings.shape[1]][words.mask] = words.embeddings[words.mask]
        close(clip.encode_text_embeddings(longer, words.eos_positions), clip.text_features(PROMPTS))

    def test_gradient_to_words_equals_the_one_through_a_hook_at_77(
        self, clip, plain, tiny_clip_folder
    ):
        words = clip.token_embeddings(PROMPTS)
        target = torch.randn(4, 24)
        ours = words.embeddings.clone().requires_grad_()
        features = normalize(clip.encode_text_embeddings(ours, words.eos_positions), dim=-1)
        (features * target).sum().backward()

        inputs = padded(tiny_clip_folder)
        table = plain.text_model.embeddings.token_embedding
        theirs = table(inputs["input_ids"]).detach().requires_grad_()
        hook = table.register_forward_hook(lambda *_: theirs)
        reference = normalize(plain.get_text_features(**inputs).pooler_output, dim=-1)
        hook.remove()
        (reference * target).sum().backward()

        live = theirs.grad[:, : ours.shape[1]]
        assert ours.grad.abs().max() > 0
        assert torch.allclose(ours.grad[words.mask], live[words.mask], atol=1e-6)
        assert ours.grad[~words.mask].abs().max() == 0

    def test_an_added_token_does_not_steal_the_pooled_position(self, tmp_path, clip):
        """With ``eos_token_id`` 2 in the config, plain transformers pools at the added token."""
        quirky = load_clip(build_tiny_clip(tmp_path / "quirk", end=2), device="cpu")
        quirky.tokenizer.add_tokens(["<context>"])
        table = quirky.model.text_model.embeddings.token_embedding
        table.weight = torch.nn.Parameter(torch.cat([table.weight, torch.ones(1, 32)]))
        prompts = ["a <context> star"]
        ids = quirky.tokenizer(prompts, return_tensors="pt")["input_ids"]
        assert ids.argmax() != ids.shape[1] - 1
        own = quirky.text_features(prompts)
        close(own, quirky.model.get_text_features(input_ids=ids).pooler_output)
        quirky.model.text_model.eos_token_id = 2
        stolen = quirky.model.get_text_features(input_ids=ids).pooler_output
        assert (normalize(own, dim=-1) - normalize(stolen, dim=-1)).abs().max() > 1e-3

    @pytest.mark.parametrize("batch_size", [1, 5])
    def test_many_prompts_are_encoded_in_batches(self, clip, batch_size):
        features = clip.encode_text(PROMPTS * 3, batch_size)
        close(features, clip.text_features(PROMPTS * 3))
        assert not features.requires_grad


class TestPictures:
    def test_patch_tokens_are_projected_as_the_class_token_is(self, clip, plain, pixels):
        with torch.no_grad():
            reference = plain.get_image_features(pixel_values=pixels).pooler_output
            hidden = plain.vision_model(pixel_values=pixels).last_hidden_state
            rows = [plain.visual_projection(plain.vision_model.post_layernorm(h)) for h in hidden]
        every = torch.stack(rows)
        assert torch.equal(clip.image_features(pixels), reference)
        assert torch.allclose(every[:, 0], reference, atol=1e-6)
        assert torch.allclose(clip.image_token_features(pixels), every, atol=1e-6)
        assert torch.equal(clip.patch_tokens(pixels), clip.image_token_features(pixels)[:, 1:])

    def test_patch_tokens_run_row_by_row(self, tiny_clip_folder, pixels):
        blind = load_clip(tiny_clip_folder, device="cpu")
        for layer in blind.model.vision_model.encoder.layers:
            layer.self_attn.out_proj.weight.zero_()
        changed = pixels[:1].clone()
        changed[:, :, 16:32, 48:64] += 3
        moved = (blind.patch_tokens(changed) - blind.patch_tokens(pixels[:1]))[0].norm(dim=-1)
        assert moved.nonzero().tolist() == [[1 * 4 + 3]]

    def test_gradient_reaches_an_unfrozen_tower(self, tiny_clip_folder, pixels):
        clip = load_clip(tiny_clip_folder, device="cpu")
        weight = clip.model.visual_projection.weight.requires_grad_()
        clip.image_features(pixels).sum().backward()
        assert weight.grad.abs().sum() > 0
        assert not clip.encode_images([torch.zeros(64, 64, 3, dtype=torch.uint8).numpy()]).grad_fn

    def test_many_pictures_are_encoded_in_batches(self, clip, pictures):
        whole = clip.image_features(clip.preprocess(pictures))
        assert torch.allclose(clip.encode_images(pictures, batch_size=3), whole, atol=1e-6)


class TestLoading:
    def test_attributes(self, clip):
        assert (clip.embed_dim, clip.text_width) == (24, 32)
        assert (clip.image_size, clip.grid_size, clip.context_length) == (64, 4, 77)
        assert (clip.device.type, clip.dtype) == ("cpu", torch.float32)
        assert clip.logit_scale == pytest.approx(math.exp(2.6592), rel=1e-3)

        assert "64 pixels, 4x4 patches, width 24, torch.float32 on cpu" in repr(clip)
        assert not any(parameter.requires_grad for parameter in clip.model.parameters())
        assert not any(module.training for module in clip.model.modules())

    def test_half_precision_gives_float32_features_close_by(self, tiny_clip_folder, clip, pixels):
        half = load_clip(tiny_clip_folder, device="cpu", dtype=torch.bfloat16)
        assert half.dtype == torch.bfloat16
        assert half.logit_scale == clip.logit_scale
        for ours, exact in [
            (half.image_features(pixels), clip.image_features(pixels)),
            (half.patch_tokens(pixels), clip.patch_tokens(pixels)),
            (half.text_features(PROMPTS), clip.text_features(PROMPTS)),
            (half.text_token_features(PROMPTS)[0], clip.text_token_features(PROMPTS)[0]),
        ]:
            assert ours.dtype == torch.float32
            assert torch.cosine_similarity(ours, exact, dim=-1).min() > 0.999

    def test_is_silent_and_leaves_transformers_as_it_was(self, tiny_clip_folder, capfd, caplog):
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

    def test_knows_whether_the_weights_are_those_of_the_file(self, tiny_clip_folder):
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
    ("prompts", "says"),
    [
        (["a star", " ".join(["seven"] * 20)], r"'seven seven.* 102 tokens.* 77"),
        ([], "no prompts"),
        (["one <|endoftext|> star"], r"'one <.endoftext.> star'.*does not know"),
    ],
)
def test_wrong_prompts(clip, prompts, says):
    with pytest.raises(ValueError, match=says):
        clip.encode_text(prompts)


def test_embeddings_longer_than_the_context(clip):
    with pytest.raises(ValueError, match=r"80 positions.* 77"):
        clip.encode_text_embeddings(torch.zeros(1, 80, 32), torch.tensor([79]))
