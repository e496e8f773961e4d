"""Every way in which a checkpoint can be missing or wrong, and what the message says."""

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from ordlib.clip import checkpoints, load_clip
from ordlib.clip.checkpoints import find_checkpoint, hash_weights


@pytest.fixture
def folder(tiny_clip_folder, tmp_path):
    """A copy to break."""
    return shutil.copytree(tiny_clip_folder, tmp_path / "copy")


def test_finds_a_bundled_checkpoint_before_a_folder_of_that_name(
    tiny_clip_folder, tmp_path, monkeypatch
):
    shutil.copytree(tiny_clip_folder, tmp_path / "weights" / "my-clip")
    (tmp_path / "my-clip").mkdir()
    monkeypatch.setattr(checkpoints, "BUNDLED", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    assert load_clip("my-clip", device="cpu").name == "my-clip"
    assert find_checkpoint(str(tiny_clip_folder)) == tiny_clip_folder
    with pytest.raises(FileNotFoundError, match=r"bundled: my-clip\)"):
        load_clip("other-clip")


@pytest.mark.parametrize("name", ["no-such-clip", "./no/such", "/no/such", "a/b/c"])
def test_a_name_that_is_nowhere(name):
    with pytest.raises(FileNotFoundError, match=f"no checkpoint '{name}'.*bundled:"):
        load_clip(name)


def siglip(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip"}))


def cut(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def lack(folder):
    change_weights(folder, lambda weights: weights.pop("visual_projection.weight"))


def resize(folder):
    change_weights(folder, lambda w: w.update({"text_projection.weight": torch.zeros(5, 32)}))


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (
            lambda f: (f / "config.json").unlink(),
            FileNotFoundError,
            r"lacks config.json \(found: m",
        ),
        (siglip, ValueError, r"copy/config.json .* 'siglip'"),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            FileNotFoundError,
            r"no model.safetensors.*pytorch_model.bin.*run code",
        ),
        (lambda f: (f / "tokenizer.json").unlink(), FileNotFoundError, "no tokenizer"),
        (cut, ValueError, "copy are damaged"),
        (lack, ValueError, "visual_projection.weight"),
        (resize, ValueError, "do not fit its config.json"),
    ],
)
def test_what_is_no_whole_checkpoint(folder, spoil, error, says):
    spoil(folder)
    with pytest.raises(error, match=says):
        load_clip(folder)


def test_a_tokenizer_of_another_checkpoint(folder, vit_b_32_folder):
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(vit_b_32_folder / name, folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="49408 tokens, the model embeds 600"):
        load_clip(folder)


def test_hash_is_the_sha256_of_the_file(folder):
    weights = folder / "model.safetensors"
    first = hash_weights(folder)
    assert first == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert load_clip(folder, device="cpu").weights_hash == first
    change_weights(folder, lambda weights: weights["logit_scale"].add_(1))
    assert hash_weights(folder) == hashlib.sha256(weights.read_bytes()).hexdigest() != first


def test_hash_is_remembered(folder, monkeypatch):
    first = hash_weights(folder)
    monkeypatch.setattr(checkpoints, "_sha256", lambda path: pytest.fail("hashed again"))
    assert hash_weights(folder) == first


def test_hash_needs_no_writable_cache(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "file"))
    assert len(hash_weights(folder)) == 64


def test_weights_in_parts(folder, tiny_clip_folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[:9]}
    parts["model-00002-of-00002.safetensors"] = names[9:]
    for file, chosen in parts.items():
        save_file({name: weights[name] for name in chosen}, folder / file, {"format": "pt"})
    index = {name: file for file, chosen in parts.items() for name in chosen}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    clip, whole = load_clip(folder, device="cpu"), load_clip(tiny_clip_folder, device="cpu")
    assert torch.equal(clip.text_features(["a star"]), whole.text_features(["a star"]))
    assert clip.weights_hash != whole.weights_hash


def test_a_device_that_is_not_there(tiny_clip_folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"'cuda' was asked for.*sees 0 CUDA.*Colab"):
        load_clip(tiny_clip_folder, device="cuda")


