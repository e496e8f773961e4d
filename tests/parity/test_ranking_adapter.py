"""The adapter equals the released one on random weights and tokens, and loads its checkpoints."""

from pathlib import Path

import naive_adapter as naive
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close
from transformers import CLIPModel

from ordlib import ImageData, OrdinalTask, RankingAdapter, TrainingConfig, load_clip, load_component
from ordlib.losses import dual_loss
from ordlib.methods.ranking_adapter import released_config
from ordlib.methods.ranking_adapter.released import (
    convert_released_tensors,
    load_released_ranking_adapter,
)
from ordlib.training.ranking_trainer import RankingTrainer

TASK = OrdinalTask(name="things", unit="things", values=(0, 1, 2, 3))
PROMPT = "Rank the numbers of star."


@pytest.fixture(scope="module")
def case():
    with np.load(Path(__file__).with_name("ranking_adapter.npz")) as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def released(case):
    """Tensors of the adapter under the release's names."""
    return {n.removeprefix("weights/"): t for n, t in case.items() if n.startswith("weights/")}


@pytest.fixture(params=["torch", "lightning", "safetensors"])
def checkpoint(request, released, tmp_path):
    """A file as the release or a framework around it would write it, with a backbone's tensors."""
    backbone = {"visual.trunk.stem.weight": torch.zeros(2)}
    if request.param == "torch":
        torch.save(released | backbone, path := tmp_path / "a.pt")
    elif request.param == "lightning":
        content = {f"module.{name}": tensor for name, tensor in (released | backbone).items()}
        torch.save({"state_dict": content, "epoch": 3}, path := tmp_path / "a.ckpt")
    else:
        tensors = {name: t.contiguous() for name, t in (released | backbone).items()}
        save_file(tensors, path := tmp_path / "a.safetensors")
    return path


def test_released_checkpoint_gives_the_released_outputs(case, checkpoint):
    network = load_released_ranking_adapter(checkpoint)
    images = case["image_tokens"].clone().requires_grad_()
    text = case["text_tokens"].clone().requires_grad_()
    tokens = network(images, text)
    scores, logits = network.scores(tokens), network.pair_logits(tokens)
    assert_close(scores, case["scores"].squeeze(-1), rtol=1e-9, atol=1e-9)
    assert_close(logits.flatten(), case["pair_logits"].squeeze(-1), rtol=1e-9, atol=1e-9)
    loss = dual_loss(scores, logits, case["targets"], tie_handling="zero")
    assert_close(loss, case["loss"], rtol=1e-9, atol=1e-9)
    loss.backward()
    assert_close(images.grad, case["grad_image_tokens"], rtol=1e-7, atol=1e-9)
    assert_close(text.grad, case["grad_text_tokens"], rtol=1e-7, atol=1e-9)


def test_learnable_scalar_tokens_of_the_release_change_nothing(case, released, tmp_path):
    torch.save(released, path := tmp_path / "a.pt")
    network = load_released_ranking_adapter(path)
    before = network.scores(network(case["image_tokens"], case["text_tokens"]))
    with torch.no_grad():
        network.learnable_tokens.add_(1)
    after = network.scores(network(case["image_tokens"], case["text_tokens"]))
    assert_close(after, before, rtol=0, atol=1e-5)


