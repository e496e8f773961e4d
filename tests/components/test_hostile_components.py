"""Damaged and hostile components: a clear error, at once; no code runs, nothing is fetched."""

import json
import os
import shutil
import struct

import numpy as np
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
from small_adapter import small_adapter

from ordlib import CoOp, OrdinalTask, load_clip, load_component
from ordlib.clip import checkpoints
from ordlib.components import registry
from ordlib.methods.ood import MahalanobisOOD
from ordlib.metrics.conformal import ConformalCalibration

RIPENESS = OrdinalTask(
    name="ripeness", unit="days", values=("green", "yellow", "brown"), positions=(0, 2.5, 7)
)
WEIGHTS = "model.safetensors"
ERRORS = (ValueError, FileNotFoundError)


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@pytest.fixture(scope="module")
def components(clip, tiny_clip_folder, tmp_path_factory):
    """A CoOp with LoRA, OOD detector and calibration, and a ranking adapter."""
    root = tmp_path_factory.mktemp("components")
    coop = CoOp(clip, RIPENESS, image_encoder="lora")
    coop.ood_detector = MahalanobisOOD(np.zeros(24), np.eye(24), 3.0)
    coop.calibrations["ripeness"] = ConformalCalibration((0.5, 1.0), 1.5)
    coop.save_pretrained(root / "coop", {"seed": 3})
    small_adapter(tiny_clip_folder).save_pretrained(root / "adapter", {"seed": 4})
    return root


@pytest.fixture
def copy(components, tmp_path):
    return lambda name: shutil.copytree(components / name, tmp_path / name)


# Each field is deleted, and gets values of other types and sizes.
COOP_FIELDS = [
    *("method", "options", "task", "backbone", "calibrations", "ood_threshold", "sha256"),
    *(f"options.{name}" for name in ("image_encoder", "adapter", "lora_r", "lora_target_modules")),
    *(f"options.{name}" for name in ("seed", "template", "n_ctx", "tune_context", "suffix")),
    *(f"task.{name}" for name in ("name", "unit", "values", "positions", "rank_names")),
    *(f"task.{name}" for name in ("templates", "placeholders", "bin_edges", "bin_phrases")),
    *(f"task.{name}" for name in ("bin_templates", "upper_edge", "decode", "augmentations")),
    *("backbone.name", "backbone.sha256", "backbone.resize", "backbone.path"),
    *("calibrations.ripeness", "calibrations.ripeness.residuals"),
    "calibrations.ripeness.temperature",
]
ADAPTER_FIELDS = [
    *("tasks", "tasks.0", "tasks.0.values", "prompt_templates", "prompt_templates.counting"),
    *("prompt_templates.counting.0", "label_scalers", "label_scalers.dating"),
    *(f"label_scalers.dating.{name}" for name in ("mean", "std", "slope", "intercept")),
    *("ood_thresholds", "ood_thresholds.dating", "options.use_cls_token"),
    *("options.learnable_tokens", "options.pairwise_head", "options.negative_ratio"),
]
VALUES = {
    "deleted": DELETE,
    "null": None,
    "true": True,
    "negative": -1,
    "huge": 10**9,
    "googol": 10**100,
    "infinite": float("inf"),
    "nan": float("nan"),
    "text": "\x1b[31m[red]",
    "list": [],
    "objects": [{}, {}],
    "object": {"x": 1},
    "deep": "deep",
}
# What is a valid value, or an optional field of which older versions have none.
FINE = {
    *(f"{field}-deleted" for field in COOP_FIELDS
      if field.startswith("options.") and field != "options.image_encoder"),
    *(f"options.{name}-deleted" for name in ("learnable_tokens", "pairwise_head", "use_cls_token")),
    *("backbone.name-text", "backbone.resize-deleted", "prompt_templates.counting.0-deleted"),
    *("options.negative_ratio-deleted", "options.adapter-true", "options.use_cls_token-true"),
    *("options.tune_context-true", "options.seed-negative", "options.seed-huge"),
    *("options.lora_target_modules-null", "options.use_cls_token-null", "options.template-null"),
    *("options.template-null", "options.n_ctx-null", "options.suffix-text"),
    *("calibrations-deleted", "calibrations.ripeness-deleted"),
    *("calibrations.ripeness.temperature-null", "calibrations.ripeness.temperature-deleted"),
    *("calibrations.ripeness.temperature-huge", "calibrations.ripeness.residuals-list"),
    *("calibrations.ripeness.temperature-googol",),
    # A task's fields that have defaults.
    *(f"task.{name}-{how}" for how in ("deleted", "null")
      for name in ("rank_names", "bin_edges", "bin_templates", "upper_edge", "augmentations")),
    *("task.templates-deleted", "task.placeholders-deleted", "task.decode-deleted"),
    *("task.augmentations-list", "task.upper_edge-huge", "task.upper_edge-googol"),
    *(f"label_scalers.dating.{name}-huge" for name in ("mean", "std", "slope", "intercept")),
    *(f"label_scalers.dating.{name}-googol" for name in ("mean", "std", "slope", "intercept")),
    *("label_scalers.dating.mean-negative", "label_scalers.dating.intercept-negative"),
    *("ood_threshold-huge", "ood_threshold-googol"),
    *("ood_thresholds.dating-huge", "ood_thresholds.dating-googol"),
    *("prompt_templates.counting.0-text", "backbone.path-deleted", "backbone.path-text"),
}  # fmt: skip
FIELD_CASES = [
    (component, f"{field}-{how}", edit_json("config.json", field, value))
    for component, fields in (("coop", COOP_FIELDS), ("adapter", ADAPTER_FIELDS))
    for field in fields
    for how, value in VALUES.items()
]


