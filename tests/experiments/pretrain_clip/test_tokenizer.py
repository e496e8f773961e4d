import random

import pytest
from transformers import AutoTokenizer

from ordlib.experiments.pretrain_clip.tokenizer import train_tokenizer
from ordlib.synthetic.captions import captions
from ordlib.synthetic.rendering import TASKS
from ordlib.tasks import load_task


def normalized(text: str) -> str:
    return text.replace(" ", "").lower()


@pytest.mark.parametrize("fraction", [0, 1])
def test_build_tokenizer_round_trips_captions(tokenizer, pool, fraction):
    for block in pool.blocks:
        task, values, metadata = pool.labels(block)
        for caption in captions(metadata, values, task, fraction, seed=99):
            ids = tokenizer(caption)["input_ids"]
            assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
            decoded = tokenizer.decode(ids, skip_special_tokens=True)
            assert normalized(decoded) == normalized(caption)


@pytest.mark.parametrize("name", TASKS)
def test_build_tokenizer_has_a_token_for_each_word_of_a_task(tokenizer, name):
    task = load_task(name)
    texts = [*task.prompts(), *task.bin_prompts(), *sum(task.placeholders.values(), ())]
    words = {word for text in texts for word in text.replace(",", " ").replace(":", " ").split()}
    for word in words - set(map(str, task.values)):
        assert tokenizer.tokenize(word) == [f"{word.lower()}</w>"]


@pytest.mark.parametrize("text", ["Zürich, 3 Möwen!", "日本", "<|x|> @#", "supercalifragilistic"])
def test_build_tokenizer_round_trips_any_text(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.eos_token_id not in ids[1:-1]
    assert normalized(tokenizer.decode(ids, skip_special_tokens=True)) == normalized(text)


def test_build_tokenizer_saves_and_loads(tokenizer, pool, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    task, values, metadata = pool.labels(0)
    texts = captions(metadata, values, task, 0.5)
    assert loaded(texts)["input_ids"] == tokenizer(texts)["input_ids"]
    assert loaded.model_max_length == 77
    assert (loaded.bos_token_id, loaded.eos_token_id) == (len(loaded) - 2, len(loaded) - 1)
    assert loaded.pad_token_id == loaded.eos_token_id


def test_train_tokenizer_ignores_the_order_of_texts():
    texts = [f"{a} {b}" for a in ("star", "stars", "cat", "cats") for b in ("ab", "ba", "bb")] * 3
    first = train_tokenizer(texts).backend_tokenizer.to_str()
    random.Random(0).shuffle(texts)
    assert train_tokenizer(texts).backend_tokenizer.to_str() == first