def test_other_files_are_named(released, tmp_path):
    torch.save({"a": torch.zeros(1)}, path := tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other.pt: has 0 tensors named .*; it has a"):
        load_released_ranking_adapter(path)
    torch.save({"a": Path()}, path := tmp_path / "code.pt")
    with pytest.raises(ValueError, match=r"code.pt: no torch file with tensors alone"):
        load_released_ranking_adapter(path)
    partial = {name: tensor for name, tensor in released.items() if name != "reg_ln.weight"}
    torch.save(partial, path := tmp_path / "partial.pt")
    with pytest.raises(ValueError, match=r"1 tensors missing, 0 unknown: score_norm.weight"):
        load_released_ranking_adapter(path)


# A released checkpoint as a RankingAdapter.


@pytest.fixture(scope="module")
def clip(even_clip_folder):
    return load_clip(even_clip_folder, "cpu")


@pytest.fixture(scope="module")
def data(noise_images):
    values = np.array([0.0, 1, 2, 3, 1, 0, 2])
    return ImageData(TASK, noise_images, values, pd.DataFrame(index=range(7)), "seven", "train")


@pytest.fixture
def path(released, tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    torch.save(released, path := tmp_path / "adapter.pt")
    return path


def naive_weights(path):
    return {name: tensor.float() for name, tensor in torch.load(path).items()}


def reference_scores(folder, clip, data, path):
    """Patch tokens and all 77 text positions of transformers' CLIP, through the naive adapter."""
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    weights = naive_weights(path)
    ids = clip.tokenizer(PROMPT)["input_ids"]
    ids = torch.tensor([ids + [0] * (77 - len(ids))])
    with torch.no_grad():
        text = model.text_model(input_ids=ids).last_hidden_state[0]
        pixels = clip.preprocess([data.load(i) for i in range(len(data))])
        hidden = model.vision_model(pixel_values=pixels).last_hidden_state
        images = model.visual_projection(model.vision_model.post_layernorm(hidden))[:, 1:]
        return [naive.score(naive.encode(image, text, weights), weights).item() for image in images]


@pytest.mark.filterwarnings("error")
def test_from_released_ranks_images(even_clip_folder, clip, data, path, tmp_path):
    adapter = RankingAdapter.from_released(path, clip, TASK, prompt_templates={"things": [PROMPT]})
    scores = adapter.predict_scores(data, PROMPT)
    expected = reference_scores(even_clip_folder, clip, data, path)
    # Image tokens are cached in half precision.
    np.testing.assert_allclose(scores, expected, atol=2e-3)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(adapter.predict(data).value, scores.clip(0, 3))
    adapter.save_pretrained(tmp_path / "saved")
    loaded = load_component(tmp_path / "saved", clip)
    assert loaded.options == adapter.options
    np.testing.assert_allclose(loaded.predict_scores(data, PROMPT), scores, atol=2e-2)


@torch.no_grad()
def test_from_released_has_the_released_loss(case, path, clip):
    adapter = RankingAdapter.from_released(path, clip, TASK)
    images, text = case["image_tokens"].float(), case["text_tokens"].float()
    loss = adapter.loss(adapter.encode(images, text), case["targets"].float())
    assert_close(loss.double(), case["loss"], rtol=1e-5, atol=0)
    tied = adapter.loss(adapter.encode(images, text), torch.ones(3))
    expected = naive.released_loss(images, text, torch.ones(3), naive_weights(path))
    assert_close(tied, expected, rtol=1e-5, atol=0)


def test_from_released_names_widths_that_do_not_fit(path, tiny_clip_folder):
    clip = load_clip(tiny_clip_folder, "cpu")
    message = (
        r"adapter.pt: the adapter takes image and text tokens of width 16; the backbone .*tiny-cl"
        r"ip has image tokens of width 24 and text tokens of width 32; load a CLIP with both width"
    )
    with pytest.raises(ValueError, match=message):
        RankingAdapter.from_released(path, clip, TASK)


def test_from_released_accepts_options_of_training_only(path, clip):
    adapter = RankingAdapter.from_released(path, clip, TASK, tie_handling="mask")
    assert adapter.options.tie_handling == "mask"
    assert adapter.options.num_relational_tokens == 4
    with pytest.raises(TypeError, match="multiple values for keyword argument 'use_cls_token'"):
        RankingAdapter.from_released(path, clip, TASK, use_cls_token=True)


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("token_embedding.weight", 1.001),  # rounded
        ("token_embedding.weight", 1.1),
        ("visual.conv1.weight", 1.1),
        ("visual.trunk.stem.0.weight", 1.1),
    ],
)
def test_from_released_warns_of_another_backbone(released, path, clip, name, factor, recwarn):
    own = {
        "token_embedding.weight": clip.model.text_model.embeddings.token_embedding.weight,
        "visual.conv1.weight": clip.model.vision_model.embeddings.patch_embedding.weight,
    }
    tensor = own[name].detach() if name in own else torch.ones(2)
    content = {f"module.adapter.{key}": value for key, value in released.items()}
    torch.save({"state_dict": content | {f"module.{name}": tensor * factor}}, path)
    RankingAdapter.from_released(path, clip, TASK)
    messages = [str(warning.message) for warning in recwarn]
    assert len(messages) == (factor > 1.01)
    if messages:
        assert f"another backbone than {clip.name} (the weights differ in {name})" in messages[0]


