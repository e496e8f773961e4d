"""The server of docs/examples: real uvicorn on a loopback port, good and bad images."""

import io
import json
import os
import socket
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ordlib import export_onnx, load_component

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
START_SECONDS = 60
pytestmark = pytest.mark.slow


def photo(mode: str = "RGB", size: tuple[int, int] = (150, 120)) -> Image.Image:
    """A smooth image, whose colors change with the place."""
    noise = np.random.default_rng(0).integers(0, 256, (5, 6, 4), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, suffix: str, **options: object) -> bytes:
    with io.BytesIO() as file:
        image.save(file, suffix, **options)
        return file.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(photo(size=(700, 500)), "jpeg", exif=exif)


def deep() -> Image.Image:
    return Image.fromarray(np.asarray(photo("L")).astype(np.uint16) * 257)


def bomb() -> bytes:
    """A PNG file whose header claims 60,000 by 60,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return encoded(photo(), "png").replace(encoded(photo(), "png")[8:33], chunk)


GOOD = {
    "jpg": lambda: encoded(photo(size=(900, 700)), "jpeg"),
    "rotated jpg": rotated,
    "png": lambda: encoded(photo(), "png"),
    "png with transparency": lambda: encoded(photo("RGBA"), "png"),
    "palette": lambda: encoded(photo("P"), "png"),
    "gray": lambda: encoded(photo("L"), "png"),
    "cmyk": lambda: encoded(photo("CMYK"), "jpeg"),
    "webp": lambda: encoded(photo(), "webp"),
    "16 bits": lambda: encoded(deep(), "png"),
    "one pixel high": lambda: encoded(photo(size=(90, 1)), "png"),
}
# Content and what the message says.
BAD = {
    "text": (lambda: b"no image", "is damaged or has an unsupported format"),
    "truncated jpg": (lambda: encoded(photo(size=(900, 700)), "jpeg")[:9000], "the image "),
    "truncated png": (lambda: encoded(photo(), "png")[:-300], "the image "),
    "empty": (lambda: b"", "is an empty file"),
    "bomb": (bomb, "pixels; scale it down"),
    "ribbon": (lambda: encoded(photo(size=(3000, 2)), "png"), "an aspect ratio above 100"),
    "16 bits of unknown depth": (lambda: encoded(deep(), "png"), "set bit_depth=16"),
    "script": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "is damaged or has an unsupported format"),
}


@pytest.fixture(scope="module")
def model():
    return load_component("coop-ageing", device="cpu")


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    for name in ("onnxscript", "onnxruntime", "fastapi", "uvicorn", "python_multipart", "httpx"):
        pytest.importorskip(name, reason="ordlib[onnx,serve] is not installed")
    file = tmp_path_factory.mktemp("server") / "model.onnx"
    export_onnx(model, file)
    return file


@pytest.fixture(scope="module")
def server(file):
    """Client of a server in a process of its own."""
    import httpx

    folder = file.parent
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    paths = os.pathsep.join([str(EXAMPLES.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"ORDLIB_ONNX": str(file), "PYTHONPATH": paths}
    command = [sys.executable, "-m", "uvicorn", "serve:app", "--port", str(port)]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            command, cwd=EXAMPLES, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, trust_env=False, timeout=START_SECONDS) as client:
            end = time.monotonic() + START_SECONDS
            while True:
                try:
                    client.get("/docs")
                    break
                except httpx.ConnectError:
                    assert process.poll() is None, (folder / "log").read_text()
                    assert time.monotonic() < end, (folder / "log").read_text()
                    time.sleep(0.1)
            yield client
            assert process.poll() is None, (folder / "log").read_text()
    finally:
        process.terminate()
        process.wait(10)
    assert "Traceback" not in (folder / "log").read_text()


def post(server, content: bytes, field: str = "image", **query: object):
    return server.post("/predict", files={field: ("photo.jpg", content)}, params=query)


@pytest.mark.parametrize("kind", GOOD)
def test_serve_predicts_as_the_model(server, model, tmp_path, kind):
    content, query = GOOD[kind](), {"bit_depth": 16} if kind == "16 bits" else {}
    (tmp_path / "photo").write_bytes(content)
    expected = model.predict_files([tmp_path / "photo"], **query).table.iloc[0]
    response = post(server, content, **query)
    assert response.status_code == 200, response.text
    found = response.json()
    assert found["value"] == pytest.approx(expected["value"], abs=1e-4)
    assert (found["label"], found["unit"]) == (expected["label"], "years")
    label = found["probabilities"][found["label"]]
    assert label == pytest.approx(expected["probability"], abs=1e-4)
    assert len(found["probabilities"]) == model.task.num_ranks
    assert sum(found["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", BAD)
def test_serve_answers_bad_images_with_a_message(server, kind):
    content, message = BAD[kind]
    response = post(server, content())
    assert response.status_code == 422
    assert message in response.json()["detail"]
    assert "/" not in response.json()["detail"].replace("image/", "")
    assert post(server, GOOD["png"]()).status_code == 200  # It lives on.


def test_serve_answers_several_at_once(server):
    contents = [GOOD[kind]() for kind in ("jpg", "png", "gray", "webp")] * 4
    expected = [post(server, content).json() for content in contents]
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda content: post(server, content).json(), contents)]
    assert [row["value"] for row in found] == pytest.approx([row["value"] for row in expected])


def test_onnx_model_runs_without_ordlib(file, model, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(rotated())
    program = (
        "import runpy, sys; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "assert not {'ordlib', 'torch', 'transformers'} & {*sys.modules}"
    )
    code = f"import sys; sys.argv = {[str(EXAMPLES / 'onnx_model.py'), str(file), 'photo.jpg']}\n"
    command = [sys.executable, "-c", code + program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    name, _, found = done.stdout.partition(" ")
    expected = model.predict_files([tmp_path / "photo.jpg"]).table["value"][0]
    assert (name, json.loads(found)["unit"]) == ("photo.jpg", "years")
    assert json.loads(found)["value"] == pytest.approx(expected, abs=1e-4)


def test_serve_names_missing_and_wrong_fields(server):
    for response in (server.post("/predict"), post(server, b"x", field="file")):
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["body", "image"]
    assert "bit_depth = 99" in post(server, GOOD["png"](), bit_depth=99).json()["detail"]
    assert post(server, GOOD["png"](), bit_depth="deep").status_code == 422
    assert server.get("/predict").status_code == 405
