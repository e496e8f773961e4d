"""Recipe: sources of all settings, and the model that it builds."""

import pytest

from ordlib import CORN, load_clip
from ordlib.methods.recipe import Recipe

SETTINGS = {
    "method": "CORN",
    "options": {"seed": 3},
    "training": {"epochs": 2},
    "resize": "squash",
    "sources": {"seed": "params.py", "epochs": "README.md", "resize": "data.py"},
}


def test_build_passes_options(tiny_clip_folder, uneven):
    recipe = Recipe(**SETTINGS)
    clip = load_clip(tiny_clip_folder, "cpu", resize="squash")
    model = recipe.build(clip, uneven)
    assert type(model) is CORN
    assert (model.clip, model.task, model.options.seed) == (clip, uneven, 3)
    assert recipe.build(clip, uneven, seed=4).options.seed == 4
    assert recipe.build(tiny_clip_folder, uneven).clip.resize == "squash"


def test_build_refuses_other_resize(tiny_clip, uneven):
    message = r"has resize = 'crop', the recipe 'squash'; use load_clip\(.*, resize='squash'\)"
    with pytest.raises(ValueError, match=message):
        Recipe(**SETTINGS).build(tiny_clip, uneven)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "Corn"}, "method = 'Corn': must be one of CoOp, CORN"),
        ({"resize": "stretch"}, "resize = 'stretch': must be one of crop, squash, pad"),
        ({"options": {"seed": 3, "adapter": True}}, "CORN: 'adapter' has no source"),
        ({"training": {}}, "CORN: 'epochs' is a source, but no setting"),
    ],
)
def test_recipe_refuses_invalid_field(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**SETTINGS | change)
