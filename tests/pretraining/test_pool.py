import json

import pytest

from ordlib.pretraining import pool as pools
from ordlib.pretraining.pool import Pool, render_pool
from ordlib.world.rendering import TASKS, render


def test_pictures_stand_where_their_labels_are(pool):
    images = pool.open()
    assert images.shape == (64, 64, 64, 3)
    for block in pool.blocks:
        task, values, records = pool.labels(block)
        assert task == TASKS[block]
        for i in (0, 15):
            picture = render(task, "pretrain", i, 64)
            assert (images[16 * block + i] == picture.image).all()
            assert values[i] == picture.value
            assert records.iloc[i].to_dict() == json.loads(json.dumps(picture.record))


@pytest.fixture
def own_pool(tmp_path, monkeypatch) -> Pool:
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(pools, "BLOCK", 2)
    return render_pool(8, 64, workers=1)


def test_only_what_is_missing_is_rendered(own_pool, monkeypatch):
    before = own_pool.open().copy()
    (own_pool.folder / "000001.json").unlink()
    with open(own_pool.folder / "images.u8", "r+b") as file:
        file.seek(2 * 64 * 64 * 3)
        file.write(bytes(2 * 64 * 64 * 3))
    rendered, draw = [], pools._render_block
    monkeypatch.setattr(
        pools, "_render_block", lambda *args: (rendered.append(args[1]), draw(*args))
    )
    again = render_pool(8, 64, workers=1)
    assert rendered == [1]
    assert (again.open() == before).all()


def test_a_larger_pool_goes_on_from_a_smaller_one(own_pool):
    before = own_pool.open().copy()
    larger = render_pool(16, 64, workers=1)
    assert larger.folder == own_pool.folder
    assert (larger.open()[:8] == before).all()
    counting = render("counting", "pretrain", 2, 64).image
    assert (larger.open()[8] == counting).all()
    assert (render_pool(8, 64, workers=1).open() == before).all()


def test_block_size_is_part_of_the_address(own_pool, monkeypatch):
    monkeypatch.setattr(pools, "BLOCK", 1)
    assert render_pool(4, 64, workers=1).folder != own_pool.folder


@pytest.mark.parametrize("size", [0, -2000, 1000, 2001])
def test_sizes_of_no_whole_blocks(size, monkeypatch):
    monkeypatch.setattr(pools, "BLOCK", 500)
    with pytest.raises(ValueError, match="take a multiple of 2000, such as 2000"):
        render_pool(size, 64)


def test_a_full_disk_is_noticed_first(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(pools, "BLOCK", 50_000)
    usage = type("Usage", (), {"free": 2_000_000_000})
    monkeypatch.setattr(pools.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"2\.0 GB free; the pool of 200000 pictures needs 2\.5 GB"):
        render_pool(200_000, 64)
    assert not sum(path.stat().st_size for path in tmp_path.rglob("images.u8"))