@pytest.mark.parametrize(
    ("component", "case", "damage"), FIELD_CASES, ids=[f"{c[0]}-{c[1]}" for c in FIELD_CASES]
)
def test_config_with_a_damaged_field(component, case, damage, clip, copy):
    folder = copy(component)
    damage(folder)
    if case in FINE:
        model = load_component(folder, clip)
        assert json.loads(json.dumps(model.config()))
        return
    with pytest.raises(ERRORS) as caught:
        load_component(folder, clip)
    message, (field, how) = str(caught.value), case.rsplit("-", 1)
    assert str(folder) in message
    assert "\x1b" not in message
    assert len(message) < 1000
    # What is no JSON is so anywhere.
    if how not in ("infinite", "nan", "deep"):
        # Positions decide about the bins' edges, and a tuned encoder about the tensors.
        last = [part for part in field.split(".") if not part.isdigit()][-1]
        aliases = {"positions": "bin_edges", "sha256": "weights"}
        aliases["options"] = "unexpected keyword argument 'x'"
        assert last in message or aliases.get(last, last) in message


def header(change):
    """Change the header of a safetensors file."""

    def edit(content):
        (length,) = struct.unpack("<Q", content[:8])
        parsed = json.loads(content[8 : 8 + length])
        text = change(parsed)
        text = json.dumps(parsed if text is None else text).encode()
        return struct.pack("<Q", len(text)) + text + content[8 + length :]

    return edit_bytes(WEIGHTS, edit)


def first(tensors):
    return next(name for name in sorted(tensors) if "lora_A" in name)


def tensor(change):
    """Replace the first LoRA tensor by a function of it."""

    def edit(tensors):
        name = first(tensors)
        tensors[name] = change(tensors[name])

    return edit_tensors(edit)


def swap(name):
    def damage(folder):
        other = folder.parents[0] / "other"
        CoOp(damage.clip, RIPENESS, seed=5, n_ctx=2).save_pretrained(other, {"seed": 9})
        shutil.copy(other / name, folder / name)

    return damage


def duplicate(field):
    return edit_bytes("config.json", lambda c: c.replace(b"{", b'{"%s": 1,' % field.encode(), 1))


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(2**40)


