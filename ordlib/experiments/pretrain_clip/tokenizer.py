"""pico-clip's tokenizer: CLIP's own kind, its vocabulary trained on what captions can say."""

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
CONTEXT = 77
# The pool's first blocks, two of them of counted objects and none of quality, whose words the
# table holds anyway. Another number gives another vocabulary, and so other checkpoints.
SAMPLED = 4
WORD_END = "</w>"
# Seeds of captions to count words in: a dose of one half, so that numbers count as well.
CAPTION_SEEDS = range(8)
# Far above what the captions need: each of their words becomes one token, as in CLIP's.
VOCAB_SIZE_LIMIT = 4096


def build_tokenizer(pool: ImagePool) -> CLIPTokenizer:
    """A tokenizer trained on captions of the pool's first pictures and on every word of the tasks.

    It depends on the world alone, neither on dose, seed nor the pool's size, so that all runs
    share it. Every byte has a token: text of any kind can be tokenized, if not understood.
    """
    return train_tokenizer([*_captions(pool), *_words()])


def train_tokenizer(texts: list[str]) -> CLIPTokenizer:
    """A byte-pair encoding in CLIP's format, trained on texts.

    Numbers are given as in OpenAI's tokenizer: bytes, bytes that end a word, merges in the order
    of training, start, end. The order of the texts makes no difference.

    Example:
        >>> tokenizer = train_tokenizer(["a red star", "a red anchor", "stars"])
        >>> tokenizer.tokenize("A red stars")
        ['a</w>', 'red</w>', 'stars</w>']
        >>> tokenizer.decode(tokenizer("an ant")["input_ids"], skip_special_tokens=True)
        'an ant'
    """
    letters = sorted(ByteLevel.alphabet())
    singles = [*letters, *(letter + WORD_END for letter in letters)]
    # Told as special tokens, the single bytes come first in the order given. Left to itself the
    # trainer numbers those that end a word at random, and lets ties hang on the numbers.
    trainer = BpeTrainer(
        vocab_size=VOCAB_SIZE_LIMIT,
        special_tokens=singles,
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    learner = CLIPTokenizer(vocab={START: 0, END: 1}, merges=[]).backend_tokenizer
    learner.train_from_iterator(texts, trainer)
    tokens = sorted(numbers := learner.get_vocab(with_added_tokens=False), key=numbers.get)
    vocabulary = {token: i for i, token in enumerate([*tokens, START, END])}
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT)


def _captions(pool: ImagePool) -> Iterator[str]:
    for block in pool.blocks[:SAMPLED]:
        task, values, records = pool.labels(block)
        for seed in CAPTION_SEEDS:
            yield from captions(records, values, task, count_caption_fraction=0.5, seed=seed)


def _words() -> Iterator[str]:
    """Yield all that captions and prompts may say, were it ever so rarely."""
    for noun in OBJECTS:
        yield from (noun.singular, noun.plural)
    for task in map(load_task, TASKS):
        yield from (*task.prompts(), *task.bin_prompts(), *COLOURS)
    for text in _texts(table()):
        yield SLOT.sub(" ", text)


def _texts(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, list | dict):
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from _texts(part)
