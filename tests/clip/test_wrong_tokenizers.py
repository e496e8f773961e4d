"""Tokenizers and preprocessing that load, but are not those that the model was trained with."""

import json
import shutil

import numpy as np
import pytest
import torch
from damage import edit_json

from ordlib import load_clip

TOKENS, TOKENIZER, PROCESSOR = (
    "tokenizer_config.json", "tokenizer.json", "preprocessor_config.json"
)  # fmt: skip
PROMPTS = ["a star", "two photo"]


@pytest.fixture
def folder(tiny_clip_folder, tmp_path):
    shutil.copytree(tiny_clip_folder, tmp_path / "clip")
    return tmp_path / "clip"


@pytest.fixture(scope="module")
def expected(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu").encode_text(PROMPTS)


def swap(a, b):
    """Exchange the ids of two tokens."""

    def change(folder):
        content = json.loads((folder / TOKENIZER).read_text())
        ids = content["model"]["vocab"]
        ids[a], ids[b] = ids[b], ids[a]
        for token in content["added_tokens"]:
            token["id"] = ids[token["content"]]
        (folder / TOKENIZER).write_text(json.dumps(content))

    return change


def openai(change):
    """Ids of OpenAI's configs, which do not say what the model was trained with."""

    def both(folder):
        edit_json("config.json", "text_config.eos_token_id", 2)(folder)
        edit_json("config.json", "text_config.bos_token_id", 0)(folder)
        change(folder)

    return both


START, END, WORD = "<|startoftext|>", "<|endoftext|>", "star</w>"
WRONG = {
    "a word as the end": edit_json(TOKENS, "eos_token", WORD),
    "the start as the end": edit_json(TOKENS, "eos_token", START),
    "the end as the start": edit_json(TOKENS, "bos_token", END),
    "a word as the start": edit_json(TOKENS, "bos_token", WORD),
    "an unknown end": edit_json(TOKENS, "eos_token", "<end>"),
    "id of a word as that of the end": swap(WORD, END),
    "id of a word as that of the start": swap(WORD, START),
    "ids of start and end": swap(START, END),
    "a word as the end, OpenAI": openai(edit_json(TOKENS, "eos_token", WORD)),
    "id of a word as that of the end, OpenAI": openai(swap(WORD, END)),
    "ids of start and end, OpenAI": openai(swap(START, END)),
    "another config": edit_json("config.json", "text_config.eos_token_id", 7),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_other_special_tokens_than_in_training(folder, change):
    change(folder)
    with pytest.raises(ValueError, match=r"the tokenizer|the EOS token") as caught:
        load_clip(folder, "cpu")
    assert str(folder) in str(caught.value)


SAME = {
    "OpenAI": openai(lambda folder: None),
    "ids null": lambda folder: [
        edit_json("config.json", f"text_config.{name}", None)(folder)
        for name in ("bos_token_id", "eos_token_id")
    ],
    **{f"{field} {value}": edit_json(TOKENS, field, value) for field, value in {
        "pad_token": "!", "unk_token": WORD, "model_max_length": 3, "padding_side": "left",
        "truncation_side": "left", "add_prefix_space": True, "do_lower_case": False,
        "errors": "strict", "add_bos_token": False, "clean_up_tokenization_spaces": True,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }.items()},
    "truncation": edit_json(TOKENIZER, "truncation", {
        "max_length": 2, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}),
    "padding": edit_json(TOKENIZER, "padding", {
        "strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "!"}),
    "dropout": edit_json(TOKENIZER, "model.dropout", 0.5),
    "no normalizer": edit_json(TOKENIZER, "normalizer", None),
    "no pre-tokenizer": edit_json(TOKENIZER, "pre_tokenizer", None),
    "no post-processor": edit_json(TOKENIZER, "post_processor", None),
    "no suffix": edit_json(TOKENIZER, "model.end_of_word_suffix", ""),
}  # fmt: skip


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_settings_that_change_no_feature(folder, expected, change):
    change(folder)
    assert torch.equal(load_clip(folder, "cpu").encode_text(PROMPTS), expected)


PIXELS = {
    "mean of 255": {"image_mean": [122, 116, 104]},
    "deviation of 255": {"image_std": [68, 66, 70]},
    "both of 255": {"image_mean": [122, 116, 104], "image_std": [68, 66, 70]},
    "not rescaled": {"rescale_factor": 1.0},
    "rescaled twice": {"rescale_factor": 1 / 255**2},
    "tiny deviation": {"image_std": [1e-6] * 3},
    "one color of 255": {"image_mean": [0.48, 116, 0.4]},
}


@pytest.mark.parametrize("fields", PIXELS.values(), ids=PIXELS)
def test_mean_and_deviation_of_other_pixels(folder, fields):
    for name, value in fields.items():
        edit_json(PROCESSOR, name, value)(folder)
    with pytest.raises(ValueError, match=r"preprocessor_config.*image_mean.*do not go together"):
        load_clip(folder, "cpu")


@pytest.mark.parametrize(
    ("mean", "std", "factor"),
    [([0.5] * 3, [0.5] * 3, 1 / 255), ([0] * 3, [1] * 3, 1 / 255), ([122] * 3, [68] * 3, 1.0)],
)
def test_other_pixels_that_go_together(folder, mean, std, factor):
    fields = {"image_mean": mean, "image_std": std, "rescale_factor": factor}
    for name, value in fields.items():
        edit_json(PROCESSOR, name, value)(folder)
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels = load_clip(folder, "cpu").preprocess([black, black + 255])
    expected = (np.array([[0.0], [255.0]]) * factor - mean) / std
    np.testing.assert_allclose(pixels.mean((2, 3)), expected, rtol=1e-5, atol=1e-6)