DEVICES = {
    "fifo": os.mkfifo,
    "folder": os.mkdir,
    "zero device": lambda path: path.symlink_to("/dev/zero"),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
}
# Component, damage, what the message contains besides the folder.
FILE_CASES = {
    **{f"{w} tensor": (tensor(lambda t, v=v: torch.full_like(t, v)), "NaN or infinite")
       for w, v in (("nan", torch.nan), ("inf", torch.inf), ("-inf", -torch.inf))},
    "one nan among the detector": (
        edit_tensors(lambda t: t["ood.precision"].__setitem__((0, 1), torch.nan)), "ood.precision"),
    "missing tensor": (edit_tensors(lambda t: t.pop(first(t))), "lora_A"),
    "extra tensor": (edit_tensors(lambda t: t.update(evil=torch.ones(2))), "evil"),
    "other shape": (tensor(lambda t: t[:, :3].contiguous()), "lora_A"),
    "scalar": (tensor(lambda t: t.sum()), "lora_A"),
    "empty": (tensor(lambda t: t[:0].contiguous()), "lora_A"),
    **{f"dtype {d}": (tensor(lambda t, d=d: t.to(d)), "floating-point")
       for d in (torch.int64, torch.bool, torch.uint8, torch.complex64, torch.float8_e4m3fn)},
    "float64 too large for float32": (
        tensor(lambda t: torch.full_like(t, 1e300, dtype=torch.float64)), "infinite"),
    "no mean of the detector": (edit_tensors(lambda t: t.pop("ood.mean")), "ood.mean"),
    "no precision": (edit_tensors(lambda t: t.pop("ood.precision")), "ood.precision"),
    "detector of another width": (
        edit_tensors(lambda t: t.update({"ood.mean": torch.zeros(9)})), "ood.mean"),
    "precision of another width": (
        edit_tensors(lambda t: t.update({"ood.precision": torch.eye(9)})), "ood.precision"),
    "no threshold": (edit_json("config.json", "ood_threshold", None), "threshold"),
    "zero threshold": (edit_json("config.json", "ood_threshold", 0), "threshold"),
    "no detector but a threshold": (
        edit_tensors(lambda t: (t.pop("ood.mean"), t.pop("ood.precision"))), "ood.mean"),
    "empty weights": (edit_bytes(WEIGHTS, lambda c: b""), "not a safetensors file"),
    "seven bytes": (edit_bytes(WEIGHTS, lambda c: c[:7]), "not a safetensors file"),
    "header alone": (edit_bytes(WEIGHTS, lambda c: c[:200]), "not a safetensors file"),
    "longest header": (
        edit_bytes(WEIGHTS, lambda c: b"\xff" * 8 + c[8:]), "not a safetensors file"),
    "header of a gigabyte": (
        edit_bytes(WEIGHTS, lambda c: struct.pack("<Q", 2**30) + c[8:]), "not a safetensors file"),
    "header of zero": (
        edit_bytes(WEIGHTS, lambda c: bytes(8) + c[8:]), "not a safetensors file"),
    "header one longer": (
        edit_bytes(WEIGHTS, lambda c: bytes([c[0] + 1]) + c[1:]), "not a safetensors file"),
    "bytes behind": (edit_bytes(WEIGHTS, lambda c: c + b"more"), "not a safetensors file"),
    "a pickle": (edit_bytes(WEIGHTS, lambda c: b"\x80\x04K\x01."), "not a safetensors file"),
    "offsets beyond the end": (
        header(lambda h: h[first(h)].update(data_offsets=[0, 2**40])), "not a safetensors file"),
    "negative offsets": (
        header(lambda h: h[first(h)].update(data_offsets=[-1, 5])), "not a safetensors file"),
    "shape of 2**80": (
        header(lambda h: h[first(h)].update(shape=[2**40, 2**40])), "not a safetensors file"),
    "unknown dtype": (
        header(lambda h: h[first(h)].update(dtype="F31")), "not a safetensors file"),
    "header a list": (header(lambda h: [1]), "not a safetensors file"),
    "two tensors at one place": (
        header(lambda h: h[first(h)].update(h["ood.mean"])), "not a safetensors file"),
    "weights changed without the hash": (
        lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-1] + b"\x07"), "damaged"),
    "weights of another component": (swap(WEIGHTS), "damaged or exchanged"),
    "config of another component": (swap("config.json"), "damaged or exchanged"),
    "card of another component": (swap("card.json"), "card of other weights"),
    **{f"{name} missing": (replace_by(name, lambda path: None), f"{name} is missing")
       for name in (WEIGHTS, "config.json", "card.json")},
    **{f"{name} a {kind}": (replace_by(name, make), name)
       for name in (WEIGHTS, "config.json", "card.json") for kind, make in DEVICES.items()},
    **{f"{name} linked outside": (link_outside(name), "out of the folder")
       for name in (WEIGHTS, "config.json", "card.json")},
    **{f"{name} of a terabyte": (replace_by(name, sparse), "bytes")
       for name in (WEIGHTS, "config.json", "card.json")},
    **{f"{name} of {what}": (replace_by(name, lambda p, c=c: p.write_bytes(c)), name)
       for name in ("config.json", "card.json")
       for what, c in {"nothing": b"", "a list": b"[1]", "a text": b'"x"', "null": b"null",
                       "a number": b"1e999", "NUL": b"\0" * 9, "no UTF-8": b'{"\xff": 1}',
                       "two objects": b"{}{}", "half an object": b'{"a": '}.items()},
    **{f"{field} twice": (duplicate(field), f"'{field}' occurs twice")
       for field in ("method", "options", "sha256")},
    "card with NaN": (
        replace_by("card.json", lambda p: p.write_text('{"mae": NaN}')), "card.json: damaged"),
    "unknown field": (edit_json("config.json", "blend", 1), "unknown field 'blend'"),
    "unknown option": (edit_json("config.json", "options.blend", 1), "blend"),
    "unknown field of the task": (edit_json("config.json", "task.blend", 1), "task.blend"),
    "fields of the adapter": (edit_json("config.json", "tasks", []), "'tasks'"),
    "another method": (edit_json("config.json", "method", "NumCLIP"), "NumCLIP|tensor|tune"),
    "method of the library": (edit_json("config.json", "method", "OrdinalMethod"), "method ="),
    "method of another module": (edit_json("config.json", "method", "os.system"), "method ="),
    "residuals not in order": (
        edit_json("config.json", "calibrations.ripeness.residuals", [2, 1]), "residuals"),
    "residuals of text": (
        edit_json("config.json", "calibrations.ripeness.residuals", ["1"]), "residuals"),
    "negative residual": (
        edit_json("config.json", "calibrations.ripeness.residuals", [-1, 1]), "residuals"),
    "temperature of zero": (
        edit_json("config.json", "calibrations.ripeness.temperature", 0), "temperature"),
    "pattern that takes years": (
        edit_json("config.json", "options.lora_target_modules", r"(a|[a-z_.0-9]|.)+[#$]"),
        "lora_target_modules"),
    "pattern that is none": (
        edit_json("config.json", "options.lora_target_modules", "(("), "lora_target_modules"),
    "long pattern": (
        edit_json("config.json", "options.lora_target_modules", ".*" * 10_000), "lora_target_mod"),
    "template with nested braces": (
        edit_json("config.json", "options.template", "{rank}" + "{a" * 500), "template"),
    "template of a format": (
        edit_json("config.json", "options.template", "{rank:>999999999}"), "template"),
    "many ranks": (
        edit_json("config.json", "task.values", [*range(100_000)]), "values"),
    "many templates": (
        edit_json("config.json", "task.templates", ["{rank}"] * 100_000), "templates"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), FILE_CASES.values(), ids=FILE_CASES)
