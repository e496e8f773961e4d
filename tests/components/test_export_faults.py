"""Faults of `export_onnx`: odd parameters, paths and threads, and models of the example."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ordlib import CORN, ImageData, OrdinalTask, export_onnx, load_clip
from ordlib.components import export


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@pytest.fixture
def model(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return CORN(clip, "dating")


@pytest.fixture
def no_work(monkeypatch):
    monkeypatch.setattr(export, "_Graph", lambda *_: pytest.fail("converted"))
    monkeypatch.setattr(export, "find_spec", lambda name: True)


def fill(value):
    def change(model):
        with torch.no_grad():
            next(model.parameters()).fill_(value)

    return change


ODD = {
    "double": (lambda m: m.double(), "CORN: .* is torch.float64 on cpu, but the export takes"),
    "half": (lambda m: m.half(), "CORN: .* is torch.float16 on cpu"),
    "meta": (lambda m: m.to("meta"), "CORN: .* on meta, .*load_component"),
    "NaN": (fill(np.nan), "CORN: .* has NaN or infinite values; train it again"),
    "infinite": (fill(-np.inf), "CORN: .* has NaN or infinite values"),
}


@pytest.mark.parametrize("case", ODD)
def test_export_onnx_names_the_odd_parameter(model, no_work, case, tmp_path):
    change, message = ODD[case]
    change(model)
    with pytest.raises(ValueError, match=message):
        export_onnx(model, "m.onnx")
    assert [*tmp_path.iterdir()] == []


def test_export_onnx_with_another_default_dtype(model, no_work):
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(ValueError, match=r"default dtype is torch\.float64: call .*float32"):
            export_onnx(model, "m.onnx")
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("other", [None, 3, "numclip-counting", CORN, torch.nn.Linear(2, 2)])
def test_export_onnx_of_no_method(other, no_work, tmp_path):
    with pytest.raises(ValueError, match="is no method of ordlib that can be exported; export"):
        export_onnx(other, tmp_path / "m.onnx")


PATHS = {
    "": "path = '': is empty", "a\0b": "a null character is in the name", ".": "is a folder",
    "folder/": "is a folder", "n" * 300: "File name too long", "loop": "symbolic links",
    "kept": "is read-only", "kept/x.onnx": "is not a folder",
}  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="links")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:9])
def test_export_onnx_names_a_bad_path_before_the_work(model, no_work, path):
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    Path("kept").write_text("kept")
    Path("kept").chmod(0o444)
    with pytest.raises(ValueError, match=PATHS[path]):
        export_onnx(model, path)
    assert Path("kept").read_text() == "kept"


@pytest.mark.parametrize("path", [None, 3, b"m.onnx", ["m.onnx"]])
def test_export_onnx_to_no_path(model, no_work, path):
    with pytest.raises(TypeError, match=r"path = .*: must be the path of a file"):
        export_onnx(model, path)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_export_onnx_that_is_interrupted_keeps_the_old_file(model, error, monkeypatch, tmp_path):
    class Program:
        model = type("Model", (), {"metadata_props": {}})

        def save(self, path, external_data):
            Path(path).write_text("half")
            raise error

    monkeypatch.setattr(export, "find_spec", lambda name: True)
    monkeypatch.setattr(export, "_convert", lambda *_: Program())
    Path("m.onnx").write_text("old")
    with pytest.raises(type(error)) as caught:
        export_onnx(model, "m.onnx")
    assert isinstance(error, KeyboardInterrupt) or "m.onnx" in str(caught.value)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("m.onnx", "old")]


@pytest.mark.parametrize("kind", ["inputs", "metadata"])
def test_example_names_a_file_of_another_program(onnx_model, tmp_path, kind):
    import onnx
    from onnx import TensorProto, helper

    name = "x" if kind == "inputs" else "images"
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in (name, "y")]
    node = helper.make_node("Identity", [name], ["y"])
    graph = helper.make_graph([node], "g", tensors[:1], tensors[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if kind == "inputs":
        helper.set_model_props(made, {"resize": "{}"})
    onnx.save(made, tmp_path / "other.onnx")
    with pytest.raises(ValueError, match=r"other\.onnx: not a file of `ordlib export`"):
        onnx_model(str(tmp_path / "other.onnx"))


@pytest.mark.slow
def test_export_onnx_in_several_threads(model, onnx_model):
    """torch's exporter would fail, and then in every later call of the process."""
    with ThreadPoolExecutor(3) as pool:
        [*pool.map(lambda i: export_onnx(model, f"{i}.onnx"), range(3))]
    export_onnx(model, "3.onnx")
    assert len({Path(f"{i}.onnx").stat().st_size for i in range(4)}) == 1


TASKS = {
    "two ranks": OrdinalTask(name="x", unit="u", values=("a", "b")),
    "a hundred ranks": OrdinalTask(name="x", unit="u", values=tuple(range(100))),
    "decimals": OrdinalTask(name="x", unit="u", values=(0.1, 0.1 + 1e-12, 0.30000000000000004)),
    "huge values": OrdinalTask(name="x", unit="u", values=(-1e300, 0, 1e300)),
    "odd names": OrdinalTask(name='"é"', unit="µ/🎉", values=('é "x"', "日本\\", "<b>🎉")),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TASKS)
def test_export_onnx_of_odd_tasks(clip, onnx_model, tmp_path, case):
    task = TASKS[case]
    model = CORN(clip, task).train()
    path = tmp_path / "\udcff.onnx" if case == "two ranks" else tmp_path / "é\n.onnx"
    export_onnx(model, path)
    if case == "two ranks":  # onnxruntime opens no such name.
        path = path.rename(tmp_path / "m.onnx")
    onnx = onnx_model(str(path))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    rows = pd.DataFrame(index=range(4))
    expected = model.predict(ImageData(task, pixels, np.full(4, task.range[0]), rows, "i", "test"))
    value, index = onnx.session.run(["value", "label_index"], {"images": pixels})
    low, high = task.range
    np.testing.assert_allclose(value / (high - low), expected.value / (high - low), atol=1e-5)
    np.testing.assert_array_equal(index, task.rank_index(expected.label))
    assert (onnx.metadata["task"], onnx.metadata["unit"]) == (task.name, task.unit)
    assert onnx.rank_labels == [task.rank_label(i) for i in range(len(task.rank_values))]
