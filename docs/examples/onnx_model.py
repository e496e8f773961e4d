"""Predict with a file of `ordlib export`: NumPy, Pillow and onnxruntime, no ordlib and no torch.

python onnx_model.py model.onnx image.jpg ...
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class OnnxModel:
    """An exported model: RGB images to values, labels and probabilities."""

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path)
        self.metadata = self.session.get_modelmeta().custom_metadata_map
        inputs = [tensor.name for tensor in self.session.get_inputs()]
        if inputs != ["images"] or "resize" not in self.metadata:
            raise ValueError(f"{path}: not a file of `ordlib export`")
        self.resize = json.loads(self.metadata["resize"])
        self.image_size = json.loads(self.metadata["image_size"])
        self.rank_labels = json.loads(self.metadata["rank_labels"])

    def read(self, file):
        """Read an image file of 8 bits as RGB: upright, transparency on white."""
        image = Image.open(file)
        # JPEG decodes to an eighth, a quarter or half of the size, if that is more than enough.
        image.draft(None, (self.resize["min_side"],) * 2)
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")

    def square(self, image):
        """Scale an RGB image to `(S, S, 3)` uint8, as the backbone of the model does."""
        side, edge, resample = self.image_size, self.resize["edge"], self.resize["resample"]
        if self.resize["resize"] == "pad":
            color = tuple(self.resize["fill"])
            return np.asarray(ImageOps.pad(image, (side, side), method=resample, color=color))
        if self.resize["resize"] == "crop":  # The short side becomes the edge.
            short = min(image.size)
            size = [edge if x == short else int(edge * x / short) for x in image.size]
            left, top = ((x - side) // 2 for x in size)
        else:  # "squash", where the edge is S, and "squash_crop", where it is longer
            size, left, top = (edge, edge), *[round((edge - side) / 2)] * 2
        image = image.resize(size, resample)
        return np.asarray(image.crop((left, top, left + side, top + side)))

    def predict(self, images):
        """Predict RGB images; one dictionary each. Probabilities are calibrated if the model is."""
        names = [output.name for output in self.session.get_outputs()]
        pixels = np.stack([self.square(image) for image in images])
        outputs = dict(zip(names, self.session.run(None, {"images": pixels}), strict=True))
        best = outputs.get("calibrated_probabilities", outputs.get("probabilities"))
        rows = []
        for i, value in enumerate(outputs["value"].tolist()):
            label = self.rank_labels[outputs["label_index"][i]]
            row = {"value": value, "unit": self.metadata["unit"], "label": label}
            if best is not None:  # NumCLIP with fewer bins than ranks predicts a value only.
                row["probabilities"] = dict(zip(self.rank_labels, best[i].tolist(), strict=True))
            rows.append(row)
        return rows


if __name__ == "__main__":
    model = OnnxModel(sys.argv[1])
    for file in sys.argv[2:]:
        print(file, json.dumps(model.predict([model.read(file)])[0]))
