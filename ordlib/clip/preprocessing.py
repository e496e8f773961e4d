"""Image preprocessing of CLIP and SigLIP, identical with and without torchvision."""

import math
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
import torch
import transformers
from PIL import Image, ImageOps

from ..data.image_io import MAX_ASPECT_RATIO
from ..utils.cache import content_hash
from ..utils.reading import errors_name, get_field, read_json
from ..utils.validation import check_choice
from .architecture import MAX_IMAGE_SIZE

Resize = Literal["crop", "squash", "pad", "squash_crop"]
ENLARGEMENT = 256 / 224  # of the square that "squash_crop" crops from
# A JPEG file may be decoded to a smaller size, but to at least this multiple of the input size.
MIN_REDUCTION = 2

# transformers 5.0 has the PIL processor under the plain name; later versions moved it, and use
# the plain name for one that needs torchvision and differs by up to 0.015.
_SUFFIX = "Pil" if hasattr(transformers, "CLIPImageProcessorPil") else ""
PROCESSOR = getattr(transformers, f"CLIPImageProcessor{_SUFFIX}")
SIGLIP_PROCESSOR = getattr(transformers, f"SiglipImageProcessor{_SUFFIX}")


class Preprocessor:
    """Resize, center crop and normalization of a checkpoint, computed with Pillow and torch.

    Args:
        folder: checkpoint folder; without a preprocessor config, OpenAI's or Google's settings are
            used.
        image_size: input size of the model in pixels.
        resize: "crop" is the checkpoint's own: CLIP's scales the short side, and what lies outside
            the central square is not seen; SigLIP's is "squash". "squash" scales both sides, which
            changes the aspect ratio. "pad" scales the long side and fills the rest with the mean
            color. "squash_crop" scales both sides to 256/224 of the input size and crops the
            center, as the releases of OrdinalCLIP and NumCLIP do (theirs with bilinear
            interpolation and ImageNet's mean and deviation).
        model_type: "clip", "siglip" or "siglip2". The settings of the last, whose images keep their
            aspect ratio, have no size.

    Attributes:
        key: hash of the settings and of ``resize``, for caches.
        min_side: pixels of the shorter side of an image that suffice before it is resized.
        squashed_size: side of the square that "squash_crop" crops from; else ``image_size``.

    Raises:
        ValueError: unknown ``resize``, or settings that give another size than ``image_size``.

    Example:
        >>> preprocess = Preprocessor(Path("folder-without-settings"), image_size=32)
        >>> pixels = preprocess([Image.new("RGB", (96, 64), "white")])
        >>> pixels.shape, [round(float(x), 2) for x in pixels[0, :, 0, 0]]
        (torch.Size([1, 3, 32, 32]), [1.93, 2.07, 2.15])
    """

    def __init__(
        self, folder: Path, image_size: int, resize: Resize = "crop", model_type: str = "clip"
    ) -> None:
        check_choice("resize", resize, get_args(Resize))
        names = ("preprocessor_config.json", "processor_config.json")
        files = [folder / name for name in names if (folder / name).is_file()]
        with errors_name(files[0] if files else folder, Exception):
            self._configure(files, image_size, resize, model_type)
            self._check_output_size()

    def _configure(
        self, files: list[Path], image_size: int, resize: Resize, model_type: str
    ) -> None:
        for path in files:
            read_json(path)
        square = {"height": image_size, "width": image_size}
        processor, defaults = SIGLIP_PROCESSOR, {"size": square}
        if model_type == "clip":
            processor = PROCESSOR
            defaults = {"size": {"shortest_edge": image_size}, "crop_size": square}
        if files:
            options = defaults if model_type == "siglip2" else {}
            options |= {"local_files_only": True}
            self._processor = processor.from_pretrained(files[0].parent, **options)
        else:
            self._processor = processor(**defaults)
        settings = self._processor.to_dict()
        if not settings.get("do_center_crop"):
            settings |= {"do_center_crop": False, "crop_size": settings.get("crop_size") or square}
        sizes = [_lengths(settings[name], name) for name in ("size", "crop_size")]
        mean, std = (_colors(settings[name], name) for name in ("image_mean", "image_std"))
        if not all(std):
            raise ValueError(f"image_std = {std}: must be above 0")
        rescale = get_field(settings, "rescale_factor", float)
        if not 0 < rescale < math.inf:
            raise ValueError(f"rescale_factor = {rescale!r}: must be above 0")
        for name in ("do_resize", "do_center_crop", "do_normalize", "do_rescale"):
            check_choice(name, settings[name], (True, False))
        self._mean_color = tuple(round(x / rescale) for x in mean)
        # transformers may leave out either step.
        mean, std = (mean, std) if settings["do_normalize"] else ([0.0] * 3, [1.0] * 3)
        rescale = rescale if settings["do_rescale"] else 1.0
        # Images of 0 to 255 and a mean of 0 to 1, or the other way around, fill another range.
        span, ends = 255 * rescale / max(std), [abs(x / s) for x, s in zip(mean, std, strict=True)]
        is_usual = settings["do_normalize"] and settings["do_rescale"]
        if is_usual and not (0.25 <= span <= 25 and max(ends) <= 25):
            raise ValueError(
                f"image_mean = {mean}, image_std = {std}, rescale_factor = {rescale:g}: do not go "
                f"together: they turn 0 to 255 into a range of {span:.2g}"
            )
        geometry = sizes, settings["do_resize"], settings["do_center_crop"], resize
        self.image_size, self.resize = image_size, resize
        self._resample = Image.Resampling(settings["resample"])
        self.key = content_hash(*geometry, int(self._resample), mean, std, rescale)
        self._crops = resize == "crop" and settings["do_center_crop"]
        # SigLIP's own steps, without transformers' copies.
        squashes = settings["do_resize"] and not settings["do_center_crop"] and sizes[0] == square
        self._squashes = resize == "squash" or (resize == "crop" and squashes)
        self._already_sized = all(set(size.values()) == {image_size} for size in sizes)
        edge = sizes[0].get("shortest_edge", image_size)
        self.squashed_size = side = image_size
        self._box: tuple[int, ...] | None = None  # of the crop from the squashed image
        if resize == "squash_crop":
            self.squashed_size = side = round(ENLARGEMENT * image_size)
            start = round((side - image_size) / 2)
            self._box = (start, start, start + image_size, start + image_size)
        self.min_side = MIN_REDUCTION * max(edge, side)
        is_usual = sizes == [{"shortest_edge": edge}, {"height": image_size, "width": image_size}]
        is_usual &= settings["do_resize"] and settings["do_center_crop"] and edge >= image_size
        self._edge = edge if is_usual else None
        mean, std = (torch.tensor(x, dtype=torch.float64).view(3, 1, 1) for x in (mean, std))
        self._factor = (rescale / std).float()
        self._shift = (-mean / std).float()

    def _check_output_size(self) -> None:
        side = self.image_size
        height, width = self.resize_image(Image.new("RGB", (2 * side, side + 1))).shape[:2]
        if (height, width) != (side, side):
            raise ValueError(
                f"the preprocessor config turns an image of {2 * side} by {side + 1} "
                f"pixels into {width} by {height}, but the model takes {side} by {side}; correct "
                "size, crop_size, do_resize or do_center_crop, or set resize='squash' or 'pad'"
            )

    def uncropped(self) -> Self:
        """The same preprocessor without the crop of "squash_crop": for random crops in training.

        Its arrays and pixels have a side of ``squashed_size``.
        """
        view = copy(self)
        view._box = None
        return view

    def resize_steps(self) -> dict | None:
        """Steps of :meth:`resize_image`, JSON-serializable; None if they are not the usual ones.

        Returns:
            ``resize``: "crop", "squash", "pad" or "squash_crop"; ``edge``: the side that an image
            is scaled to before the crop; ``resample``: Pillow's number of the filter; ``fill``:
            color that "pad" adds; ``min_side``: as the attribute.
        """
        if self.resize == "crop" and not self._squashes and not self._edge:
            return None
        return {
            "resize": "squash" if self._squashes else self.resize,
            "edge": self._edge if self._crops else self.squashed_size,
            "resample": int(self._resample),
            "fill": list(self._mean_color),
            "min_side": self.min_side,
        }

    def unseen_fraction(self, width: int, height: int) -> float:
        """Fraction of an image's area that CLIP's own center crop leaves out, 0 to 1."""
        return 1 - min(width, height) / max(width, height) if self._crops else 0.0

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
        resized = [self.resize_image(image, index) for index, image in enumerate(images)]
        return self.normalize(resized, device)

    def normalize(self, resized: Sequence[np.ndarray], device: torch.device | str) -> torch.Tensor:
        """Pixels for the image encoder of N arrays from :meth:`resize_image`."""
        # Transposed and transferred as bytes: a quarter of the traffic.
        batch = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).contiguous()
        return self.normalize_bytes(batch.to(device).float())

    def normalize_bytes(self, images: torch.Tensor) -> torch.Tensor:
        """Pixels for the image encoder of ``(N, 3, H, W)`` floats, 0 to 255, changed in place."""
        return images.mul_(self._factor.to(images.device)).add_(self._shift.to(images.device))

    def denormalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """``(N, 3, H, W)`` floats, 0 to 255, of pixels for the image encoder."""
        return (pixels - self._shift.to(pixels.device)) / self._factor.to(pixels.device)

    def resize_image(self, image: Image.Image | np.ndarray, index: int = 0) -> np.ndarray:
        """Scale an image to ``(image_size, image_size, 3)`` uint8; ``index`` is for messages."""
        square = (self.image_size, self.image_size)
        image = to_pil(image, index)
        if self.resize == "squash_crop":
            enlarged = image.resize((self.squashed_size, self.squashed_size), self._resample)
            return np.asarray(enlarged.crop(self._box) if self._box else enlarged)
        if self._already_sized and image.size == square:
            return np.asarray(image)
        if self._squashes:
            return np.asarray(image.resize(square, self._resample))
        if self.resize == "pad":
            padding = {"method": self._resample, "color": self._mean_color}
            return np.asarray(ImageOps.pad(image, square, **padding))
        if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
            raise ValueError(
                f"images[{index}] is {image.width:,} by {image.height:,} pixels, an aspect ratio "
                f"above {MAX_ASPECT_RATIO}; crop it"
            )
        return self._crop(image) if self._edge else self._process(image)

    def _crop(self, image: Image.Image) -> np.ndarray:
        """The usual steps, as in transformers, without its copies."""
        short, side = min(image.size), self.image_size
        size = [self._edge if x == short else int(self._edge * x / short) for x in image.size]
        left, top = ((length - side) // 2 for length in size)
        resized = image.resize(size, self._resample)
        return np.asarray(resized.crop((left, top, left + side, top + side)))

    def _process(self, image: Image.Image) -> np.ndarray:
        resized = self._processor(
            np.asarray(image),
            do_rescale=False,
            do_normalize=False,
            # Explicit, because an image of three rows could be taken for channels first.
            input_data_format="channels_last",
            return_tensors="np",
        )["pixel_values"][0]
        return resized.transpose(1, 2, 0).astype(np.uint8)


def to_pil(image: Image.Image | np.ndarray, index: int) -> Image.Image:
    """An RGB image; ``index`` is for messages."""
    if isinstance(image, Image.Image):
        return image if image.mode == "RGB" else image.convert("RGB")
    array = np.asarray(image)
    channels = array.shape[2:]
    if array.dtype != np.uint8 or array.ndim < 2 or channels not in ((), (3,), (4,)):
        raise ValueError(
            f"images[{index}] is a {array.dtype} array of shape {array.shape}; give PIL images or "
            "uint8 arrays (height, width, 3) with values 0 to 255"
        )
    return to_pil(Image.fromarray(array), index)


def _lengths(size: dict, field: str) -> dict[str, int]:
    """Normalized size: transformers' versions differ in the entries that they leave empty."""
    lengths = {name: int(length) for name, length in sorted(dict(size).items()) if length}
    if not all(0 < length <= MAX_IMAGE_SIZE for length in lengths.values()):
        raise ValueError(f"{field} = {lengths}: must be 1 to {MAX_IMAGE_SIZE}")
    return lengths


def _colors(given: Sequence, field: str) -> list[float]:
    """Red, green and blue."""
    colors = [float(x) for x in given]
    if len(colors) != 3 or not all(math.isfinite(x) and x >= 0 for x in colors):
        raise ValueError(f"{field} = {colors}: must be three numbers from 0")
    return colors
