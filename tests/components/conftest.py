"""The example of the documentation, which tests of exported files run."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def onnx_model():
    """The example of the documentation."""
    pytest.importorskip("onnxruntime", reason="ordlib[onnx] is not installed")
    pytest.importorskip("onnxscript", reason="ordlib[onnx] is not installed")
    spec = importlib.util.spec_from_file_location("onnx_model", EXAMPLES / "onnx_model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.OnnxModel
