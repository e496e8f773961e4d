"""CLIP tokenizer with a vocabulary trained on the captions."""

import json
from collections.abc import Iterator

from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from ...synthetic.captions import captions, table
from ...synthetic.grammar import SLOT
from ...synthetic.rendering import TASKS
from ...synthetic.vocabulary import COLOURS, OBJECTS
from ...tasks import load_task
from .image_pool import ImagePool

START, END = "<|startoftext|>", "<|endoftext|>"
CONTEXT_LENGTH = 77
# The first blocks of the pool, two of them of counting, none of quality, whose words are all in
# the caption grammar. Changing it changes the vocabulary, and so invalidates all checkpoints.
NUM_BLOCKS = 4
WORD_END = "</w>"
# Captions are sampled with count_caption_fraction 0.5, so that number words are included.
CAPTION_SEEDS = range(8)
# Far above the size that the captions need: as in CLIP, each of their words is one token.
VOCAB_SIZE_LIMIT = 4096


def build_tokenizer(pool: ImagePool) -> CLIPTokenizer:
    """Train a tokenizer on captions of the first pool images and on all words of the tasks.

    It depends neither on the config nor on the size of the pool, so that all runs share it. Every
    byte has a token, so that any text can be tokenized.
    """
    return train_tokenizer([*_sample_captions(pool), *_task_vocabulary()])


def train_tokenizer(texts: list[str]) -> CLIPTokenizer:
    """Train a byte-pair encoding in CLIP's format, independent of the order of the texts.

    Token ids are ordered as in OpenAI's tokenizer: bytes, word-final bytes, merges in the order
    of training, start, end.

    Example:
        >>> tokenizer = train_tokenizer(["a red star", "a red anchor", "stars"])
        >>> tokenizer.tokenize("A red stars")
        ['a</w>', 'red</w>', 'stars</w>']
        >>> tokenizer.decode(tokenizer("an ant")["input_ids"], skip_special_tokens=True)
        'an ant'
    """
    alphabet = sorted(ByteLevel.alphabet())
    single_bytes = [*alphabet, *(byte + WORD_END for byte in alphabet)]
    # As special tokens, the bytes get the first ids in this order. Otherwise the trainer orders
    # the word-final ones randomly, and breaks ties between merges by these ids.
    trainer = BpeTrainer(
        vocab_size=VOCAB_SIZE_LIMIT, special_tokens=single_bytes, end_of_word_suffix=WORD_END,
        show_progress=False,
    )  # fmt: skip
    backend = CLIPTokenizer(vocab={START: 0, END: 1}, merges=[]).backend_tokenizer
    backend.train_from_iterator(texts, trainer)
    ids = backend.get_vocab(with_added_tokens=False)
    tokens = [*sorted(ids, key=ids.get), START, END]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT_LENGTH)


def _sample_captions(pool: ImagePool) -> Iterator[str]:
    for block in pool.blocks[:NUM_BLOCKS]:
        task, values, metadata = pool.labels(block)
        for seed in CAPTION_SEEDS:
            yield from captions(metadata, values, task, count_caption_fraction=0.5, seed=seed)


def _task_vocabulary() -> Iterator[str]:
    """Yield everything that captions and prompts can contain, including rare words."""
    for noun in OBJECTS:
        yield from (noun.singular, noun.plural)
    for task in map(load_task, TASKS):
        yield from (*task.prompts(), *task.bin_prompts(), *COLOURS)
    for text in _strings(table()):
        yield SLOT.sub(" ", text)


def _strings(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, list | dict):
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from _strings(part)
