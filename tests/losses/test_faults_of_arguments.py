"""Odd tensors in losses: torch would broadcast some shapes, and leave out labels of -100."""

import pytest
import torch

from ordlib.losses import (
    batch_ordinal_pairwise,
    corn_loss,
    diversity,
    dual_loss,
    fcrc,
    l2rclip_loss,
    ordinal_pairwise,
    text_to_image_kl,
    tightness,
)

LOGITS = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
RANKS = torch.tensor([0, 1, 2, 4])
IMAGES, TEXTS, RANK_VALUES = LOGITS[:, :3], torch.eye(5)[:, :3] + 0.1, torch.arange(5.0)
CLASSIFICATION = [fcrc, text_to_image_kl, corn_loss]
PAIRWISE = {
    tightness: ("ranks",), diversity: ("values", "rank_values"),
    ordinal_pairwise: ("ranks", "values", "rank_values"),
    batch_ordinal_pairwise: ("ranks", "values"),
    l2rclip_loss: ("ranks", "values", "rank_values"),
}  # fmt: skip


def pairwise(function, **changes):
    labels = {"ranks": RANKS, "values": RANKS.float(), "rank_values": RANK_VALUES} | changes
    options = {"logit_scale": 10.0} if function is l2rclip_loss else {}
    return function(IMAGES, TEXTS, **{name: labels[name] for name in PAIRWISE[function]}, **options)


INVALID = [
    (-RANKS, r"has -4; expected 0 to"), (torch.full((4,), -100), "has -100; expected 0 to"),
    (torch.tensor([0, 1, 2, -100]), "has -100"), (RANKS + 3, "has 7"), (RANKS.float(), "integers"),
    (RANKS[:3], r"shape \(3,\); expected \(4,\)"), (RANKS[:, None], r"shape \(4, 1\)"),
    (RANKS[0], r"shape \(\)"), (RANKS.numpy(), "is a ndarray"), ([0, 1, 2, 4], "is a list"),
    (None, "is a NoneType"),
]  # fmt: skip


@pytest.mark.parametrize("loss", CLASSIFICATION)
@pytest.mark.parametrize(("labels", "message"), INVALID)
def test_labels_are_validated(loss, labels, message):
    with pytest.raises((TypeError, ValueError), match=f"^(bins|ranks): .*{message}"):
        loss(LOGITS, labels)


@pytest.mark.parametrize("loss", [x for x in PAIRWISE if x is not diversity])
@pytest.mark.parametrize(("labels", "message"), INVALID)
def test_ranks_are_validated(loss, labels, message):
    with pytest.raises((TypeError, ValueError), match=f"^ranks: .*{message}"):
        pairwise(loss, ranks=labels)


@pytest.mark.parametrize("loss", [x for x in PAIRWISE if x is not tightness])
@pytest.mark.parametrize("values", [RANKS[:, None].float(), RANKS[:1].float(), RANKS[0].float()])
def test_values_are_not_broadcast(loss, values):
    with pytest.raises(ValueError, match=r"^values: shape .*; expected \(4,\)"):
        pairwise(loss, values=values)


@pytest.mark.parametrize("loss", [diversity, ordinal_pairwise, l2rclip_loss])
@pytest.mark.parametrize("values", [RANK_VALUES[:1], RANK_VALUES[:3], RANK_VALUES[None]])
def test_rank_values_are_not_broadcast(loss, values):
    with pytest.raises(ValueError, match=r"^rank_values: shape .*; expected \(5,\)"):
        pairwise(loss, rank_values=values)


@pytest.mark.parametrize("loss", [x for x in PAIRWISE if x is not tightness])
def test_integer_labels_equal_floats(loss):
    assert torch.equal(pairwise(loss, values=RANKS), pairwise(loss))


@pytest.mark.parametrize("kind", [torch.int64, torch.uint8])
@pytest.mark.parametrize("loss", CLASSIFICATION)
def test_unusual_tensors_give_equal_losses(loss, kind):
    strided = LOGITS.T.contiguous().T
    repeated = RANKS.to(kind).repeat_interleave(2)[::2]
    assert torch.equal(loss(strided, repeated), loss(LOGITS, RANKS))


def test_losses_of_no_image_are_errors():
    for loss in CLASSIFICATION:
        with pytest.raises(ValueError, match="is empty; a loss needs at least one image"):
            loss(LOGITS[:0], RANKS[:0])
    with pytest.raises(ValueError, match="is empty"):
        tightness(IMAGES[:0], TEXTS, RANKS[:0])
    with pytest.raises(ValueError, match="is empty"):
        dual_loss(LOGITS[:0, 0], None, LOGITS[:0, 0])


def test_losses_of_one_image_are_finite():
    for loss in CLASSIFICATION:
        assert loss(LOGITS[:1], RANKS[:1]).isfinite()
    one = torch.ones(1)
    assert dual_loss(one, torch.zeros(1, 1), one).item() == 0
    assert batch_ordinal_pairwise(IMAGES[:1], TEXTS, RANKS[:1], one).isfinite()


SCORES, PAIRS, TARGETS = LOGITS[:, 0], torch.zeros(4, 4), torch.tensor([0.0, 1, 1, 2])


@pytest.mark.parametrize(("arguments", "message"), [
    ((SCORES[:, None], PAIRS, TARGETS), r"scores: shape \(4, 1\)"),
    ((SCORES, PAIRS, TARGETS[:, None]), r"targets: shape \(4, 1\)"),
    ((SCORES, PAIRS, TARGETS[:1]), r"targets: shape \(1,\)"),
    ((SCORES, PAIRS[0], TARGETS), r"logits: shape \(4,\); expected \(4, 4\)"),
    ((SCORES, PAIRS[:3, :3], TARGETS), r"logits: shape \(3, 3\)"),
    ((SCORES, PAIRS[:, :1], TARGETS), r"logits: shape \(4, 1\)"),
    ((SCORES, PAIRS, TARGETS.numpy()), "targets: is a ndarray"),
])  # fmt: skip
def test_dual_loss_broadcasts_nothing(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        dual_loss(*arguments)


@pytest.mark.parametrize(("logits", "components"), [(PAIRS, ()), (None, ("ranking",))])
def test_dual_loss_needs_a_term(logits, components):
    with pytest.raises(ValueError, match=r"components = .*: no term is left"):
        dual_loss(SCORES, logits, TARGETS, components=components)
