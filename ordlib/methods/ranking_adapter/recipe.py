"""Settings of the ranking-aware adapter's released code, uynaes/RankingAwareCLIP."""

from ...utils.validation import check_choice
from ..recipe import Recipe
from .network import RankingAdapterNetwork

# File of the release that each setting was read from.
_MODEL = "libs/open_clip/src/open_clip/clip_model_adapter.py"
_CONFIG = "libs/open_clip/src/open_clip/model_configs/convnext_large_d_320-adapter.json"
_COMMAND = "README.md, training command"
_SOURCES = {
    "use_cls_token": "libs/open_clip/src/open_clip/transformer.py",
    "text_positions": _MODEL,
    "project_text": _MODEL,
    "projection_bias": "libs/open_clip/src/open_clip/coca_model_adapter.py",
    "learnable_tokens": _MODEL,
    "num_layers": _CONFIG,
    "num_learnable_tokens": _CONFIG,
    "num_relational_tokens": _CONFIG,
    "pairwise_head": f"{_CONFIG}, adapter_attention_pooler",
    "loss_components": _COMMAND,
    "tie_handling": "libs/open_clip/src/open_clip/loss.py",
    "standardize_targets": "libs/open_clip/src/training/data.py",
    "negative_ratio": _COMMAND,
    "prompt_templates": "examples/example-count-df.csv",
    "learning_rate": f"{_COMMAND}, where 5e-5 stands behind --batch-size",
    "optimizer": "libs/open_clip/src/training/main.py; None is AdamW with AMSGrad",
    "weight_decay": _COMMAND,
    "schedule": "libs/open_clip/src/training/params.py, the default",
    "max_grad_norm": "libs/open_clip/src/training/params.py, no clipping by default",
    "resize": "scripts/inference.py",
}
_RELEASED_INPUT = {"use_cls_token": False, "text_positions": "all", "project_text": False}
_RELEASED_NETWORK = {
    "num_layers": 2,
    "projection_bias": False,
    "learnable_tokens": "scalar",
    "num_learnable_tokens": 32,
    "num_relational_tokens": 16,
    "pairwise_head": "relational",
}
RELEASED_TRAINING = {
    "loss_components": ("regression", "ranking"),
    "tie_handling": "zero",
    "standardize_targets": False,
    "negative_ratio": 0.2,
}
# Data sets of the release by their names in `load_published`; the prompt of the counts is known.
_PROMPT_TEMPLATES = {
    "coco_count": {"object_count": ("Rank the numbers of {category}.",)},
    **dict.fromkeys(("adience", "hci", "koniq", "ava")),
}
_UNKNOWN = (
    "epochs and warm-up steps (placeholders in the training command)",
    "batch_size (a misprint in the training command; 64 is the default of params.py)",
    "the learning rate of the printed results",
)
_DIFFERENCES = (
    "backbone: ConvNeXt-L of open_clip, its own projection replaced by a random frozen one; images "
    "of 320 pixels, mirrored at random",
    "text encoder: the token embeddings and the final norm are tuned, in spite of --lock-text",
    "initialization: the projection is left uninitialized, the heads are Xavier-normal",
    "weight decay: none for biases and norms",
    "warm-up: its length is a number of steps, not a share of them",
    "categories: all equally likely; here in proportion to their images",
    "negatives: drawn with replacement from all other rows, which may show the object",
    "scores are the predictions; here a line fitted on val turns them into labels",
    "the weights of every epoch are kept; here those of the best one on val",
)


def released_config(dataset: str) -> Recipe:
    """Return the recipe of the released code for a data set.

    Args:
        dataset: "coco_count", "adience", "hci", "koniq" or "ava", as in
            :func:`~ordlib.load_published`.

    Raises:
        ValueError: the release does not cover the data set.

    References:
        Yu et al. (2025), arXiv:2412.06760, and the released code, uynaes/RankingAwareCLIP.

    Example:
        >>> from ordlib.methods.ranking_adapter import released_config
        >>> recipe = released_config("coco_count")
        >>> recipe.options["tie_handling"], recipe.training["learning_rate"], recipe.resize
        ('zero', 5e-05, 'squash')
    """
    check_choice("dataset", dataset, _PROMPT_TEMPLATES)
    options = {**_RELEASED_INPUT, **_RELEASED_NETWORK, **RELEASED_TRAINING}
    unknown, templates = _UNKNOWN, _PROMPT_TEMPLATES[dataset]
    if templates:
        options["prompt_templates"] = templates
    else:
        unknown = (*_UNKNOWN, f"the prompt for {dataset}")
    training = {
        "learning_rate": 5e-5,
        "optimizer": None,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "max_grad_norm": None,
    }
    return Recipe(
        method="RankingAdapter",
        options=options,
        training=training,
        resize="squash",
        sources={name: _SOURCES[name] for name in (*options, *training, "resize")},
        unknown=unknown,
        differences=_DIFFERENCES,
    )


def released_network(network: RankingAdapterNetwork) -> dict[str, object]:
    """Return the options of a network of :func:`~.released.load_released_ranking_adapter`."""
    options = {
        "num_layers": len(network.cross_modal_blocks),
        "num_learnable_tokens": len(network.learnable_tokens),
    }
    head = network.pairwise_head
    if hasattr(head, "relational_tokens"):
        options["num_relational_tokens"] = len(head.relational_tokens)
    else:
        options["pairwise_head"] = "mean_difference"
    return {**_RELEASED_INPUT, **_RELEASED_NETWORK, **options}
