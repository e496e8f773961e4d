import json
import warnings

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt  # of rich

from ordlib.components import io
from ordlib.components.io import load_checkpoint, save_checkpoint
from ordlib.components.model_card import escape, is_generated, model_card

TASK = {"name": "toast", "unit": "minutes", "rank_names": ["white", "golden", "burnt"]}
BACKBONE = {"name": "openai/clip-vit-base-patch32", "sha256": "a" * 64}
CONFIG = {"method": "NumCLIP", "task": TASK, "backbone": BACKBONE}
CARD = {
    "description": "NumCLIP on slices.", "license": "cc-by-4.0", "training_data": "90 images",
    "metrics": {"mae": 0.5, "kappa": None, "accuracy": 0.75, "by": "3 folds"},
    "intervals": {"mae": [0.4, 0.625], "accuracy": [None, 1]}, "num_images": {"test": 1200},
    "command": "ordlib train numclip --output `x`",
}  # fmt: skip
HOSTILE = [
    "---\nlicense: evil\n---\n# x", "a: b", "- a", "[x](http://evil.example)", "<script>x</script>",
    "![x](http://evil.example/x.png)", "| a | b |", "`x`", "@someone #1 www.evil.example",
    "\x1b[31mred", "{{ 7 }}", "*a* _b_ ~~c~~ $x$ &lt;", "null", "1e5", "\u202egnp", "\\", "'\"",
    "<!-- Written by ordlib, sha256 " + "0" * 64, "```\n# x", "\u2028x", "",
]  # fmt: skip


def parts(text):
    """Header and text; the card must be one that the hub's client reads."""
    card = ModelCard(text)
    return yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n")), card.text


@pytest.mark.parametrize("split", [{}, {"split": "test"}])
def test_header_holds_what_is_known(split):
    card = CARD | {"data": {split["split"]: "slices-test"} if split else "all slices"}
    header, text = parts(model_card("toast-numclip", CONFIG, card))
    results = header.pop("model-index")
    assert header == {
        "base_model": BACKBONE["name"], "library_name": "ordlib", "license": "cc-by-4.0",
        "metrics": ["mae", "accuracy"], "pipeline_tag": "image-classification",
        "tags": ["ordlib", "ordinal-regression", "clip", "numclip"],
    }  # fmt: skip
    (result,) = results[0]["results"]
    assert results[0]["name"] == "toast-numclip"
    assert result["dataset"] == {"name": "toast", "type": "custom"} | split
    assert {m["type"]: m["value"] for m in result["metrics"]} == {"mae": 0.5, "accuracy": 0.75}
    for expected in (
        "# toast-numclip", "NumCLIP on slices.", "3 ranks from white to burnt, in minutes",
        "| MAE (minutes) | 0.5 | 0.4 to 0.625 |", "| accuracy | 0.75 |  |", "| by | 3 folds |  |",
        "\n\n    ordlib train numclip --output `x`\n", "Training data: 90 images", "a" * 64,
        "## Results on test, 1,200 images\n" if split else "## Results\n",
        "model = load_component('toast-numclip')",
        "**Intended use:**", "**Data:**", "**Licence:** cc-by-4.0", "**Limits:**",
    ):  # fmt: skip
        assert expected in text


def test_a_ranking_adapter_is_used_with_a_prompt():
    prompts = {"toast": ["Rank by 'toast'.", "From white to burnt."], "bread": ["x"]}
    config = {"method": "RankingAdapter", "tasks": [TASK], "prompt_templates": prompts}
    text = model_card("x", config, {})
    assert """print(rank("folder/of/images", "Rank by 'toast'.", model=model))""" in text
    assert "from ordlib import load_component, rank\n" in text


@pytest.mark.parametrize(
    "backbone", ["pico-clip", "open_clip:ViT-B-32", "/home/me/clip", "", "a/b/c"]
)
def test_header_of_what_is_not_known(backbone):
    config = {"method": "CoOp", "task": TASK, "backbone": BACKBONE | {"name": backbone}}
    header, text = parts(model_card("x", config, {"metrics": "good", "license": 3}))
    assert header.keys() == {"library_name", "license", "pipeline_tag", "tags"}
    assert header["license"] == "unknown"
    assert "/home/me" not in text
    assert "none is given, so nobody may use the model" in text


def test_base_model_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / BACKBONE["name"]).mkdir(parents=True)
    assert "base_model" not in parts(model_card("x", CONFIG, {}))[0]


