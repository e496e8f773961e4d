"""Losses equal the released codes' on random numbers; see ``losses.json`` for their versions."""

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from ordlib.losses import fcrc, supervised_contrastive, text_to_image_kl
from ordlib.losses.contrastive import cosine_similarity_matrix
from ordlib.losses.l2rclip import batch_ordinal_pairwise, ordinal_pairwise
from ordlib.methods.numclip import Regressor
from ordlib.tasks import load_task

CASES = json.loads(Path(__file__).with_name("losses.json").read_text())["cases"]


def numclip_fcrc_released(logits, bins):
    return fcrc(logits, bins, "released")


def numclip_text_to_image_kl(logits, bins):
    return text_to_image_kl(logits, bins)


def ordinalclip_text_to_image_kl(logits, bins):
    return text_to_image_kl(logits, bins, weighted=False)


def numclip_regressor(logits, W1, b1, W2, b2):
    regressor = Regressor(logits.shape[1]).double()
    names = ("0.weight", "0.bias", "2.weight", "2.bias")
    regressor.layers.load_state_dict(dict(zip(names, (W1, b1, W2, b2), strict=True)))
    edges = load_task("utkface").bin_edges
    return regressor(logits, torch.tensor(edges, dtype=torch.float64))


def l2rclip_pairwise_stage2(image_features, text_features, ranks, levels):
    return ordinal_pairwise(image_features, text_features, ranks, levels[ranks], levels)


def l2rclip_pairwise_stage1(image_features, text_features, ranks, values):
    return batch_ordinal_pairwise(image_features, text_features, ranks, values)


def l2rclip_supervised_contrastive(image_features, text_features, ranks, logit_scale):
    logits = logit_scale * cosine_similarity_matrix(image_features, text_features[ranks])
    return supervised_contrastive(logits, ranks[:, None] == ranks)


# The released regressor does not clamp its divisor; within the clamp both are equal.
FUNCTIONS = {
    "numclip.fcrc_released": numclip_fcrc_released,
    "numclip.text_to_image_kl": numclip_text_to_image_kl,
    "ordinalclip.text_to_image_kl": ordinalclip_text_to_image_kl,
    "numclip.regressor": numclip_regressor,
    "l2rclip.pairwise_stage2": l2rclip_pairwise_stage2,
    "l2rclip.pairwise_stage1": l2rclip_pairwise_stage1,
    "l2rclip.supervised_contrastive": l2rclip_supervised_contrastive,
}


def as_tensor(value):
    tensor = torch.tensor(value)
    return tensor.double() if tensor.is_floating_point() else tensor


@pytest.mark.parametrize("name", [name for name in CASES if name != "numclip.bins_of_ages"])
def test_losses_equal_the_release(name):
    case = CASES[name]
    inputs = {key: as_tensor(value) for key, value in case["inputs"].items()}
    for key in case["gradients"]:
        inputs[key].requires_grad_()
    function = next(f for prefix, f in FUNCTIONS.items() if name.startswith(prefix))
    output = function(**inputs)
    assert_close(output, as_tensor(case["output"]), rtol=1e-6, atol=1e-6)
    output.sum().backward()
    for key, gradient in case["gradients"].items():
        assert_close(inputs[key].grad, as_tensor(gradient), rtol=1e-6, atol=1e-6)


def test_bins_equal_the_release():
    case = CASES["numclip.bins_of_ages"]
    assert load_task("utkface").bin_index(case["inputs"]["ages"]).tolist() == case["output"]
