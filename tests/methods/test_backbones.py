"""Every method on every architecture: prediction, training, saving and loading."""

import numpy as np
import pandas as pd
import pytest
import torch
from open_clips import build
from siglips import BUILDERS
from torch.nn.functional import normalize

import ordlib
from ordlib import (
    ClipBackbone,
    ImageData,
    LinearProbe,
    RankingAdapter,
    ZeroShot,
    fit,
    load_clip,
    load_component,
)
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


def wrap(kind: str) -> ClipBackbone:
    return ClipBackbone.from_open_clip(*build(kind), kind)


# As a fixed size and tokenizer decide: with and without class, start and end tokens.
@pytest.fixture(scope="module", params=[*BUILDERS, "open_clip-vit", "open_clip-siglip"])
def clip(request, tmp_path_factory):
    if request.param not in BUILDERS:
        return wrap(request.param.removeprefix("open_clip-"))
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
    if template.startswith("{rank}") and getattr(clip.tokenizer, "pad_token", "") == "<pad>":
        # Gemma's tokenizer distinguishes the first word of a prompt.
        names = [f" {name}" for name in uneven.rank_names]
        expected = clip.text_features([template.format(rank=name) for name in names])
    features = PromptLearner(clip, template, ranks)()
    distances = torch.cdist(expected, expected).fill_diagonal_(torch.inf)
    assert (features - expected).norm(dim=1).max() < 1e-3 * distances.min()


@torch.no_grad()
def test_prompt_learner_has_start_and_eos_token_of_the_backbone(clip, uneven):
    learner = PromptLearner(clip, "one {rank} star", RankEmbeddings(clip, uneven.rank_names))
    embeddings, eos_positions, mask = learner.prompt_embeddings()
    whole = clip.token_embeddings([f"one {name} star" for name in uneven.rank_names])
    assert torch.equal(eos_positions, whole.eos_positions)
    assert torch.equal(mask, whole.mask)
    assert torch.equal(embeddings[mask], whole.embeddings[mask])
    # All others can be learned.
    assert torch.equal(learner.mask.sum(1), eos_positions - clip.num_start_tokens)


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
    if clip.name.startswith("open_clip:"):
        other = wrap(clip.name.removeprefix("open_clip:"))
        with pytest.raises(FileNotFoundError, match="from_open_clip"):
            load_component(tmp_path / "model")
    else:
        other = None  # by the name of the backbone
    again = load_component(tmp_path / "model", other, "cpu")
    np.testing.assert_allclose(again.predict(data).value, model.predict(data).value, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_ranking_adapter_uses_the_tokens_of_the_backbone(clip, data, tmp_path):
    has_cls_token = clip.image_token_features(torch.zeros(1, 3, 64, 64)).shape[1] == 17
    if not has_cls_token:
        with pytest.raises(ValueError, match=r"use_cls_token = True: .* no class token; use False"):
            RankingAdapter(clip, data.task, use_cls_token=True)
    patches = RankingAdapter(clip, data.task, use_cls_token=False).image_tokens(data)
    assert patches.shape == (12, clip.grid_size**2, clip.embed_dim)
    adapter = RankingAdapter(clip, data.task, prompt_templates={"uneven": ["How many stars?"]})
    assert adapter.options.use_cls_token is has_cls_token
    assert torch.equal(adapter.image_tokens(data)[:, int(has_cls_token) :], patches)
    everything = RankingAdapter(clip, data.task, text_positions="all").encode_prompt("one star")
    assert everything.shape == (clip.context_length, clip.text_width)
    assert torch.allclose(everything[:2], adapter.encode_prompt("one star")[:2], atol=1e-5)
    fit(adapter, data, data, TRAINING, progress=False)
    adapter.save_pretrained(tmp_path / "adapter")
    loaded = load_component(tmp_path / "adapter", clip)
    # Saved in float16.
    scores = adapter.predict_scores(data, "one star")
    np.testing.assert_allclose(loaded.predict_scores(data, "one star"), scores, atol=0.02)
    assert (adapter.ood_score(data) < 10).all()
    assert occlusion_map(adapter, data, "one star").shape == (12, clip.grid_size, clip.grid_size)


def test_lora_changes_two_layers_of_each_block_by_default(clip):
    encoder = ImageEncoder(clip, ImageEncoderConfig(image_encoder="lora", adapter=False))
    pixels = torch.randn(2, 3, 64, 64)
    # LoRA starts at zero.
    assert torch.allclose(encoder(pixels), clip.image_features(pixels), atol=1e-5)
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 2 * 2
    names = (".q_proj.", ".v_proj.")
    if clip.name.startswith("open_clip:"):
        names = (".c_fc.", ".c_proj.")
    assert all(any(name in parameter for name in names) for parameter in trained)


def test_lora_refuses_layers_on_which_it_has_no_effect(clip):
    """Attention of torch passes the weight of its output layer to a function."""
    options = {"image_encoder": "lora", "lora_target_modules": r".*\.out_proj"}
    with pytest.raises(ValueError, match=r"no effect on the layer .*(attention|attn).out_proj"):
        ImageEncoder(clip, ImageEncoderConfig(**options))


def test_backbones_refuse_what_they_cannot_do_by_name(data):
    """At once: before images are encoded."""
    task, resnet, hf = data.task, wrap("resnet"), wrap("hf")
    with pytest.raises(ValueError, match=r"open_clip:resnet: .*ModifiedResNet.* no patch tokens"):
        RankingAdapter(resnet, task)
    for name in ("CoOp", "OrdinalCLIP", "NumCLIP", "L2RCLIP"):
        with pytest.raises(ValueError, match=r"open_clip:hf: .*HFTextEncoder.* cannot be learned"):
            getattr(ordlib, name)(hf, task)
    with pytest.raises(ValueError, match=r"open_clip:hf: .*HFTextEncoder"):
        RankingAdapter(hf, task)
    for pattern, message in [
        (None, r"this backbone has no default; available layers: conv1"),
        (r"attnpool\.v_proj", r"no effect on the layer attnpool.v_proj"),
        (r"bn1", r"peft has no exact LoRA for the layer bn1"),
    ]:
        options = {"image_encoder": "lora", "lora_target_modules": pattern}
        with pytest.raises(ValueError, match=message):
            ordlib.CORN(resnet, task, **options)
    with pytest.raises(ValueError, match=r"no exact LoRA for the layer transformer.*0.attn"):
        ordlib.CORN(wrap("vit"), task, **options | {"lora_target_modules": r".*\.attn"})
    options = {"image_encoder": "lora", "lora_r": 2}
    lora = ordlib.CORN(resnet, task, lora_target_modules="conv1", **options)
    assert len(lora.trainable_state_dict()) > 2


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["resnet", "hf"])
def test_backbones_do_the_rest(data, kind):
    clip = wrap(kind)
    assert len(ZeroShot(clip, data.task).predict(data).value) == 12
    LinearProbe(clip, data.task).fit(data)
    for model in (ordlib.CORN(clip, data.task), ordlib.FineTuned(clip, data.task)):
        fit(model, data, data, TRAINING, progress=False)
    full = ordlib.CORN(clip, data.task, image_encoder="full")
    fit(full, data, data, TRAINING, progress=False)
    assert clip.weights_unchanged
    assert torch.isfinite(full.extract_features(data)).all()
