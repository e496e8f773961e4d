import hashlib
import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file, save_file

from ordlib.clip import checkpoints, load_clip
from ordlib.clip.checkpoints import find_checkpoint, hash_weights
from ordlib.utils import cache

REVISION = "c237dc49a33fc61debc9276459120b7eac67e7ef"


@pytest.fixture
def folder(tiny_clip_folder, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(tiny_clip_folder, tmp_path / "copy")


def test_find_checkpoint_prefers_bundled_name_to_folder(tiny_clip_folder, tmp_path, monkeypatch):
    shutil.copytree(tiny_clip_folder, tmp_path / "weights" / "my-clip")
    (tmp_path / "my-clip").mkdir()
    monkeypatch.setattr(checkpoints, "BUNDLED", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    assert load_clip("my-clip", device="cpu").name == "my-clip"
    assert find_checkpoint(str(tiny_clip_folder)) == tiny_clip_folder
    with pytest.raises(FileNotFoundError, match=r"bundled: my-clip\)"):
        load_clip("other-clip")


@pytest.mark.parametrize("name", ["no-such-clip", "./no/such", "/no/such", "a/b/c"])
def test_load_clip_unknown_name(name):
    with pytest.raises(FileNotFoundError, match=f"no checkpoint '{name}'.*bundled:"):
        load_clip(name)


def remove(name):
    return lambda folder: (folder / name).unlink()


def pickle_only(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def blip(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "blip"}))


def truncate(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def remove_tensor(folder):
    change_weights(folder, lambda weights: weights.pop("visual_projection.weight"))


def resize_tensor(folder):
    change_weights(folder, lambda w: w.update({"text_projection.weight": torch.zeros(5, 32)}))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (remove("config.json"), FileNotFoundError, r"config.json is missing \(found: m"),
        (blip, ValueError, r"copy/config.json: model_type = 'blip'.*'siglip2'"),
        (pickle_only, FileNotFoundError, r"no model.safetensors.*pytorch_model.bin.*run code"),
        (remove("tokenizer.json"), FileNotFoundError, "no tokenizer"),
        (truncate, ValueError, "copy: the weights are damaged"),
        (remove_tensor, ValueError, "visual_projection.weight"),
        (resize_tensor, ValueError, "do not match config.json"),
    ],
)
def test_load_clip_damaged_checkpoint(folder, damage, error, message):
    damage(folder)
    with pytest.raises(error, match=message):
        load_clip(folder)


def test_load_clip_tokenizer_of_another_checkpoint(folder, vit_b_32_folder):
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(vit_b_32_folder / name, folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="49408 tokens, the model 600"):
        load_clip(folder)


@pytest.fixture
def memo(tmp_path, monkeypatch):
    """Folder of cached hashes; all files count as written long ago."""
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "TIME_STEP_NS", -(10**12))
    return tmp_path / "cache" / "hashes"


def test_hash_weights_equals_sha256_of_file_and_is_cached(folder, tmp_path, monkeypatch, memo):
    weights = folder / "model.safetensors"
    first = hash_weights(folder)
    assert first == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert load_clip(folder, device="cpu").weights_hash == first
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_sha256", lambda path: pytest.fail("the cache was not used"))
        assert hash_weights(folder) == first
    change_weights(folder, lambda weights: weights["logit_scale"].add_(1))
    assert hash_weights(folder) == hashlib.sha256(weights.read_bytes()).hexdigest() != first

    (tmp_path / "file").touch()
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "file"))
    assert len(hash_weights(folder)) == 64


def test_hash_weights_of_a_file_that_has_just_been_written_is_not_kept(folder, memo, monkeypatch):
    """Within a step of the disk's clock, a change would leave size and times as they are."""
    monkeypatch.setattr(cache, "TIME_STEP_NS", 10**18)
    signature = checkpoints.file_signature(folder / "model.safetensors")
    monkeypatch.setattr(checkpoints, "file_signature", lambda file: signature)
    first = hash_weights(folder)
    change_weights(folder, lambda weights: weights["logit_scale"].add_(1))
    assert hash_weights(folder) != first
    assert not memo.exists()