def test_card_of_several_tasks_and_of_none():
    config = {"method": "RankingAdapter", "tasks": [TASK, TASK | {"name": "tea"}]}
    header, text = parts(model_card("x", config, CARD))
    assert "model-index" not in header
    assert "Task tea" in text
    header, text = parts(model_card("x", {"method": "PixelRidge", "task": TASK}, {}))
    assert header["tags"] == ["ordlib", "ordinal-regression", "pixelridge"]
    assert "CLIP" not in text
    parts(model_card("x", {}, {}))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_and_labels_are_escaped(hostile):
    markdown = MarkdownIt("gfm-like", {"linkify": False})
    task = {"name": hostile, "unit": hostile, "values": [hostile, hostile]}
    config = {"method": "CoOp", "task": task, "backbone": {"name": hostile, "sha256": "0"}}
    card = {"description": hostile, "training_data": hostile, "metrics": {hostile: 1.0}}
    plain = {"description": "x", "training_data": "x", "metrics": {"x": 1.0}}
    fine = model_card("x", {**config, "task": TASK, "backbone": BACKBONE}, plain)
    text = model_card(hostile, config, card)
    header, body = parts(text)
    shown = " ".join("".join(c if c.isprintable() else " " for c in hostile).split())
    assert header["license"] == "unknown"
    assert header["metrics"] == [shown]
    assert header["model-index"][0]["results"][0]["dataset"]["name"] == (shown or "")
    # Markdown of the same structure, in which the texts are text.
    tokens, expected = (
        [(t.type, t.tag) for t in markdown.parse(c)] for c in (body, parts(fine)[1])
    )
    assert tokens == expected
    inline = [child for t in markdown.parse(body) for child in t.children or ()]
    kinds = {"text", "text_special", "strong_open", "strong_close", "code_inline", "softbreak"}
    assert {child.type for child in inline} <= kinds
    rendered = "".join(child.content for child in inline if child.type.startswith("text"))
    assert rendered.count(shown) >= 5
    assert not set(text) & {"\x1b", "\u202e", "\u2028"}


def test_escape_leaves_plain_text():
    assert (
        escape("Ripe or not (3.5 %), that is 1-2; a+b") == "Ripe or not (3.5 %), that is 1-2; a+b"
    )


@pytest.fixture
def save(tmp_path):
    def save(seed):
        config = {"method": "A", "seed": seed}
        save_checkpoint(
            tmp_path / "mine", config, {"x": torch.ones(seed)}, {"description": f"{seed}."}
        )

    return save


def test_generated_readme_is_replaced(save, tmp_path):
    readme = tmp_path / "mine" / "README.md"
    save(1)
    assert "1." in readme.read_text()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(2)
    assert "2." in readme.read_text()
    assert "1." not in readme.read_text()


EDITS = {
    "a word": lambda text: text.replace("what the model is for", "counts toast"),
    "a line more": lambda text: text + "More.\n",
    "line ends": lambda text: text.replace("\n", "\r\n"),
    "its own": lambda text: "# Mine\n",
    "nothing": lambda text: "",
    "marked like a generated one": lambda text: text.replace("1.", "2."),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_readme_is_kept(edit, save, tmp_path):
    save(1)
    readme = tmp_path / "mine" / "README.md"
    edited = EDITS[edit](readme.read_bytes().decode()).encode()
    readme.write_bytes(edited)
    with pytest.warns(UserWarning, match=r"mine/README.md has been edited and is kept.*Delete it"):
        save(2)
    assert readme.read_bytes() == edited
    assert load_checkpoint(readme.parent)[0]["seed"] == 2
    assert len(list(readme.parent.iterdir())) == 4
    readme.unlink()
    save(3)
    assert "3." in readme.read_text()


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link"])
def test_readme_of_another_kind_is_kept(kind, save, tmp_path):
    save(1)
    readme, target = tmp_path / "mine" / "README.md", tmp_path / "elsewhere.md"
    readme.rename(target) if kind == "link" else readme.unlink()
    readme.mkdir() if kind == "folder" else readme.symlink_to(target)
    with pytest.warns(UserWarning, match="is kept"):
        save(2)
    assert not is_generated(readme)
    assert readme.is_dir() if kind == "folder" else readme.is_symlink()


def test_readme_edited_after_an_interrupted_save_is_kept(save, tmp_path, monkeypatch):
    save(1)
    readme = tmp_path / "mine" / "README.md"
    with monkeypatch.context() as patch:
        real = io._complete
        calls = []
        patch.setattr(io, "_complete", lambda folder: calls or real(folder) or calls.append(1))
        save(2)  # stops before the last step
    assert json.loads((tmp_path / "mine" / "config.json").read_text())["seed"] == 2
    assert load_checkpoint(tmp_path / "mine")[1]["x"].shape == (2,)
    readme.write_text("edited\n")
    with pytest.warns(UserWarning, match="is kept"):
        save(3)
    assert readme.read_text() == "edited\n"
