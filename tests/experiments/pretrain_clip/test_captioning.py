import numpy as np
import pytest

from ordlib.experiments.pretrain_clip.captioning import CaptionGenerator
from ordlib.synthetic.captions import captions
from ordlib.utils.cache import content_hash


@pytest.fixture
def generate(pool, tokenizer):
    def texts(fraction: float, epoch: int = 0, seed: int = 0, distractors: float | None = None):
        backend = tokenizer.backend_tokenizer
        captioner = CaptionGenerator(pool, backend, fraction, distractors, seed)
        ids, is_count_caption = captioner.epoch(epoch, num_workers=1)
        assert len(ids) == len(is_count_caption) == 96
        return tokenizer.batch_decode(ids, skip_special_tokens=True), is_count_caption

    return texts


def test_epoch_names_the_object_of_each_image(generate, pool):
    texts, _ = generate(1.0, distractors=0.0)
    for block in (0, 2, 4):
        _, values, metadata = pool.labels(block)
        for row in range(16):
            noun = metadata["object" if values[row] == 1 else "plural"][row]
            assert noun.lower() in texts[16 * block + row]


def test_epoch_equals_captions_per_block(generate, pool):
    texts, _ = generate(0.3, epoch=2, seed=5, distractors=0.6)
    for block in pool.blocks:
        task, values, metadata = pool.labels(block)
        expected = captions(metadata, values, task, 0.3, int(content_hash(5, 2, block), 16), 0.6)
        for text, caption in zip(texts[16 * block : 16 * block + 16], expected, strict=True):
            assert text.replace(" ", "") == caption.replace(" ", "").lower()


def test_epoch_fraction_changes_only_count_captions(generate):
    without, none = generate(0.0)
    half, some = generate(0.5)
    full, all_ = generate(1.0)
    assert not none.any()
    assert all_.tolist() == ([True] * 16 + [False] * 16) * 3
    assert 0 < some.sum() < 48
    for i in range(96):
        assert half[i] == (full[i] if some[i] else without[i])
        assert (half[i] != without[i]) == some[i]


def test_epoch_depends_on_epoch_and_seed(generate):
    first, _ = generate(0.0)
    assert first == generate(0.0)[0]
    for other in (generate(0.0, epoch=1)[0], generate(0.0, seed=1)[0]):
        assert np.mean(np.array(first) == np.array(other)) < 0.5
