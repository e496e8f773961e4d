"""CLIP image preprocessing, identical with and without torchvision."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
import transformers
from PIL import Image, ImageOps

from ..utils.cache import content_hash
from ..utils.validation import check_choice

Resize = Literal["crop", "squash", "pad"]

# transformers 5.0 has the PIL processor under the plain name; later versions moved it, and use
# the plain name for one that needs torchvision and differs by up to 0.015.
_IS_SPLIT = hasattr(transformers, "CLIPImageProcessorPil")
PROCESSOR = getattr(transformers, "CLIPImageProcessorPil" if _IS_SPLIT else "CLIPImageProcessor")


class Preprocessor:
    """CLIP's resize, center crop and normalization, computed with Pillow and torch.

    Args:
        folder: checkpoint folder; without a preprocessor config, OpenAI's settings are used.
        image_size: input size of the model in pixels.
        resize: "crop" is CLIP's own: the short side is scaled, and what lies outside the central
            square is not seen. "squash" scales both sides, which changes the aspect ratio. "pad"
            scales the long side and fills the rest with the mean color.

    Attributes:
        key: hash of the settings and of ``resize``, for caches.

    Raises:
        ValueError: unknown ``resize``, or settings that give another size than ``image_size``.

    Example:
        >>> preprocess = Preprocessor(Path("folder-without-settings"), image_size=32)
        >>> pixels = preprocess([Image.new("RGB", (96, 64), "white")])
        >>> pixels.shape, [round(float(x), 2) for x in pixels[0, :, 0, 0]]
        (torch.Size([1, 3, 32, 32]), [1.93, 2.07, 2.15])
    """

    def __init__(self, folder: Path, image_size: int, resize: Resize = "crop") -> None:
        check_choice("resize", resize, get_args(Resize))
        files = ("preprocessor_config.json", "processor_config.json")
        if any((folder / name).is_file() for name in files):
            self._processor = PROCESSOR.from_pretrained(folder, local_files_only=True)
        else:
            crop_size = {"height": image_size, "width": image_size}
            self._processor = PROCESSOR(size={"shortest_edge": image_size}, crop_size=crop_size)
        settings = self._processor.to_dict()
        sizes = [_lengths(settings[name]) for name in ("size", "crop_size")]
        mean, std = ([float(x) for x in settings[name]] for name in ("image_mean", "image_std"))
        rescale = settings["rescale_factor"]
        self._mean_color = tuple(round(x / rescale) for x in mean)
        # transformers may leave out either step.
        mean, std = (mean, std) if settings["do_normalize"] else ([0.0] * 3, [1.0] * 3)
        rescale = rescale if settings["do_rescale"] else 1.0
        geometry = sizes, settings["do_resize"], settings["do_center_crop"], resize
        self.image_size, self.resize = image_size, resize
        self._resample = Image.Resampling(settings["resample"])
        self.key = content_hash(*geometry, int(self._resample), mean, std, rescale)
        self._already_sized = all(set(size.values()) == {image_size} for size in sizes)
        mean, std = (torch.tensor(x, dtype=torch.float64).view(3, 1, 1) for x in (mean, std))
        self._factor = (rescale / std).float()
        self._shift = (-mean / std).float()
        self._check_output_size(folder)

    def _check_output_size(self, folder: Path) -> None:
        side = self.image_size
        height, width = self._resize(Image.new("RGB", (2 * side, side + 1)), 0).shape[:2]
        if (height, width) != (side, side):
            raise ValueError(
                f"{folder}: the preprocessor config turns an image of {2 * side} by {side + 1} "
                f"pixels into {width} by {height}, but the model takes {side} by {side}; correct "
                "size, crop_size, do_resize or do_center_crop, or set resize='squash' or 'pad'"
            )

    def unseen_fraction(self, width: int, height: int) -> float:
        """Fraction of an image's area that the center crop leaves out, 0 to 1."""
        return 1 - min(width, height) / max(width, height) if self.resize == "crop" else 0.0

    def __call__(
        self, images: Sequence[Image.Image | np.ndarray], device: torch.device | str = "cpu"
    ) -> torch.Tensor:
        """Pixels for the image encoder, ``(N, 3, image_size, image_size)`` float32.

        Args:
            images: N PIL images of any mode, or uint8 arrays (H, W), (H, W, 3) or (H, W, 4).
            device: device of the result.

        Raises:
            ValueError: no images, or an array that is no uint8 image (gives its index).
        """
        if len(images) == 0:
            raise ValueError("images = []: no images to preprocess")
        resized = np.stack([self._resize(image, index) for index, image in enumerate(images)])
        # Transposed and transferred as bytes: a quarter of the traffic.
        pixels = torch.from_numpy(resized).permute(0, 3, 1, 2).contiguous().to(device).float()
        return pixels.mul_(self._factor.to(device)).add_(self._shift.to(device))

    def _resize(self, image: Image.Image | np.ndarray, index: int) -> np.ndarray:
        """Scale to ``(image_size, image_size, 3)`` uint8."""
        array, square = _rgb(image, index), (self.image_size, self.image_size)
        if self._already_sized and array.shape[:2] == square:
            return array
        if self.resize == "squash":
            return np.asarray(Image.fromarray(array).resize(square, self._resample))
        if self.resize == "pad":
            padding = {"method": self._resample, "color": self._mean_color}
            return np.asarray(ImageOps.pad(Image.fromarray(array), square, **padding))
        resized = self._processor(
            array,
            do_rescale=False,
            do_normalize=False,
            # Explicit, because an image of three rows could be taken for channels first.
            input_data_format="channels_last",
            return_tensors="np",
        )["pixel_values"][0]
        return resized.transpose(1, 2, 0).astype(np.uint8)


def _rgb(image: Image.Image | np.ndarray, index: int) -> np.ndarray:
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    array = np.asarray(image)
    channels = array.shape[2:]
    if array.dtype != np.uint8 or array.ndim < 2 or channels not in ((), (3,), (4,)):
        raise ValueError(
            f"images[{index}] is a {array.dtype} array of shape {array.shape}; give PIL images or "
            "uint8 arrays (height, width, 3) with values 0 to 255"
        )
    return array if channels == (3,) else np.asarray(Image.fromarray(array).convert("RGB"))


def _lengths(size: dict) -> dict[str, int]:
    """Normalized size: transformers' versions differ in the entries that they leave empty."""
    return {name: int(length) for name, length in sorted(dict(size).items()) if length}