def flipped(memo):
    content = bytearray(memo.read_bytes())
    content[3] = ord("0") + (content[3] == ord("0"))
    memo.write_bytes(content)


def replaced(make):
    return lambda memo: (memo.unlink(), make(memo))


MEMO_FAULTS = {
    "empty": lambda memo: memo.write_bytes(b""),
    "zeros": lambda memo: memo.write_bytes(bytes(64)),
    "without a check": lambda memo: memo.write_text("0" * 64),
    "flipped digit": flipped,
    "truncated": lambda memo: memo.write_bytes(memo.read_bytes()[:40]),
    "not text": lambda memo: memo.write_bytes(b"\xff\xfe \x00"),
    "folder": replaced(Path.mkdir),
    "loop": replaced(lambda memo: memo.symlink_to(memo.name)),
    "full of others": lambda memo: memo.write_text("a b c d"),
}


@pytest.mark.parametrize("damage", MEMO_FAULTS.values(), ids=MEMO_FAULTS)
def test_damaged_hash_in_the_cache_is_computed_again(folder, memo, damage):
    first = hash_weights(folder)
    (file,) = memo.iterdir()
    damage(file)
    assert hash_weights(folder) == hash_weights(folder) == first


def test_unreadable_hash_in_the_cache_is_computed_again(folder, memo, monkeypatch):
    first = hash_weights(folder)
    read = Mock(side_effect=PermissionError(13, "Permission denied"))
    monkeypatch.setattr(checkpoints.Path, "read_text", read)
    assert hash_weights(folder) == first
    assert read.called


def edit_json(name, change):
    def edit(folder):
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return edit


