"""Damaged and hostile CLIP checkpoints: a clear error; no code runs, nothing is fetched."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from damage import (
    DELETE,
    edit_bytes,
    edit_json,
    edit_tensors,
    link_outside,
    no_network,  # noqa: F401
    replace_by,
)
from safetensors.torch import load_file, save_file
from siglips import BUILDERS

from ordlib import load_clip
from ordlib.clip.checkpoints import find_checkpoint

CONFIG, PREPROCESSOR, TOKENIZER = "config.json", "preprocessor_config.json", "tokenizer.json"
SETTINGS, WEIGHTS = "tokenizer_config.json", "model.safetensors"
ERRORS = (ValueError, FileNotFoundError)


@pytest.fixture
def folder(tiny_clip_folder, tmp_path):
    return shutil.copytree(tiny_clip_folder, tmp_path / "copy")


def scale(value):
    return edit_tensors(lambda t: t.update(logit_scale=torch.tensor(value)))


def both(*damages):
    def damage(folder):
        for each in damages:
            each(folder)

    return damage


def shards(files):
    """Split the weights into two files, and write an index."""

    def damage(folder):
        tensors = load_file(folder / WEIGHTS)
        os.replace(folder / WEIGHTS, folder.with_name("outside.safetensors"))
        names = sorted(tensors)
        for number, file in enumerate(SHARDS):
            part = {name: tensors[name] for name in names[number::2]}
            save_file(part, folder / file, {"format": "pt"})
        index = {"weight_map": {name: files[i % 2] for i, name in enumerate(names)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return damage


def write(name, content):
    return replace_by(name, lambda path: path.write_bytes(content))


SHARDS = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
SIZES = [
    *(f"text_config.{name}" for name in ("vocab_size", "max_position_embeddings")),
    *(f"vision_config.{name}" for name in ("image_size", "patch_size", "num_channels")),
    *(f"{part}.{name}" for part in ("text_config", "vision_config")
      for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")),
    "projection_dim",
]  # fmt: skip
BAD_SIZES = (0, -1, 10**9, 10**100, 1.5, "7", True, [7], {}, "deep", float("nan"))
VOCABULARY = "model.vocab"
CASES = {
    **{f"{field} = {value!r:.20}": (edit_json(CONFIG, field, value), field.rpartition(".")[2])
       for field in SIZES for value in BAD_SIZES
       if value not in ("deep",) and value == value},
    **{f"{field} = {what}": (edit_json(CONFIG, field, value), "config.json: damaged")
       for field in SIZES[:2] for what, value in (("deep", "deep"), ("nan", float("nan")))},
    **{f"{field} wrong": (edit_json(CONFIG, field, value), "do not match config.json|sizes make")
       for field, value in (("text_config.hidden_size", 64), ("vision_config.hidden_size", 80),
                            ("projection_dim", 30), ("text_config.vocab_size", 601),
                            ("vision_config.patch_size", 8), ("vision_config.image_size", 128),
                            ("text_config.intermediate_size", 60),
                            ("text_config.max_position_embeddings", 78))},
    "more layers": (edit_json(CONFIG, "text_config.num_hidden_layers", 3), "lack 16 tensors"),
    "vocabulary of the model smaller": (
        both(edit_json(CONFIG, "text_config.vocab_size", 500),
             edit_tensors(lambda t: t.update({
                 "text_model.embeddings.token_embedding.weight": torch.ones(500, 32)}))),
        "600 tokens, the model 500"),
    "heads that do not divide": (
        edit_json(CONFIG, "text_config.num_attention_heads", 5), "num_attention_heads = 5"),
    "patch larger than the image": (
        edit_json(CONFIG, "vision_config.patch_size", 65), "patch_size = 65"),
    **{f"activation {act!r:.12}": (edit_json(CONFIG, "vision_config.hidden_act", act), "hidden_act")
       for act in ("none", "__import__('os')", 3, None, ["gelu"])},
    **{f"eps {eps!r}": (edit_json(CONFIG, "text_config.layer_norm_eps", eps), "layer_norm_eps")
       for eps in (0, -1, "x", None)},
    **{f"{part} = {value!r}": (edit_json(CONFIG, part, value), part)
       for part in ("text_config", "vision_config") for value in (3, "x", [], True)},
    **{f"model type {value!r:.20}": (edit_json(CONFIG, "model_type", value), "model_type = ")
       for value in ("bert", None, 3, ["clip"], {"clip": 1}, "\x1b[31m")},
    "model type missing": (edit_json(CONFIG, "model_type", DELETE), "model_type = None"),
    **{f"{name} of {what}": (write(name, content), name.removesuffix(".json"))
       for name in (CONFIG, SETTINGS, PREPROCESSOR) for what, content in (
           ("nothing", b""), ("a list", b"[1]"), ("half", b'{"a":'), ("NUL", b"\0" * 9),
           ("no UTF-8", b'{"\xff": 1}'), ("a key twice", b'{"model_type": 1, "model_type": 2}'),
           ("deep", b"[" * 100_000))},
    **{f"{name} of a terabyte": (replace_by(name, lambda p: os.truncate(os.open(
        p, os.O_CREAT | os.O_RDWR), 2**40)), name) for name in (CONFIG, SETTINGS, PREPROCESSOR)},
    **{f"{name} a {kind}": (replace_by(name, make), name)
       for name in (CONFIG, SETTINGS, PREPROCESSOR, TOKENIZER, WEIGHTS) for kind, make in (
           ("fifo", os.mkfifo), ("folder", os.mkdir),
           ("device", lambda path: path.symlink_to("/dev/zero")))},
    **{f"{name} linked outside": (link_outside(name), "out of the folder")
       for name in (CONFIG, SETTINGS, PREPROCESSOR, TOKENIZER, WEIGHTS)},
    "weights a pickle": (write(WEIGHTS, pickle.dumps(bytes(10**6))), "weights are damaged"),
    "weights empty": (write(WEIGHTS, b""), "weights"),
    "weights of text": (write(WEIGHTS, b"x" * 10**6), "weights are damaged"),
    "weights cut": (edit_bytes(WEIGHTS, lambda c: c[:-5]), "weights are damaged"),
    "weights of a long header": (
        edit_bytes(WEIGHTS, lambda c: b"\xff" * 8 + c[8:]), "weights are damaged"),
    "weights nan": (edit_tensors(lambda t: t["text_projection.weight"].fill_(torch.nan)),
                    "text_projection.weight contains NaN"),
    "weights of integers": (
        edit_tensors(lambda t: t.update({"visual_projection.weight": torch.ones(24, 40).int()})),
        "visual_projection.weight"),
    "weights of complex numbers": (
        edit_tensors(lambda t: t.update({"visual_projection.weight": torch.ones(24, 40) * 1j})),
        "visual_projection.weight"),
    **{f"logit scale {value}": (scale(value), "logit_scale")
       for value in (float("inf"), float("nan"), 100.0, -200.0)},
    "logit scale of two numbers": (scale([1.0, 2.0]), "logit_scale|do not match"),
    "logit scale missing": (edit_tensors(lambda t: t.pop("logit_scale")), "logit_scale"),
    "a shard missing": (both(shards(SHARDS), lambda f: next(f.glob("model-*")).unlink()),
                        "missing"),
    **{f"index of {what}": (shards([name, SHARDS[1]]), message) for what, name, message in (
        ("files outside", "../outside.safetensors", "out of the folder"),
        ("missing files", "other.safetensors", "which is missing"),
        ("pickles", "a.bin", "no safetensors file"), ("numbers", 3, "no safetensors file"))},
    **{f"other weights {name}": (edit_json(CONFIG, "transformers_weights", name), "_weights = ")
       for name in ("../evil.safetensors", "adapter_model.bin")},
    "adapter beside": (
        write("adapter_config.json", b'{"base_model_name_or_path": "a/b"}'), "adapter_config"),
    **{f"tokenizer of {what}": (write(TOKENIZER, content), "copy") for what, content in (
        ("nothing", b""), ("a list", b"[]"), ("an object", b"{}"), ("text", b"x" * 99),
        ("deep", b"[" * 100_000))},
    **{f"tokenizer class {name!r:.24}": (
        edit_json(SETTINGS, "tokenizer_class", name), "tokenizer_class = ")
       for name in ("Evil", "os.system", "BertTokenizer", "RagTokenizer", 3, ["x"], {})},
    "tokenizer without an end": (edit_json(SETTINGS, "eos_token", None), "tokenizer"),
    "tokenizer that adds no end": (
        both(edit_json(TOKENIZER, "post_processor", None),
             edit_json(SETTINGS, "tokenizer_class", "PreTrainedTokenizerFast")), "EOS token"),
    "tokenizer with an id too large": (
        edit_json(TOKENIZER, f"{VOCABULARY}.a", 10**6), "tokens, the model 600"),
    "tokenizer with a negative id": (edit_json(TOKENIZER, f"{VOCABULARY}.a", -1), "tokenizer"),
    "tokenizer with ids of text": (edit_json(TOKENIZER, f"{VOCABULARY}.a", "x"), "tokenizer"),
    "tokenizer of another vocabulary": (edit_json(TOKENIZER, VOCABULARY, {"a": 0}), "copy"),
    **{f"{field} = {value!r:.24}": (edit_json(PREPROCESSOR, field, value), PREPROCESSOR)
       for field, value in (
           ("size", {"shortest_edge": 10**9}), ("size", {"shortest_edge": -1}), ("size", "x"),
           ("size", []), ("size.shortest_edge", None), ("size.shortest_edge", "x"),
           ("size", {"height": 10**9, "width": 9}), ("crop_size", {"height": 10**9, "width": 1}),
           ("crop_size", {"height": 0, "width": 0}), ("crop_size", 10**100),
           ("image_mean", [0.1]), ("image_mean", "abc"), ("image_mean", [1, 2, "x"]),
           ("image_mean", 3), ("image_std", [0, 0, 0]), ("image_std", [-1, 1, 1]),
           ("image_std", [float("inf")] * 3), ("image_mean", [float("nan")] * 3),
           ("rescale_factor", 0), ("rescale_factor", -1), ("rescale_factor", "x"),
           ("rescale_factor", float("inf")), ("resample", 99), ("resample", "x"),
           ("resample", -1), ("do_resize", "no"), ("do_normalize", 2), ("do_rescale", [1]),
           ("do_center_crop", "deep"))},
    "no crop, and sides kept": (edit_json(PREPROCESSOR, "do_center_crop", False), "into"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), CASES.values(), ids=CASES)
def test_damaged_checkpoint(damage, message, folder, no_network):  # noqa: F811
    damage(folder)
    with pytest.raises(ERRORS, match=message) as caught:
        load_clip(folder, "cpu")
    assert str(folder) in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 3000
    assert no_network == []


class Canary:
    """Creates a file when it is unpickled."""

    path = ""

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def code(folder):
    """Python code that creates a file, in every place where transformers looks for code."""
    canary = folder.parent / "executed"
    text = f"from pathlib import Path\nPath({str(canary)!r}).touch()\n"
    text += "class Evil:\n    from_pretrained = classmethod(lambda c, *a, **k: c())\n"
    for name in ("evil.py", "modeling_evil.py", "tokenization_evil.py", "setup.py", "conftest.py"):
        (folder / name).write_text(text)
    return canary


def auto_map(file):
    names = ("AutoConfig", "AutoModel", "AutoTokenizer", "AutoImageProcessor")
    remote = "evil/model--evil.Evil" if file == PREPROCESSOR else "evil.Evil"
    value = dict.fromkeys(names, remote)
    value["AutoTokenizer"] = [remote, remote]
    return edit_json(file, "auto_map", value)


def pickles(folder):
    Canary.path = str(folder.parent / "executed")
    content = pickle.dumps(Canary())
    for name in (
        "pytorch_model.bin",
        "model.pkl",
        "training_args.bin",
        "optimizer.pt",
        ".metadata",
    ):
        (folder / name).write_bytes(content)
    torch.save({"x": Canary()}, folder / "pytorch_model.bin")


HOSTILE = {
    **{f"auto_map in {file}": auto_map(file) for file in (CONFIG, SETTINGS, PREPROCESSOR)},
    "trust_remote_code": both(
        *(edit_json(file, "trust_remote_code", True) for file in (CONFIG, SETTINGS, PREPROCESSOR)),
        *(auto_map(file) for file in (CONFIG, SETTINGS, PREPROCESSOR))),
    **{f"attention {name} {where}": edit_json(CONFIG, f"{where}{name}", kernel)
       for name in ("_attn_implementation", "attn_implementation", "_attn_implementation_internal")
       for where in ("", "text_config.", "vision_config.")
       for kernel in ("kernels-community/flash-attn", "evil/kernel:attention")},
    "attention for each part": edit_json(
        CONFIG, "_attn_implementation", {"text_config": "evil/kernel", "vision_config": "evil/x"}),
    "name of another checkpoint": both(
        edit_json(CONFIG, "_name_or_path", "evil/model"),
        edit_json(SETTINGS, "name_or_path", "evil/model")),
    "quantization": edit_json(CONFIG, "quantization_config", {"quant_method": "bitsandbytes"}),
    "kernels": both(edit_json(CONFIG, "use_kernels", True), edit_json(CONFIG, "kernel_config", {})),
    "chat template": both(
        edit_json(SETTINGS, "chat_template", "{{ ''.__class__.__mro__[1].__subclasses__() }}"),
        write("chat_template.jinja", b"{% for x in range(10**9) %}{% endfor %}")),
    "vocabulary elsewhere": both(
        edit_json(SETTINGS, "vocab_file", "/etc/passwd"),
        edit_json(SETTINGS, "tokenizer_file", "/etc/passwd")),
    "pickles beside": pickles,
    "processor class": both(
        edit_json(PREPROCESSOR, "image_processor_type", "Evil"),
        edit_json(PREPROCESSOR, "processor_class", "Evil"),
        write("processor_config.json", b'{"processor_class": "Evil", "auto_map": {"AutoProcessor":'
                                       b' "evil.Evil"}}')),
    "index of other files": write(
        "model.safetensors.index.json", b'{"weight_map": {"logit_scale": "../../e.safetensors"}}'),
    "shards beside pickles": both(shards(SHARDS), pickles),
    "distributed checkpoint": both(pickles, write("__0_0.distcp", b"\x80\x04.")),
    "architectures": edit_json(CONFIG, "architectures", ["Evil"]),
    "legacy fields": edit_json(CONFIG, "text_config_dict", {}),
}  # fmt: skip


@pytest.mark.parametrize("damage", HOSTILE.values(), ids=HOSTILE)
def test_hostile_checkpoint_loads_as_the_same_model(
    damage,
    folder,
    tiny_clip_folder,
    no_network,  # noqa: F811
):
    canary = code(folder)
    damage(folder)
    clip, expected = load_clip(folder, "cpu"), load_clip(tiny_clip_folder, "cpu")
    prompts = ["a photo of one star", "two"]
    assert torch.equal(clip.text_features(prompts), expected.text_features(prompts))
    pixels = torch.ones(1, 3, 64, 64)
    assert torch.equal(clip.image_features(pixels), expected.image_features(pixels))
    config = clip.model.config
    for part in (config, config.text_config, config.vision_config):
        assert part._attn_implementation == "sdpa"
    assert not canary.exists()
    assert no_network == []


def test_tensor_in_two_shards_is_an_error(folder):
    shards(SHARDS)(folder)
    first, second = sorted(folder.glob("model-*"))
    save_file(load_file(first) | load_file(second), second, {"format": "pt"})
    with pytest.raises(ValueError, match=r"model-00002-of-00002.safetensors: .* in two files"):
        load_clip(folder, "cpu")


def test_links_of_the_hub_cache_are_followed(tiny_clip_folder, tmp_path):
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b/snapshots/0123"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in tiny_clip_folder.iterdir():
        shutil.copy(path, blobs / path.name)
        (snapshot / path.name).symlink_to(Path("../../blobs", path.name))
    assert load_clip(snapshot, "cpu").embed_dim == 24
    (snapshot / CONFIG).unlink()
    (snapshot / CONFIG).symlink_to(tiny_clip_folder / CONFIG)
    with pytest.raises(ValueError, match="out of the folder"):
        load_clip(snapshot, "cpu")


def test_link_to_a_folder_is_followed(tiny_clip_folder, tmp_path):
    (tmp_path / "link").symlink_to(tiny_clip_folder)
    assert load_clip(tmp_path / "link", "cpu").embed_dim == 24


@pytest.mark.parametrize("name", ["../weights/pico-clip", "pico-clip/../pico-clip", "..", "a\0b"])
def test_names_with_separators_are_no_bundled_checkpoint(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ERRORS, match=r"no checkpoint|not a transformers checkpoint"):
        find_checkpoint(name)


SIGLIP_SIZES = ("text_config.vocab_size", "text_config.hidden_size", "vision_config.hidden_size")


@pytest.fixture(scope="module", params=BUILDERS)
def siglip(request, tmp_path_factory):
    return BUILDERS[request.param](tmp_path_factory.mktemp("siglips") / request.param)


@pytest.mark.parametrize("field", [*SIGLIP_SIZES, "vision_config.num_hidden_layers"])
@pytest.mark.parametrize("value", [0, 10**9, "x"])
def test_damaged_siglip(field, value, siglip, tmp_path, no_network):  # noqa: F811
    folder = shutil.copytree(siglip, tmp_path / "copy")
    edit_json(CONFIG, field, value)(folder)
    with pytest.raises(ValueError, match=rf"config.json: {field} = ") as caught:
        load_clip(folder, "cpu")
    assert str(folder) in str(caught.value)


def test_hostile_siglip_loads_as_the_same_model(siglip, tmp_path, no_network):  # noqa: F811
    folder = shutil.copytree(siglip, tmp_path / "copy")
    canary = code(folder)
    for name in ("auto_map in config.json", "attention for each part", "pickles beside", "kernels"):
        HOSTILE[name](folder)
    clip, expected = load_clip(folder, "cpu"), load_clip(siglip, "cpu")
    assert torch.equal(clip.text_features(["one star"]), expected.text_features(["one star"]))
    assert clip.settings_hash == expected.settings_hash
    assert clip.model.config.text_config._attn_implementation == "sdpa"
    assert not canary.exists()
    assert no_network == []
