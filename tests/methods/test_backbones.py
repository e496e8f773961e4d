"""Every method on every architecture: prediction, training, saving and loading."""

import numpy as np
import pandas as pd
import pytest
import torch
from siglips import BUILDERS
from torch.nn.functional import normalize

import ordlib
from ordlib import ImageData, LinearProbe, RankingAdapter, ZeroShot, fit, load_clip, load_component
from ordlib.methods.image_encoder import ImageEncoder, ImageEncoderConfig
from ordlib.methods.prompt_learner import PromptLearner, RankEmbeddings
from ordlib.methods.ranking_adapter.occlusion import occlusion_map

CASES = {
    "CoOp": {},
    "CoOp-ctx": {"n_ctx": 3, "text_encoder": "full", "suffix": "."},
    "CORN": {"image_encoder": "lora"},
    "FineTuned": {"image_encoder": "full"},
    "L2RCLIP": {"attention_over": "both"},
    "NumCLIP": {"image_encoder": "lora", "tune_context": True},
    "OrdinalCLIP": {},
}
TRAINING = {"epochs": 2, "batch_size": 6}


@pytest.fixture(scope="module", params=BUILDERS)
def clip(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbones") / request.param
    return load_clip(BUILDERS[request.param](folder), "cpu")


@pytest.fixture(scope="module")
def data(uneven, tmp_path_factory):
    """Noise that grows brighter with the rank."""
    rng = np.random.default_rng(0)
    ranks = np.arange(12) % 5
    noise = rng.integers(0, 60, (12, 64, 64, 3))
    images = (ranks[:, None, None, None] * 40 + noise).astype(np.uint8)
    metadata, values = pd.DataFrame({"row": range(12)}), uneven.rank_values[ranks]
    return ImageData(uneven, images, values, metadata, "twelve", "train")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))


@torch.no_grad()
@pytest.mark.parametrize("template", ["a photo of {rank} star", "a photo of {rank}", "{rank}, one"])
def test_learned_prompts_begin_as_the_prompts_of_the_template(clip, uneven, template):
    """Context and ranks are tokenized apart, but not otherwise than in a whole prompt."""
    ranks = RankEmbeddings(clip, uneven.rank_names)
    expected = clip.text_features([template.format(rank=name) for name in uneven.rank_names])
    if template.startswith("{rank}") and clip.tokenizer.pad_token == "<pad>":
        # Gemma's tokenizer distinguishes the first word of a prompt.
        names = [f" {name}" for name in uneven.rank_names]
        expected = clip.text_features([template.format(rank=name) for name in names])
    features = PromptLearner(clip, template, ranks)()
    distances = torch.cdist(expected, expected).fill_diagonal_(torch.inf)
    assert (features - expected).norm(dim=1).max() < 1e-3 * distances.min()


@torch.no_grad()
def test_prompt_learner_has_no_start_token(clip, uneven):
    learner = PromptLearner(clip, "one {rank} star", RankEmbeddings(clip, uneven.rank_names))
    embeddings, eos_positions, mask = learner.prompt_embeddings()
    whole = clip.token_embeddings([f"one {name} star" for name in uneven.rank_names])
    assert torch.equal(eos_positions, whole.eos_positions)
    assert torch.equal(mask, whole.mask)
    assert torch.equal(embeddings[mask], whole.embeddings[mask])
    # All of them but the EOS token can be learned.
    assert torch.equal(learner.mask.sum(1), eos_positions)


def test_zero_shot_and_linear_probe(clip, data):
    model = ZeroShot(clip, data.task)
    prediction = model.predict(data)
    images = normalize(clip.encode_images(data.images), dim=-1)
    logits = clip.logit_scale * images @ model.text_features().T
    # The bias of SigLIP's sigmoid changes no probability of a softmax.
    expected = (logits + clip.logit_bias).double().softmax(1)
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-4)
    probe = LinearProbe(clip, data.task).fit(data)
    assert np.abs(probe.predict(data).value - data.values).mean() < 1.5


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", CASES)
def test_method_trains_and_is_saved(clip, data, tmp_path, case):
    method = getattr(ordlib, case.split("-")[0])
    model = method(clip, data.task, **CASES[case])
    before = {name: t.clone() for name, t in model.trainable_state_dict().items()}
    history = fit(model, data, data, TRAINING, progress=False)
    assert np.isfinite(history["loss"]).all()
    after = model.trainable_state_dict()
    changed = {name for name, t in after.items() if not torch.equal(t, before[name])}
    # The pooling head of SigLIP has biases of keys, which no softmax sees.
    assert len(changed) > 0.9 * len(after)
    assert clip.weights_unchanged
    model.save_pretrained(tmp_path / "model")
    loaded = load_component(tmp_path / "model", clip)
    assert np.array_equal(loaded.predict(data).value, model.predict(data).value)
    other = load_component(tmp_path / "model", device="cpu")  # by the name of the backbone
    np.testing.assert_allclose(other.predict(data).value, model.predict(data).value, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_ranking_adapter_uses_patch_tokens_alone(clip, data, tmp_path):
    with pytest.raises(ValueError, match=r"use_cls_token = True: .* no class token; use False"):
        RankingAdapter(clip, data.task, use_cls_token=True)
    adapter = RankingAdapter(clip, data.task, prompt_templates={"uneven": ["How many stars?"]})
    assert adapter.options.use_cls_token is False
    assert adapter.image_tokens(data).shape == (12, clip.grid_size**2, clip.embed_dim)
    fit(adapter, data, data, TRAINING, progress=False)
    adapter.save_pretrained(tmp_path / "adapter")
    loaded = load_component(tmp_path / "adapter", clip)
    # Saved in float16.
    scores = adapter.predict_scores(data, "one star")
    np.testing.assert_allclose(loaded.predict_scores(data, "one star"), scores, atol=0.02)
    assert (adapter.ood_score(data) < 10).all()
    assert occlusion_map(adapter, data, "one star").shape == (12, clip.grid_size, clip.grid_size)


def test_lora_changes_queries_and_values_by_default(clip):
    encoder = ImageEncoder(clip, ImageEncoderConfig(image_encoder="lora", adapter=False))
    pixels = torch.randn(2, 3, 64, 64)
    # LoRA starts at zero.
    assert torch.allclose(encoder(pixels), clip.image_features(pixels), atol=1e-5)
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 2 * 2
    assert all(".q_proj." in name or ".v_proj." in name for name in trained)


def test_lora_refuses_layers_on_which_it_has_no_effect(clip):
    """The pooling head passes the weight of its output layer to a function."""
    options = {"image_encoder": "lora", "lora_target_modules": r".*\.out_proj"}
    with pytest.raises(ValueError, match=r"no effect on the layer head.attention.out_proj"):
        ImageEncoder(clip, ImageEncoderConfig(**options))