def swap_tokens(content):
    vocabulary = content["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]


SETTINGS_EDITS = {
    "activation": edit_json("config.json", lambda c: c["vision_config"].update(hidden_act="relu")),
    "heads": edit_json("config.json", lambda c: c["text_config"].update(num_attention_heads=2)),
    "epsilon": edit_json("config.json", lambda c: c["text_config"].update(layer_norm_eps=0.1)),
    "mean": edit_json("preprocessor_config.json", lambda c: c.update(image_mean=[0.1] * 3)),
    "filter": edit_json("preprocessor_config.json", lambda c: c.update(resample=2)),
    "vocabulary": edit_json("tokenizer.json", swap_tokens),
    "merges": edit_json("tokenizer.json", lambda c: c["model"]["merges"].pop()),
}


@pytest.mark.parametrize("edit", SETTINGS_EDITS.values(), ids=SETTINGS_EDITS)
def test_settings_hash_depends_on_all_that_decides_features(folder, tiny_clip_folder, edit):
    edit(folder)
    changed, original = (load_clip(name, device="cpu") for name in (folder, tiny_clip_folder))
    assert changed.weights_hash == original.weights_hash
    assert changed.settings_hash != original.settings_hash


def test_settings_hash_ignores_what_decides_nothing(folder, tiny_clip_folder):
    edit_json("config.json", lambda c: c.update(transformers_version="4.0", dtype="float32"))(
        folder
    )
    edit_json("tokenizer_config.json", lambda c: c.update(name_or_path="somewhere"))(folder)
    clips = [load_clip(name, device="cpu") for name in (folder, tiny_clip_folder)]
    clips.append(load_clip(folder, device="cpu", dtype=torch.bfloat16))
    assert len({clip.settings_hash for clip in clips}) == 1


def test_settings_hash_of_the_bundled_backbone_is_that_of_its_components():
    assert load_clip("pico-clip", device="cpu").settings_hash == "01d8362e39a16a01"


def make_index(folder, weight_map, keep=False):
    if not keep:
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    content = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(content)


def test_hash_weights_follows_the_index(folder):
    name = "sub/other.safetensors"
    weights = load_file(folder / "model.safetensors")
    (folder / name).parent.mkdir(exist_ok=True)
    save_file({k: 2 * v for k, v in weights.items()}, folder / name, {"format": "pt"})
    make_index(folder, dict.fromkeys(weights, name))
    assert hash_weights(folder) == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert torch.equal(
        load_clip(folder, device="cpu").model.visual_projection.weight,
        2 * weights["visual_projection.weight"].float(),
    )


def test_hash_weights_ignores_an_index_beside_the_whole(folder):
    """As transformers does."""
    first = hash_weights(folder)
    make_index(folder, {"logit_scale": "missing.safetensors"}, keep=True)
    assert hash_weights(folder) == first
    load_clip(folder, device="cpu")


def write_index(content):
    def write(folder):
        make_index(folder, {})
        (folder / "model.safetensors.index.json").write_text(content)

    return write


OTHER_WEIGHTS = {
    "adapter": (
        lambda f: (f / "adapter_config.json").write_text("{}"),
        ValueError,
        r"adapter_config.json: a PEFT adapter .*merge_and_unload",
    ),
    "other weights": (
        edit_json("config.json", lambda c: c.update(transformers_weights="b.safetensors")),
        ValueError,
        r"config.json: transformers_weights = 'b.safetensors'",
    ),
    "index of a missing file": (
        lambda f: make_index(f, {"logit_scale": "gone.safetensors"}),
        FileNotFoundError,
        r"index.json names 'gone.safetensors', which is missing",
    ),
    "index is no JSON": (write_index("{"), ValueError, r"index.json: damaged"),
    "index is a list": (write_index("[]"), ValueError, r"index.json: damaged"),
    "index of numbers": (write_index('{"weight_map": {"a": 1}}'), ValueError, "index.json: damag"),
    "index is nested": (write_index("[" * 100_000), ValueError, r"index.json: damaged"),
    "empty index": (
        write_index('{"weight_map": {}}'),
        FileNotFoundError,
        r"no model.safetensors",
    ),
    "config is no JSON": (
        lambda f: (f / "config.json").write_text("{"),
        ValueError,
        r"config.json: damaged",
    ),
    "config is a list": (
        lambda f: (f / "config.json").write_text("[1]"),
        ValueError,
        r"config.json: damaged: \[1\] is not a JSON object",
    ),
    "config is nested": (
        lambda f: (f / "config.json").write_text("[" * 100_000),
        ValueError,
        r"config.json: damaged",
    ),
}


@pytest.mark.parametrize(("edit", "error", "message"), OTHER_WEIGHTS.values(), ids=OTHER_WEIGHTS)
def test_load_clip_refuses_weights_from_elsewhere(folder, edit, error, message):
    edit(folder)
    with pytest.raises(error, match=message):
        load_clip(folder, device="cpu")


def test_load_clip_sharded_weights(folder, tiny_clip_folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = {name: files[i % 2] for i, name in enumerate(weights)}
    for file in files:
        shard = {name: tensor for name, tensor in weights.items() if index[name] == file}
        save_file(shard, folder / file, {"format": "pt"})
    content = json.dumps({"metadata": {}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(content)
    clip, whole = load_clip(folder, device="cpu"), load_clip(tiny_clip_folder, device="cpu")
    assert torch.equal(clip.text_features(["a star"]), whole.text_features(["a star"]))
    assert clip.weights_hash != whole.weights_hash


def test_load_clip_unavailable_device(tiny_clip_folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device = 'cuda': .*finds 0 CUDA.*Colab"):
        load_clip(tiny_clip_folder, device="cuda")


class TestHub:
    """The hub's client is replaced by a fake."""

    def fake_hub(self, monkeypatch, folder=None, error=None, have=()):
        requests = []

        def snapshot_download(name, revision, local_files_only=False, allow_patterns=None):
            requests.append((revision, local_files_only, allow_patterns))
            if local_files_only and not have:
                raise FileNotFoundError("not cached")
            if error and not local_files_only:
                raise error
            return str(folder)

        monkeypatch.setattr(checkpoints, "snapshot_download", snapshot_download)
        return requests

    def test_cached_copy_needs_no_request(self, monkeypatch, tiny_clip_folder):
        requests = self.fake_hub(monkeypatch, tiny_clip_folder, have=True)
        assert find_checkpoint("openai/clip-vit-base-patch32") == tiny_clip_folder
        # OpenAI's ViT-B/32 is pinned to its safetensors commit.
        assert [request[:2] for request in requests] == [(REVISION, True)]

    def test_config_is_validated_before_weights_are_downloaded(self, monkeypatch, folder):
        requests = self.fake_hub(monkeypatch, folder)
        find_checkpoint("openai/clip", revision="abc")
        assert [request[:2] for request in requests] == [
            ("abc", True),
            ("abc", False),
            ("abc", False),
        ]
        assert requests[1][2] == ["config.json"]
        assert not any(pattern.endswith(".bin") for pattern in requests[2][2])
        blip(folder)
        requests.clear()
        with pytest.raises(ValueError, match="model_type = 'blip'"):
            find_checkpoint("openai/clip")
        assert len(requests) == 2

    def test_incomplete_copy_is_downloaded_again(self, monkeypatch, folder):
        (folder / "tokenizer.json").unlink()
        requests = self.fake_hub(monkeypatch, folder, have=True)
        with pytest.raises(FileNotFoundError, match="no tokenizer"):
            find_checkpoint("openai/clip")
        assert [local for _, local, _ in requests] == [True, False, False]

    def test_offline_message_gives_download_command(self):
        with pytest.raises(FileNotFoundError, match=r"'a b/c': neither a folder, a hub id"):
            find_checkpoint("a b/c")
        remedy = r"hf download nobody/no-such --revision abc .*load_clip\('path/to/no-such'\)"
        with pytest.raises(FileNotFoundError, match=rf"nobody/no-such \(revision abc\).*{remedy}"):
            load_clip("nobody/no-such", revision="abc")

    @pytest.mark.parametrize(
        ("status", "message"),
        [
            (429, r"a/b .*\(429\).*Wait five minutes.*hf download"),
            (404, r"a/b \(revision main\).*\(404\)"),
            (503, r"a/b .*\(HTTPError\).*hf download"),
        ],
    )
    def test_http_status_selects_message(self, monkeypatch, status, message):
        class HTTPError(Exception):
            response = type("Response", (), {"status_code": status})

        # As in the client: entry not found, caused by an HTTP error.
        error = FileNotFoundError("cannot find an appropriate snapshot")
        error.__cause__ = HTTPError("refused")
        self.fake_hub(monkeypatch, error=error)
        with pytest.raises(FileNotFoundError, match=message):
            find_checkpoint("a/b")

    @pytest.mark.parametrize(
        ("error", "error_type", "message"),
        [
            (RuntimeError("407 proxy"), FileNotFoundError, r"unreachable \(RuntimeError\)"),
            # A full disk is not an error of the hub.
            (OSError(28, "No space left on device"), OSError, "No space left"),
        ],
    )
    def test_other_client_errors(self, monkeypatch, error, error_type, message):
        self.fake_hub(monkeypatch, error=error)
        with pytest.raises(error_type, match=message):
            find_checkpoint("a/b")


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (torch.nan, torch.float32, r"weights are damaged: visual_projection.weight"),
        (1e6, torch.float16, r"torch.float16 is too small .*float32: visual_projection.weight"),
    ],
)
def test_load_clip_refuses_weights_that_are_not_finite(folder, value, dtype, message):
    weights = {n: t.float() for n, t in load_file(folder / "model.safetensors").items()}
    weights["visual_projection.weight"][1, 2] = value
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=message):
        load_clip(folder, "cpu", dtype)
