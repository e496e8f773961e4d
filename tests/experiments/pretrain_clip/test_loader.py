from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib.experiments.pretrain_clip.captioning import CaptionGenerator
from ordlib.experiments.pretrain_clip.loader import PairLoader


@pytest.fixture
def batches(pool, config, tokenizer):
    captioner = CaptionGenerator(
        pool,
        tokenizer.backend_tokenizer,
        config.count_caption_fraction,
        config.distractor_number_fraction,
        config.seed,
    )

    def make(rank: int = 0, processes: int = 1, **changes):
        return PairLoader(replace(config, **changes), captioner, rank, processes, workers=1)

    return make


def rows(images: torch.Tensor, pool) -> list[int]:
    """Look up by their bytes which pictures of the pool a batch holds."""
    known = {image.tobytes(): row for row, image in enumerate(pool.open())}
    return [known[image.numpy().tobytes()] for image in images]


def test_an_epoch_shows_each_picture_once_with_its_caption(batches, pool, config):
    made = batches()
    seen = list(made.start(0))
    assert len(seen) == config.steps == 12
    orders = []
    for epoch in range(3):
        ids, counted = made.captioner.epoch(epoch, workers=1)
        part = seen[4 * epoch : 4 * epoch + 4]
        order = [row for batch in part for row in rows(batch.images, pool)]
        assert sorted(order) == list(range(96))
        assert sum(batch.counted for batch in part) == counted.sum()
        for batch in part:
            for row, text in zip(rows(batch.images, pool), batch.ids, strict=True):
                assert text.tolist() == ids[row, : len(text)].tolist()
                assert (ids[row, len(text) :] == ids[0, -1]).all()
        orders.append(order)
    assert orders[0] != orders[1]


def test_texts_are_cut_to_the_longest_and_keep_their_end(batches, tokenizer):
    for batch in batches().start(0):
        ends = (batch.ids == tokenizer.eos_token_id).sum(1)
        assert ends.min() == 1


def test_what_follows_a_step_depends_on_nothing_before(batches):
    whole, tail = list(batches().start(0)), list(batches().start(7))
    assert len(tail) == 5
    for one, other in zip(whole[7:], tail, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.ids, other.ids)
        assert one.counted == other.counted


def test_processes_share_each_batch(batches, pool):
    parts = [list(batches(rank, 2).start(0)) for rank in (0, 1)]
    for whole, *shares in zip(batches().start(0), *parts, strict=True):
        shown = [row for share in shares for row in rows(share.images, pool)]
        assert len(shown) == 24
        assert set(shown) == set(rows(whole.images, pool))
        assert {share.counted for share in shares} == {whole.counted}


def test_a_tail_smaller_than_a_batch_is_left_out(batches):
    shown = list(batches(batch_size=36, samples_seen=150).start(0))
    assert [len(batch.images) for batch in shown] == [36] * 4


def test_what_fails_in_a_thread_is_raised(batches):
    made = batches()
    made.images = np.zeros((3, 64, 64, 3), np.uint8)
    with pytest.raises(IndexError):
        next(made.start(0))
