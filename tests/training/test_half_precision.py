"""One step under bfloat16 autocast on the CPU, in place of CUDA's half precision."""

import pytest
import ranking_runs
import torch
import training_runs as runs

from ordlib.methods import METHODS, find_method


def step(model, inputs, targets) -> tuple[float, torch.Tensor]:
    """Loss and gradients of all trainable parameters."""
    model.zero_grad()
    loss = model.loss(model.encode(*inputs), targets)
    loss.backward()
    parameters = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad.dtype == torch.float32 for p in parameters)
    return loss.item(), torch.cat([p.grad.flatten() for p in parameters])


def check_step(model, inputs, targets) -> None:
    model.eval()  # without dropout
    expected, gradients = step(model, inputs, targets)
    with torch.autocast("cpu", torch.bfloat16):
        loss, half_gradients = step(model, inputs, targets)
    assert loss != expected
    assert loss == pytest.approx(expected, rel=0.03)
    assert half_gradients.isfinite().all()
    assert torch.cosine_similarity(gradients, half_gradients, dim=0) > 0.98


@pytest.mark.parametrize("image_encoder", ["frozen", "lora", "full"])
@pytest.mark.parametrize("method", [name for name in METHODS if name != "RankingAdapter"])
def test_step_in_bfloat16_is_near_that_in_float32(clip, method, image_encoder):
    model = find_method(method)(clip, runs.TASK, image_encoder=image_encoder)
    data = runs.make_data("train", 12)
    inputs, targets = model.make_loader(data)(range(12)), torch.tensor(data.values).float()
    check_step(model, (inputs,), targets)


@pytest.mark.parametrize("head", ["relational", "ungated", "score_difference", "none"])
def test_step_of_adapter_in_bfloat16_is_near_that_in_float32(tiny_clip_folder, head):
    components = ("regression",) if head == "none" else ("regression", "ranking")
    options = {"pairwise_head": head, "loss_components": components}
    model = ranking_runs.make_adapter(tiny_clip_folder, **options)
    data = ranking_runs.light("train", 12)
    tokens = model.image_tokens(data).float()
    targets = torch.tensor(data.values - data.values.mean()).float()
    check_step(model, (tokens, model.encode_prompt("Rank by light.")), targets)