def test_from_released_without_attention(released, clip, path):
    """The release's pooler "null": pairs are compared by the difference of their mean tokens."""
    weights = {name: t for name, t in released.items() if not name.startswith("reg_token")}
    torch.save(weights, path)
    adapter = RankingAdapter.from_released(path, clip, TASK)
    assert adapter.options.pairwise_head == "mean_difference"
    tokens = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0))
    weights = naive_weights(path)
    logits = adapter.net.pair_logits(tokens)
    for i in range(3):
        for j in range(3):
            expected = naive.pair_head((tokens[i] - tokens[j]).mean(0), weights)
            assert_close(logits[i, j], expected, rtol=1e-4, atol=1e-5)


# Training.


def test_naive_adapter_equals_the_release(case, released):
    tokens = [naive.encode(image, case["text_tokens"], released) for image in case["image_tokens"]]
    scores = torch.stack([naive.score(t, released) for t in tokens])
    logits = torch.stack([naive.pair_logit(a, b, released) for a in tokens for b in tokens])
    assert_close(scores, case["scores"].squeeze(-1), rtol=1e-9, atol=1e-9)
    assert_close(logits, case["pair_logits"].squeeze(-1), rtol=1e-9, atol=1e-9)
    inputs = [case[name] for name in ("image_tokens", "text_tokens", "targets")]
    assert_close(naive.released_loss(*inputs, released), case["loss"], rtol=1e-9, atol=1e-9)


def test_steps_of_the_trainer_equal_naive_loop(case, released, clip, data, path):
    """Every parameter after three steps of the recipe's optimizer: AdamW with AMSGrad.

    The third step has lower gradients, which AMSGrad notices. Like the trainer, the loop decays
    all parameters; the release spares biases and norms.
    """
    adapter = RankingAdapter.from_released(path, clip, TASK)
    adapter.net.double().load_state_dict(convert_released_tensors(released))
    config = {**released_config("coco_count").training, "epochs": 1, "learning_rate": 1e-3}
    config = TrainingConfig(**config)
    optimizer = RankingTrainer(adapter, data, data, config, None).optimizer
    weights = {name: tensor.clone().requires_grad_() for name, tensor in released.items()}
    naive_optimizer = naive.AdamW(learning_rate=1e-3, weight_decay=0.01)
    images, text = case["image_tokens"], case["text_tokens"]
    for targets in ([0.0, 4.0, 1.0], [0.0, 4.0, 1.0], [1.0, 1.0, 1.0]):
        targets = torch.tensor(targets, dtype=torch.float64)
        tokens = adapter.encode(images, text)
        heads = adapter.net.scores(tokens), adapter.net.pair_logits(tokens)
        loss = dual_loss(*heads, targets, tie_handling="zero")
        expected = naive.released_loss(images, text, targets, weights)
        assert_close(loss, expected, rtol=1e-6, atol=1e-8)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        expected.backward()
        naive_optimizer.step(weights)
    moved = convert_released_tensors(weights)
    assert moved.keys() == adapter.net.state_dict().keys()
    for name, tensor in adapter.net.state_dict().items():
        difference = (tensor - moved[name].detach()).abs().max().item()
        assert difference < 1e-8, name  # a step is 1e-3
    assert not torch.equal(moved["score_norm.bias"].detach(), released["reg_ln.bias"])
