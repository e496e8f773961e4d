import numpy as np
import pytest

from ordlib.experiments.pretrain_clip.captioning import CaptionGenerator
from ordlib.synthetic.captions import captions
from ordlib.utils.cache import content_hash


@pytest.fixture
def say(pool, tokenizer):
    def texts(dose: float, epoch: int = 0, seed: int = 0, spurious: float | None = None):
        captioner = CaptionGenerator(pool, tokenizer.backend_tokenizer, dose, spurious, seed)
        ids, counted = captioner.epoch(epoch, workers=1)
        assert len(ids) == len(counted) == 96
        return tokenizer.batch_decode(ids, skip_special_tokens=True), counted

    return texts


def test_each_picture_gets_a_caption_of_its_own(say, pool):
    said, _ = say(count_caption_fraction=1.0, distractor_number_fraction=0.0)
    for block in (0, 2, 4):
        _, values, records = pool.labels(block)
        for row in range(16):
            noun = records["object" if values[row] == 1 else "plural"][row]
            assert noun.lower() in said[16 * block + row]


def test_captions_are_those_of_the_world(say, pool):
    said, _ = say(count_caption_fraction=0.3, epoch=2, seed=5, distractor_number_fraction=0.6)
    for block in pool.blocks:
        task, values, records = pool.labels(block)
        expected = captions(records, values, task, 0.3, int(content_hash(5, 2, block), 16), 0.6)
        for text, caption in zip(said[16 * block : 16 * block + 16], expected, strict=True):
            assert text.replace(" ", "") == caption.replace(" ", "").lower()


def test_the_dose_counts_and_changes_nothing_else(say):
    without, none = say(count_caption_fraction=0.0)
    half, some = say(count_caption_fraction=0.5)
    everything, all_ = say(count_caption_fraction=1.0)
    assert not none.any()
    assert all_.tolist() == ([True] * 16 + [False] * 16) * 3
    assert 0 < some.sum() < 48
    for i in range(96):
        assert half[i] == (everything[i] if some[i] else without[i])
        assert (half[i] != without[i]) == some[i]


def test_words_are_drawn_anew_by_epoch_and_by_seed(say):
    first, _ = say(0.0)
    assert first == say(0.0)[0]
    for other in (say(0.0, epoch=1)[0], say(0.0, seed=1)[0]):
        assert np.mean(np.array(first) == np.array(other)) < 0.5
