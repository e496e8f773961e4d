import json

import pytest

from ordlib.experiments.pretrain_clip import image_pool as pools
from ordlib.experiments.pretrain_clip.image_pool import ImagePool, render_pool
from ordlib.synthetic.rendering import render


def test_pictures_stand_where_their_labels_are(pool):
    images = pool.open()
    assert images.shape == (96, 64, 64, 3)
    expected = ["counting", "dating", "counting", "ageing", "counting", "quality"]
    firsts = [0, 0, 16, 0, 32, 0]
    for block in pool.blocks:
        task, values, records = pool.labels(block)
        assert task == expected[block]
        for i in (0, 15):
            picture = render(task, "pretrain", firsts[block] + i, 64)
            assert (images[16 * block + i] == picture.image).all()
            assert values[i] == picture.value
            assert records.iloc[i].to_dict() == json.loads(json.dumps(picture.record))


def test_no_picture_occurs_twice_and_none_is_left_out(pool, monkeypatch):
    addresses = []
    monkeypatch.setattr(pools, "render", _remember(addresses))
    monkeypatch.setattr(pools, "BLOCK", 500)
    for block in range(3 * 6):
        with pytest.raises(Stop):
            pools._render_block(pool.folder, block, 64)
    assert addresses == [
        ("counting", 0), ("dating", 0), ("counting", 500),
        ("ageing", 0), ("counting", 1000), ("quality", 0),
        ("counting", 1500), ("dating", 500), ("counting", 2000),
        ("ageing", 500), ("counting", 2500), ("quality", 500),
        ("counting", 3000), ("dating", 1000), ("counting", 3500),
        ("ageing", 1000), ("counting", 4000), ("quality", 1000),
    ]  # fmt: skip
    assert len({image.tobytes() for image in pool.open()}) == 96


class Stop(Exception):
    """Instead of drawing a block."""


def _remember(addresses: list):
    def render(task, split, index, side):
        assert (split, side) == ("pretrain", 64)
        addresses.append((task, index))
        raise Stop

    return render


@pytest.fixture
def own_pool(tmp_path, monkeypatch) -> ImagePool:
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(pools, "BLOCK", 2)
    return render_pool(12, 64, workers=1)


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
    again = render_pool(12, 64, workers=1)
    assert rendered == [1]
    assert (again.open() == before).all()


def test_a_larger_pool_goes_on_from_a_smaller_one(own_pool):
    before = own_pool.open().copy()
    larger = render_pool(24, 64, workers=1)
    assert larger.folder == own_pool.folder
    assert (larger.open()[:12] == before).all()
    for row, task, index in ((12, "counting", 6), (14, "dating", 2), (16, "counting", 8)):
        assert (larger.open()[row] == render(task, "pretrain", index, 64).image).all()
    assert len({image.tobytes() for image in larger.open()}) == 24
    assert (render_pool(12, 64, workers=1).open() == before).all()


@pytest.mark.parametrize(("name", "value"), [("BLOCK", 1), ("BLOCK_TASKS", ("counting", "dating"))])
def test_blocks_and_turns_are_part_of_the_address(name, value, own_pool, monkeypatch):
    monkeypatch.setattr(pools, name, value)
    other = render_pool(12, 64, workers=1)
    assert other.folder != own_pool.folder
    assert (other.open()[:1] == own_pool.open()[:1]).all()


@pytest.mark.parametrize("size", [0, -3000, 1000, 3500])
def test_sizes_of_no_whole_blocks(size, monkeypatch):
    monkeypatch.setattr(pools, "BLOCK", 500)
    with pytest.raises(ValueError, match="take a multiple of 3000, such as 3000"):
        render_pool(size, 64)


def test_a_full_disk_is_noticed_first(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(pools, "BLOCK", 50_000)
    usage = type("Usage", (), {"free": 2_000_000_000})
    monkeypatch.setattr(pools.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"2\.0 GB free; the pool of 300000 pictures needs 3\.7 GB"):
        render_pool(300_000, 64)
    assert not sum(path.stat().st_size for path in tmp_path.rglob("images.u8"))
