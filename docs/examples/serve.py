"""Serve a file of `ordlib export`: POST /predict with an image, JSON back.

ORDLIB_ONNX=model.onnx uvicorn serve:app        (pip install 'ordlib[onnx,serve]')
curl -F image=@photo.jpg http://127.0.0.1:8000/predict
"""

import os
import tempfile
from pathlib import Path

from fastapi import FastAPI, HTTPException, UploadFile
from onnx_model import OnnxModel

from ordlib.data.image_io import check_bit_depth, inspect_image, load_image, unknown_depth

if not os.environ.get("ORDLIB_ONNX"):
    raise SystemExit("Set ORDLIB_ONNX to a file of `ordlib export`.")
app, model = FastAPI(), OnnxModel(os.environ["ORDLIB_ONNX"])


@app.post("/predict")
def predict(image: UploadFile, bit_depth: int | None = None) -> dict:
    """Predict an image; an error of the client, and no other, has a status of 4xx."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image")
        path.write_bytes(image.file.read())
        try:
            check_bit_depth(bit_depth)
            report = inspect_image(path, bit_depth=bit_depth)
            error = report.error or (None if report.bit_depth else unknown_depth(report.max_value))
            if error:
                raise ValueError(f"the image {error}")
            rgb = load_image(path, model.resize["min_side"], bit_depth)
        except (ValueError, OSError) as error:
            raise HTTPException(422, str(error)) from error
    return model.predict([rgb])[0]
