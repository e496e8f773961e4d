from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib.experiments.pretrain_clip.captioning import CaptionGenerator
from ordlib.experiments.pretrain_clip.loader import PairLoader


@pytest.fixture
def loader(pool, config, tokenizer):
    fraction, backend = config.count_caption_fraction, tokenizer.backend_tokenizer
    captioner = CaptionGenerator(pool, backend, fraction, None, config.seed)

    def make(rank: int = 0, world_size: int = 1, **changes):
        return PairLoader(replace(config, **changes), captioner, rank, world_size, num_workers=1)

    return make


def rows(images: torch.Tensor, pool) -> list[int]:
    """Return the pool indices of the images in a batch."""
    index = {image.tobytes(): row for row, image in enumerate(pool.open())}
    return [index[image.numpy().tobytes()] for image in images]


def test_start_yields_each_image_once_per_epoch_with_its_caption(loader, pool, config):
    pairs = loader()
    batches = list(pairs.start(0))
    assert len(batches) == config.steps == 12
    orders = []
    for epoch in range(3):
        ids, is_count_caption = pairs.captioner.epoch(epoch, num_workers=1)
        part = batches[4 * epoch : 4 * epoch + 4]
        order = [row for batch in part for row in rows(batch.images, pool)]
        assert sorted(order) == list(range(96))
        assert sum(batch.num_count_captions for batch in part) == is_count_caption.sum()
        for batch in part:
            for row, text in zip(rows(batch.images, pool), batch.ids, strict=True):
                assert text.tolist() == ids[row, : len(text)].tolist()
                assert (ids[row, len(text) :] == ids[0, -1]).all()
        orders.append(order)
    assert orders[0] != orders[1]


def test_start_truncates_padding_but_keeps_one_eos(loader, tokenizer):
    for batch in loader().start(0):
        assert (batch.ids == tokenizer.eos_token_id).sum(1).min() == 1


def test_start_resumes_at_a_step(loader):
    full, tail = list(loader().start(0)), list(loader().start(7))
    assert len(tail) == 5
    for a, b in zip(full[7:], tail, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.ids, b.ids)
        assert a.num_count_captions == b.num_count_captions


def test_start_splits_batches_among_processes(loader, pool):
    parts = [list(loader(rank, 2).start(0)) for rank in (0, 1)]
    for full, *shares in zip(loader().start(0), *parts, strict=True):
        indices = [row for share in shares for row in rows(share.images, pool)]
        assert len(indices) == 24
        assert set(indices) == set(rows(full.images, pool))
        assert {share.num_count_captions for share in shares} == {full.num_count_captions}


def test_start_drops_the_last_partial_batch(loader):
    batches = list(loader(batch_size=36, samples_seen=150).start(0))
    assert [len(batch.images) for batch in batches] == [36] * 4


def test_start_raises_errors_of_threads(loader):
    pairs = loader()
    pairs.images = np.zeros((3, 64, 64, 3), np.uint8)
    with pytest.raises(IndexError):
        next(pairs.start(0))