def test_damaged_component(damage, message, clip, copy):
    damage.__dict__["clip"] = clip
    folder = copy("coop")
    damage(folder)
    with pytest.raises(ERRORS, match=message) as caught:
        load_component(folder, clip)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value)) < 1000


ADAPTER_CASES = {
    "detector of no task": (
        edit_tensors(lambda t: t.update({"ood.x.mean": torch.ones(1)})), r"ood_thresholds\.x"),
    "no threshold of a detector": (
        edit_json("config.json", "ood_thresholds.dating", DELETE), r"ood_thresholds\.dating"),
    "threshold of no task": (edit_json("config.json", "ood_thresholds.x", 1), "ood_thresholds"),
    "scaler of no task": (edit_json("config.json", "label_scalers.x", {}), "label_scalers"),
    "prompts of no task": (edit_json("config.json", "prompt_templates.x", ["a"]), "prompt_templ"),
    "two tasks of one name": (edit_json("config.json", "tasks.0.name", "dating"), "dating"),
    **{f"template {text:.12}": (
        edit_json("config.json", "prompt_templates.counting.0", text), "prompt_templates")
       for text in ("{plural.__class__}", "{plural:>999999999}", "{0}", "{" * 5000, "{a[0]}", "")},
    "detector without the class token": (
        edit_tensors(lambda t: t.update({"ood.dating.mean": torch.zeros(24)})), "ood.dating.mean"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), ADAPTER_CASES.values(), ids=ADAPTER_CASES)