class TestHub:
    """The hub's client is replaced by one that says what the real one would."""

    def answer(self, monkeypatch, folder=None, error=None, have=()):
        asked = []

        def snapshot_download(name, revision, local_files_only=False, allow_patterns=None):
            asked.append((revision, local_files_only, allow_patterns))
            if local_files_only and not have:
                raise FileNotFoundError("not cached")
            if error and not local_files_only:
                raise error
            return str(folder)

        monkeypatch.setattr(checkpoints, "snapshot_download", snapshot_download)
        return asked

    def test_a_cached_copy_is_used_without_asking(self, monkeypatch, tiny_clip_folder):
        asked = self.answer(monkeypatch, tiny_clip_folder, have=True)
        assert find_checkpoint("openai/clip") == tiny_clip_folder
        assert [local for _, local, _ in asked] == [True]

    def test_the_config_is_fetched_and_checked_before_the_weights(self, monkeypatch, folder):
        asked = self.answer(monkeypatch, folder)
        find_checkpoint("openai/clip", revision="abc")
        assert [ask[:2] for ask in asked] == [("abc", True), ("abc", False), ("abc", False)]
        assert asked[1][2] == ["config.json"]
        assert not any(pattern.endswith(".bin") for pattern in asked[2][2])
        siglip(folder)
        del asked[:]
        with pytest.raises(ValueError, match="siglip"):
            find_checkpoint("openai/clip")
        assert len(asked) == 2

    def test_a_copy_that_is_not_whole_is_fetched_again(self, monkeypatch, folder):
        (folder / "tokenizer.json").unlink()
        asked = self.answer(monkeypatch, folder, have=True)
        with pytest.raises(FileNotFoundError, match="no tokenizer"):
            find_checkpoint("openai/clip")
        assert [local for _, local, _ in asked] == [True, False, False]

    def test_openai_vit_b_32_is_pinned_to_its_safetensors(self, monkeypatch, tiny_clip_folder):
        asked = self.answer(monkeypatch, tiny_clip_folder, have=True)
        find_checkpoint("openai/clip-vit-base-patch32")
        assert asked[0][0] == "c237dc49a33fc61debc9276459120b7eac67e7ef"

    def test_offline(self):
        way_out = r"hf download nobody/no-such --revision abc .*load_clip\('path/to/no-such'\)"
        with pytest.raises(FileNotFoundError, match=rf"nobody/no-such \(revision abc\).*{way_out}"):
            load_clip("nobody/no-such", revision="abc")

    @pytest.mark.parametrize(
        ("status", "message"),
        [
            (429, r"\(429\).*a/b .*wait five minutes.*hf download"),
            (404, r"a/b \(revision main\).*\(404\)"),
            (503, r"a/b .*\(HTTPError\).*hf download"),
        ],
    )
    def test_what_the_hub_answered_is_told_apart(self, monkeypatch, status, message):
        class HTTPError(Exception):
            response = type("Response", (), {"status_code": status})

        # As the client does: an entry not found, because of an HTTP error.
        error = FileNotFoundError("cannot find an appropriate snapshot")
        error.__cause__ = HTTPError("the hub said no")
        self.answer(monkeypatch, error=error)
        with pytest.raises(FileNotFoundError, match=message):
            find_checkpoint("a/b")

    @pytest.mark.parametrize(
        ("error", "kind", "says"),
        [
            (RuntimeError("407 proxy"), FileNotFoundError, r"out of reach \(RuntimeError\)"),
            # A full disk is not blamed on the hub.
            (OSError(28, "No space left on device"), OSError, "No space left"),
        ],
    )
    def test_other_errors_of_the_client(self, monkeypatch, error, kind, says):
        self.answer(monkeypatch, error=error)
        with pytest.raises(kind, match=says):
            find_checkpoint("a/b")

    def test_a_name_the_hub_would_not_take(self):
        with pytest.raises(FileNotFoundError, match=r"'a b/c' is neither a folder nor a hub id"):
            find_checkpoint("a b/c")
