"""docs/recipes.md: settings of the released codes, with sources and tests.

Run as a script, it writes the page.
"""

from dataclasses import fields
from importlib import import_module
from pathlib import Path

from ordlib import TrainingConfig
from ordlib.methods import find_method
from ordlib.methods.recipe import Recipe

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
# Method: module of `released_config`, released repository, data sets that differ, test of parity.
METHODS = {
    "NumCLIP": ("numclip", "xmed-lab/NumCLIP", ("morph", "hci", "aesthetics")),
    "OrdinalCLIP": ("ordinalclip", "xk-huang/OrdinalCLIP", ("morph",)),
    "CoOp": ("coop", "xk-huang/OrdinalCLIP", ("morph",)),
    "L2RCLIP": ("l2rclip", "raywang335/L2RCLIP", ("morph",)),
    "RankingAdapter": (
        "ranking_adapter.recipe",
        "uynaes/RankingAwareCLIP",
        ("coco_count", "adience"),
    ),
}
WHOLE, LOSSES, ADAPTER = "test_whole_models.py", "test_losses.py", "test_ranking_adapter.py"
# Test in tests/parity that compares the setting with the release's numbers or a plain loop.
PARITY = {
    "NumCLIP": {
        **dict.fromkeys(("fcrc_form", "text_to_image_loss"), f"{LOSSES}, {WHOLE}"),
        **dict.fromkeys(("regressor", "min_divisor"), f"{LOSSES}, {WHOLE}"),
        **dict.fromkeys(("bin_anchor", "scale_anchors", "scale_error", "loss_weights"), WHOLE),
        **dict.fromkeys(("suffix", "template", "tune_bin_embeddings", "tune_context"), WHOLE),
        **dict.fromkeys(("adapter", "image_encoder", "optimizer"), WHOLE),
    },
    "OrdinalCLIP": {
        **dict.fromkeys(("num_base_ranks", "interpolation_type", "suffix"), WHOLE),
        **dict.fromkeys(("image_encoder", "adapter", "optimizer"), WHOLE),
    },
    "L2RCLIP": dict.fromkeys(("pairwise_loss", "gamma"), f"{LOSSES}, {WHOLE}")
    | {"image_encoder": WHOLE},
    "RankingAdapter": {
        **dict.fromkeys(("use_cls_token", "text_positions", "project_text"), ADAPTER),
        **dict.fromkeys(("num_layers", "projection_bias", "learnable_tokens"), ADAPTER),
        **dict.fromkeys(("num_learnable_tokens", "num_relational_tokens"), ADAPTER),
        **dict.fromkeys(("pairwise_head", "loss_components", "tie_handling"), ADAPTER),
    },
}
INTRODUCTION = """# The papers' recipes

`released_config(dataset)` gives the settings of a paper's released code as a `Recipe`: the options
of the method, the fields of `TrainingConfig`, the `resize` of the backbone, where each was read,
what the release does not say, and what it does that ordlib does not.

```python
from ordlib import fit, load_clip, load_published
from ordlib.methods.numclip import released_config

recipe = released_config("hci")
data = load_published("hci", "path/to/HCI", fold=0)
clip = load_clip("openai/clip-vit-base-patch16", resize=recipe.resize)
model = recipe.build(clip, data["train"].task)
fit(model, data["train"], data["val"], recipe.training)
```

Nobody has repeated a paper's printed numbers with these recipes yet: that needs the data sets and a
GPU. What is tested is that the computation is the same: the last column names the test, in
`tests/parity/`, that compares a setting with numbers of the released code, or with a plain loop
written from its description. "Default" is ordlib's own.
"""


def load_recipe(method: str, dataset: str) -> Recipe:
    return import_module(f"ordlib.methods.{METHODS[method][0]}").released_config(dataset)


def defaults(method: str) -> dict[str, object]:
    """Defaults of the method's options and of training, by name."""
    module = import_module(find_method(method).__module__)
    config = getattr(module, f"{method}Config")
    found = {field.name: field.default for field in (*fields(config), *fields(TrainingConfig))}
    return found | {"resize": "crop", "prompt_templates": "of the task"}


def page() -> str:
    parts = [INTRODUCTION]
    for method, (module, repository, datasets) in METHODS.items():
        recipes = {name: load_recipe(method, name) for name in datasets}
        parts.append(_section(method, module, repository, recipes))
    return "\n".join(parts)


def _section(method: str, module: str, repository: str, recipes: dict[str, Recipe]) -> str:
    first, ours = next(iter(recipes.values())), defaults(method)
    title = f"## {method}\n\n`ordlib.methods.{module}.released_config`, from {repository}.\n\n"
    rows = ["| setting | released | default | read from | tested by |", "|---|---|---|---|---|"]
    names = dict.fromkeys(name for recipe in recipes.values() for name in recipe.sources)
    for name in names:
        values = {key: _value(recipe, name) for key, recipe in recipes.items()}
        shown = _code(next(iter(values.values())))
        if len(set(map(repr, values.values()))) > 1:
            shown = "; ".join(f"{key}: {_code(value)}" for key, value in values.items())
        source = first.sources.get(name) or list(recipes.values())[-1].sources[name]
        test = PARITY.get(method, {}).get(name, "")
        rows.append(f"| `{name}` | {shown} | {_code(ours[name])} | {source} | {test} |")
    lists = []
    notes = dict.fromkeys(note for recipe in recipes.values() for note in recipe.unknown)
    for heading, items in (("Not said by the release", notes), ("Differs", first.differences)):
        if items:
            lists.append(f"\n{heading}:\n\n" + "\n".join(f"* {item}" for item in items))
    return title + "\n".join(rows) + "\n" + "\n".join(lists) + "\n"


def _value(recipe: Recipe, name: str) -> object:
    settings = {**recipe.options, **recipe.training, "resize": recipe.resize}
    return settings.get(name, "of the task")


def _code(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return value if value == "of the task" else f"`{text}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