def test_damaged_adapter(damage, message, clip, copy):
    folder = copy("adapter")
    damage(folder)
    with pytest.raises(ERRORS, match=message) as caught:
        load_component(folder, clip)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("value", [1e-40, 0.0, 6e4])
def test_unusual_but_finite_weights_load(value, clip, copy):
    folder = copy("coop")
    tensor(lambda t: torch.full_like(t, value))(folder)
    model = load_component(folder, clip)
    assert np.isfinite(model.predict_from_features(torch.ones(1, 24)).value).all()


@pytest.mark.parametrize(
    "name", ["", "../weights/coop-dating", "..", "coop-dating/", "a\0b", "~x/y"]
)
def test_names_that_are_no_bundled_component(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ERRORS, match=r"no component|not a component"):
        load_component(name)


def test_a_folder_of_the_user_may_lie_above(components, clip, tmp_path, monkeypatch):
    shutil.copytree(components / "coop", tmp_path / "coop")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert load_component("../coop", clip).card["seed"] == 3


@pytest.mark.parametrize("name", ["evil/model", "a/../b", "../../x", "https://evil.org/x", "x"])
def test_component_names_an_unknown_backbone(name, copy, no_network):  # noqa: F811
    folder = copy("coop")
    edit_json("config.json", "backbone.name", name)(folder)
    edit_json("config.json", "backbone.path", DELETE)(folder)
    with pytest.raises(FileNotFoundError, match="downloads no backbone that a component names"):
        load_component(folder)
    assert no_network == []


def test_component_of_a_cached_or_named_backbone_needs_no_argument(copy, clip, monkeypatch):
    folder = copy("coop")
    edit_json("config.json", "backbone.path", DELETE)(folder)
    loaded = []
    monkeypatch.setattr(registry, "load_clip", lambda name, *_, **__: loaded.append(name) or clip)
    monkeypatch.setattr(checkpoints, "cached", lambda name: folder if name == "a/b" else None)
    names = [str(clip.folder), "openai/clip-vit-base-patch32", "pico-clip", "a/b"]
    for name in names:
        edit_json("config.json", "backbone.name", name)(folder)
        load_component(folder)
    assert loaded == names


def test_card_with_escape_codes_and_brackets(clip, copy):
    folder = copy("coop")
    text = "\x1b]0;title\x07[bold]x[/bold]"
    edit_json("card.json", "description", text)(folder)
    model = load_component(folder, clip)
    assert model.card["description"] == text
    assert "\x1b" not in str(model.card) + str(model.task)


def test_read_only_folder_loads_and_names_itself_when_saved_to(clip, copy, monkeypatch):
    folder = copy("coop")
    model = load_component(folder, clip)

    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    # Root may write anywhere.
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError, match="coop"):
        model.save_pretrained(folder)
    monkeypatch.undo()
    assert load_component(folder, clip).card["seed"] == 3
