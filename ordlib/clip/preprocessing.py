"""Pictures in, CLIP's normalised pixels out: the same numbers with and without torchvision."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

from ..utils.cache import content_hash

# transformers 5.0 has the PIL processor under the plain name; later versions moved it, and
# give the plain name to one that needs torchvision and differs by up to 0.015.
_IS_SPLIT = hasattr(transformers, "CLIPImageProcessorPil")
PROCESSOR = getattr(transformers, "CLIPImageProcessorPil" if _IS_SPLIT else "CLIPImageProcessor")


class Preprocessor:
    """CLIP's own scaling, centre crop and normalisation, computed with Pillow and torch.

    Attributes:
        side: pixels of the square that comes out.
        key: names the settings, for caches.

    Args:
        folder: checkpoint; without a preprocessor file, OpenAI's settings are used.
        side: pixels of the model's input.

    Example:
        >>> preprocess = Preprocessor(Path("a-folder-without-settings"), side=32)
        >>> pixels = preprocess([Image.new("RGB", (96, 64), "white")])
        >>> pixels.shape, [round(float(x), 2) for x in pixels[0, :, 0, 0]]
        (torch.Size([1, 3, 32, 32]), [1.93, 2.07, 2.15])
    """

    def __init__(self, folder: Path, side: int) -> None:
        files = ("preprocessor_config.json", "processor_config.json")
        if any((folder / name).is_file() for name in files):
            self._processor = PROCESSOR.from_pretrained(folder, local_files_only=True)
        else:
            self._processor = PROCESSOR(
                size={"shortest_edge": side}, crop_size={"height": side, "width": side}
            )
        settings = self._processor.to_dict()
        sizes = [_lengths(settings[name]) for name in ("size", "crop_size")]
        mean, std = ([float(x) for x in settings[name]] for name in ("image_mean", "image_std"))
        self.side = side
        self.key = content_hash(
            sizes, int(settings["resample"]), mean, std, settings["rescale_factor"]
        )
        self._already_sized = all(set(size.values()) == {side} for size in sizes)
        mean, std = (torch.tensor(x, dtype=torch.float64).view(3, 1, 1) for x in (mean, std))
        self._factor = (settings["rescale_factor"] / std).float()
        self._shift = (-mean / std).float()

    def __call__(
        self, images: Sequence[Image.Image | np.ndarray], device: torch.device | str = "cpu"
    ) -> torch.Tensor:
        """Pixels that the image tower takes, ``(N, 3, side, side)`` float32 on the device.

        A picture that is not square loses what lies outside its centred square.

        Args:
            images: PIL pictures of any mode, or uint8 arrays (H, W), (H, W, 3) or (H, W, 4).
            device: where the result goes.

        Raises:
            ValueError: no pictures, or an array that is no uint8 picture (says which).
        """
        if len(images) == 0:
            raise ValueError("there are no pictures to preprocess")
        fitted = np.stack([self._fit(image, row) for row, image in enumerate(images)])
        # Turned and sent to the device as bytes: a quarter of the traffic.
        pixels = torch.from_numpy(fitted).permute(0, 3, 1, 2).contiguous().to(device).float()
        return pixels.mul_(self._factor.to(device)).add_(self._shift.to(device))

    def _fit(self, image: Image.Image | np.ndarray, row: int) -> np.ndarray:
        """A picture scaled and cropped, ``(side, side, 3)`` uint8."""
        array = _rgb(image, row)
        if self._already_sized and array.shape[:2] == (self.side, self.side):
            return array
        done = self._processor(
            array,
            do_rescale=False,
            do_normalize=False,
            # Said, or a picture three pixels high would be taken for one of three channels.
            input_data_format="channels_last",
            return_tensors="np",
        )["pixel_values"][0]
        return done.transpose(1, 2, 0).astype(np.uint8)


def _rgb(image: Image.Image | np.ndarray, row: int) -> np.ndarray:
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    array = np.asarray(image)
    layers = array.shape[2:]
    if array.dtype != np.uint8 or array.ndim < 2 or layers not in ((), (3,), (4,)):
        raise ValueError(
            f"picture {row} is a {array.dtype} array of shape {array.shape}; give PIL pictures or "
            "uint8 arrays (height, width, 3) with values 0 to 255"
        )
    if layers == (3,):
        return array
    return np.asarray(Image.fromarray(array).convert("RGB"))


def _lengths(size: dict) -> dict[str, int]:
    """A size spelled in one way: transformers' versions differ in what they leave empty."""
    return {name: int(length) for name, length in sorted(dict(size).items()) if length}
