"""Options of the released code: validation, and what each of them changes."""

import numpy as np
import pandas as pd
import pytest
import torch

from ordlib import ImageData, OrdinalTask, RankingAdapter, load_clip, load_component
from ordlib.losses import dual_loss
from ordlib.methods.ranking_adapter.config import RankingAdapterConfig
from ordlib.methods.ranking_adapter.label_scaler import LabelScaler
from ordlib.training.sampling import sample_ranking_batches

THINGS = OrdinalTask(name="things", unit="things", values=(0, 1, 2, 3, 5))
RAW = {"standardize_targets": False}


@pytest.fixture(scope="module")
def even_clip(even_clip_folder):
    return load_clip(even_clip_folder, "cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_positions": "padded"}, "text_positions = 'padded': must be one of sentence, all"),
        ({"num_layers": 0}, "num_layers = 0: must be 1 or more"),
        ({"num_learnable_tokens": 0}, "num_learnable_tokens = 0: must be 1 or more"),
        ({"num_relational_tokens": 2.5}, "num_relational_tokens = 2.5: must be an integer"),
        ({"loss_components": ()}, r"loss_components = \(\): must be one or more of regression, r"),
        ({"loss_components": "ranking"}, "loss_components = 'ranking': must be one or more of"),
        ({"loss_components": ("bce",)}, r"loss_components = \('bce',\): must be one or more of"),
        ({"loss_components": ("regression", "ranking", "presence")}, "set standardize_targets=Fal"),
        ({"loss_components": ("regression",)}, "would not train pairwise_head = 'relational'; set"),
        ({"loss_components": ("ranking",)}, "would not train the score .* add 'regression'"),
    ],
)
def test_config_refuses_invalid_option(options, message):
    with pytest.raises(ValueError, match=message):
        RankingAdapterConfig(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"loss_components": ["regression"], "pairwise_head": "none"},
        {"loss_components": ["ranking"], "pairwise_head": "score_difference"},
        {"loss_components": ["presence", "ranking"], **RAW},
    ],
)
def test_config_accepts_components_that_train_everything(options):
    config = RankingAdapterConfig(**options)
    assert config.loss_components == tuple(options["loss_components"])


@pytest.mark.parametrize(
    ("options", "length"), [({}, None), ({"text_positions": "all"}, 77)], ids=["sentence", "all"]
)
def test_text_positions_are_what_the_network_attends_to(tiny_clip, options, length):
    adapter = RankingAdapter(tiny_clip, THINGS, **options)
    tokens = adapter.encode_prompt("one star")
    reference, mask = tiny_clip.text_token_features(["one star"], all_positions=bool(length))
    assert torch.equal(tokens, reference[0])
    assert len(tokens) == (length or mask.sum()) > 3


def test_unprojected_text_requires_equal_widths(tiny_clip, even_clip):
    message = (
        r"project_text = False: .*tiny-clip has image tokens of width 24 and text tokens of width "
        r"32; take a CLIP whose widths are equal, or project_text=True"
    )
    with pytest.raises(ValueError, match=message):
        RankingAdapter(tiny_clip, THINGS, project_text=False)
    net = RankingAdapter(even_clip, THINGS, project_text=False).net
    tokens = torch.randn(5, 16)
    assert torch.equal(net.text_projection(tokens), tokens)
    assert not [name for name, _ in net.named_parameters() if "text_projection" in name]


def test_sizes_are_those_of_the_network(tiny_clip):
    sizes = {"num_layers": 3, "num_learnable_tokens": 5, "num_relational_tokens": 7}
    net = RankingAdapter(tiny_clip, THINGS, projection_bias=False, **sizes).net
    assert len(net.cross_modal_blocks) == len(net.encoder) == 3
    assert net.learnable_tokens.shape == (5, 24)
    assert net.pairwise_head.relational_tokens.shape == (7, 24)
    assert net.projection[1].bias is None


@torch.no_grad()
def test_loss_has_the_chosen_components(tiny_clip):
    components = ("regression", "presence", "ranking")
    adapter = RankingAdapter(tiny_clip, THINGS, loss_components=components, **RAW)
    tokens = torch.randn(4, 16, 24, generator=torch.Generator().manual_seed(2))
    targets = torch.tensor([0.0, 5, 1, 0])
    heads = adapter.net.scores(tokens), adapter.net.pair_logits(tokens)
    expected = dual_loss(*heads, targets, components=components)
    assert torch.equal(adapter.loss(tokens, targets), expected)
    assert not torch.equal(expected, dual_loss(*heads, targets))


def test_raw_targets_are_labels_and_scores_are_predictions(tiny_clip, noise_images):
    values = np.array([0.0, 1, 2, 3, 5, 5, 1])
    data = ImageData(THINGS, noise_images, values, pd.DataFrame(index=range(7)), "raw", "train")
    adapter = RankingAdapter(tiny_clip, THINGS, **RAW)
    adapter.fit_label_scalers([data])
    assert adapter.label_scalers == {"things": LabelScaler.identity()}
    (batch,) = sample_ranking_batches(adapter, {"things": data}, 1, 7, seed=0, epoch=0)
    assert batch.targets.tolist() == values[batch.rows].tolist()
    scores = np.array([-1.0, 0.5, 4.0, 9.0])
    assert adapter.predict_from_scores(THINGS, scores).value.tolist() == [0, 0.5, 4, 5]


def test_options_of_the_release_are_saved(even_clip, tmp_path):
    options = {
        "text_positions": "all", "project_text": False, "num_layers": 2, "projection_bias": False,
        "learnable_tokens": "scalar", "num_learnable_tokens": 3, "num_relational_tokens": 4,
        "loss_components": ("presence", "ranking"), "tie_handling": "zero", **RAW,
    }  # fmt: skip
    adapter = RankingAdapter(even_clip, THINGS, **options)
    adapter.save_pretrained(tmp_path)
    loaded = load_component(tmp_path, even_clip)
    decided = RankingAdapterConfig(**options, use_cls_token=True)
    assert loaded.options == adapter.options == decided
    assert loaded.label_scalers == adapter.label_scalers
    for name, tensor in adapter.trainable_state_dict().items():
        torch.testing.assert_close(loaded.trainable_state_dict()[name], tensor.half().float())
