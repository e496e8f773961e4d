"""The adapter equals the released one on random weights and tokens, and loads its checkpoints."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from ordlib.losses import dual_loss
from ordlib.methods.ranking_adapter.released import load_released_ranking_adapter


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
