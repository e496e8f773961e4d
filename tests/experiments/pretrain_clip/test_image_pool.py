import json
from unittest.mock import Mock, call

import pytest

from ordlib.experiments.pretrain_clip import image_pool
from ordlib.experiments.pretrain_clip.image_pool import ImagePool, render_pool
from ordlib.synthetic.rendering import render


def test_image_pool_stores_images_with_their_labels(pool):
    images = pool.open()
    assert images.shape == (96, 64, 64, 3)
    tasks = ["counting", "dating", "counting", "ageing", "counting", "quality"]
    starts = [0, 0, 16, 0, 32, 0]
    for block in pool.blocks:
        task, values, metadata = pool.labels(block)
        assert task == tasks[block]
        for i in (0, 15):
            sample = render(task, "pretrain", starts[block] + i, 64)
            assert (images[16 * block + i] == sample.image).all()
            assert values[i] == sample.value
            assert metadata.iloc[i].to_dict() == json.loads(json.dumps(sample.record))


def test_render_block_uses_every_index_once(pool, monkeypatch):
    first = Mock(side_effect=InterruptedError)
    monkeypatch.setattr(image_pool, "render", first)
    monkeypatch.setattr(image_pool, "BLOCK", 500)
    for block in range(3 * 6):
        with pytest.raises(InterruptedError):
            image_pool._render_block(pool.folder, block, 64)
    starts = [
        ("counting", 0), ("dating", 0), ("counting", 500),
        ("ageing", 0), ("counting", 1000), ("quality", 0),
        ("counting", 1500), ("dating", 500), ("counting", 2000),
        ("ageing", 500), ("counting", 2500), ("quality", 500),
        ("counting", 3000), ("dating", 1000), ("counting", 3500),
        ("ageing", 1000), ("counting", 4000), ("quality", 1000),
    ]  # fmt: skip
    assert first.call_args_list == [call(task, "pretrain", start, 64) for task, start in starts]
    assert len({image.tobytes() for image in pool.open()}) == 96


@pytest.fixture
def small_pool(tmp_path, monkeypatch) -> ImagePool:
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(image_pool, "BLOCK", 2)
    return render_pool(12, 64, num_workers=1)


def test_render_pool_renders_only_missing_blocks(small_pool, monkeypatch):
    before = small_pool.open().copy()
    (small_pool.folder / "000001.json").unlink()
    with open(small_pool.folder / "images.u8", "r+b") as file:
        file.seek(2 * 64 * 64 * 3)
        file.write(bytes(2 * 64 * 64 * 3))
    rendered, original = [], image_pool._render_block
    monkeypatch.setattr(
        image_pool, "_render_block", lambda *args: (rendered.append(args[1]), original(*args))
    )
    again = render_pool(12, 64, num_workers=1)
    assert rendered == [1]
    assert (again.open() == before).all()


DAMAGE = {
    "labels empty": ("000003.json", lambda content: b""),
    "labels truncated": ("000003.json", lambda content: content[:-9]),
    "labels are a list": ("000003.json", lambda content: b"[]"),
    "labels of one image": ("000003.json", lambda content: b'{"values": [1], "records": {}}'),
    "images truncated": ("images.u8", lambda content: content[: len(content) // 2]),
    "images without the last byte": ("images.u8", lambda content: content[:-1]),
    "images empty": ("images.u8", lambda content: b""),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_pool_is_rendered_again(small_pool, name, damage):
    images = small_pool.open().copy()
    labels = [small_pool.labels(block)[1] for block in small_pool.blocks]
    file = small_pool.folder / name
    content = file.read_bytes()
    file.unlink()  # Not in the memory map.
    file.write_bytes(damage(content))
    again = render_pool(12, 64, num_workers=1)
    assert (again.open() == images).all()
    assert [again.labels(block)[1] for block in again.blocks] == labels


def test_render_pool_extends_a_smaller_pool(small_pool):
    before = small_pool.open().copy()
    larger = render_pool(24, 64, num_workers=1)
    assert larger.folder == small_pool.folder
    assert (larger.open()[:12] == before).all()
    for row, task, index in ((12, "counting", 6), (14, "dating", 2), (16, "counting", 8)):
        assert (larger.open()[row] == render(task, "pretrain", index, 64).image).all()
    assert len({image.tobytes() for image in larger.open()}) == 24
    assert (render_pool(12, 64, num_workers=1).open() == before).all()


@pytest.mark.parametrize(("name", "value"), [("BLOCK", 1), ("BLOCK_TASKS", ("counting", "dating"))])
def test_render_pool_folder_depends_on_the_layout(name, value, small_pool, monkeypatch):
    monkeypatch.setattr(image_pool, name, value)
    other = render_pool(12, 64, num_workers=1)
    assert other.folder != small_pool.folder
    assert (other.open()[:1] == small_pool.open()[:1]).all()


@pytest.mark.parametrize("size", [0, -3000, 1000, 3500])
def test_render_pool_rejects_partial_cycles(size, monkeypatch):
    monkeypatch.setattr(image_pool, "BLOCK", 500)
    with pytest.raises(ValueError, match=f"num_images = {size}: .* multiple of 3000.* as 3000"):
        render_pool(size, 64)


def test_render_pool_checks_disk_space_first(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(image_pool, "BLOCK", 50_000)
    usage = type("Usage", (), {"free": 2_000_000_000})
    monkeypatch.setattr(image_pool.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"num_images = 300000: .* 3\.7 GB more.* 2\.0 GB free"):
        render_pool(300_000, 64)
    assert not sum(path.stat().st_size for path in tmp_path.rglob("images.u8"))
