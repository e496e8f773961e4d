"""Random augmentation of image batches, for tuned image encoders."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip.preprocessing import Preprocessor
from .config import TrainingConfig

# Aspect ratios of random crops, as usual for CLIP and in torchvision.
MIN_RATIO, MAX_RATIO = 3 / 4, 4 / 3


class Augmentation:
    """Random crop, random resized crop, flip, and brightness and contrast jitter of a batch.

    All random numbers are drawn for the whole batch at once, so a resumed run and each of several
    processes see the same images.

    Args:
        config: ``flip``, ``crop_scale``, ``random_crop`` and ``jitter``.
        preprocessor: defines the sizes and the normalization of the pixels.
        rng: source of the random numbers.
        size: number of images in the batch, B.

    Example:
        >>> from ordlib import load_clip
        >>> preprocessor = load_clip("pico-clip", "cpu").preprocessor
        >>> config = TrainingConfig(flip=True, crop_scale=0.5, jitter=0.2)
        >>> augment = Augmentation(config, preprocessor, np.random.default_rng(0), size=4)
        >>> augment(torch.zeros(2, 3, 96, 96), rows=[1, 3]).shape
        torch.Size([2, 3, 96, 96])
    """

    def __init__(
        self,
        config: TrainingConfig,
        preprocessor: Preprocessor,
        rng: np.random.Generator,
        size: int,
    ) -> None:
        self.config, self.preprocessor = config, preprocessor
        self.is_flipped = rng.random(size) < 0.5
        self.area, self.left, self.top = rng.random((3, size))
        self.log_ratio = rng.uniform(np.log(MIN_RATIO), np.log(MAX_RATIO), size)
        self.brightness, self.contrast = rng.uniform(-1, 1, (2, size))
        margin = preprocessor.squashed_size - preprocessor.image_size
        self.crop_left, self.crop_top = rng.integers(0, margin + 1, (2, size))

    def __call__(self, pixels: Tensor, rows: np.ndarray | list[int]) -> Tensor:
        """Return ``(b, 3, S, S)`` augmented pixels; ``rows`` are their positions in the batch.

        S is the ``image_size``; of ``pixels`` to be cropped at random, the ``squashed_size``.
        """
        if self.config.random_crop:
            side = self.preprocessor.image_size
            corners = zip(self.crop_top[rows], self.crop_left[rows], strict=True)
            boxes = [(slice(y, y + side), slice(x, x + side)) for y, x in corners]
            crops = [image[:, y, x] for image, (y, x) in zip(pixels, boxes, strict=True)]
            pixels = torch.stack(crops)
        if self.config.crop_scale:
            pixels = self._crop(pixels, rows)
        if self.config.flip:
            is_flipped = _column(self.is_flipped[rows], pixels, torch.bool)
            pixels = torch.where(is_flipped, pixels.flip(-1), pixels)
        if self.config.jitter:
            pixels = self._jitter(pixels, rows)
        return pixels

    def _crop(self, pixels: Tensor, rows: np.ndarray) -> Tensor:
        """Crop boxes of random area and aspect ratio, scaled to the full size."""
        low = self.config.crop_scale
        area, ratio = low + (1 - low) * self.area[rows], np.exp(self.log_ratio[rows])
        width, height = np.minimum(np.sqrt([area * ratio, area / ratio]), 1)
        # In coordinates from -1 to 1: the box's half lengths are its lengths as fractions.
        x, y = (2 * self.left[rows] - 1) * (1 - width), (2 * self.top[rows] - 1) * (1 - height)
        zeros = np.zeros_like(x)
        theta = np.stack([width, zeros, x, zeros, height, y], axis=1).reshape(-1, 2, 3)
        theta = torch.as_tensor(theta, dtype=pixels.dtype, device=pixels.device)
        grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)

    def _jitter(self, pixels: Tensor, rows: np.ndarray) -> Tensor:
        """Scale the brightness, then the distance from each image's mean."""
        brightness, contrast = (
            _column(1 + self.config.jitter * factor[rows], pixels)
            for factor in (self.brightness, self.contrast)
        )
        image = self.preprocessor.denormalize(pixels)
        image = (image * brightness).clamp(0, 255)
        mean = image.mean((1, 2, 3), keepdim=True)
        image = (mean + (image - mean) * contrast).clamp(0, 255)
        return self.preprocessor.normalize_bytes(image)


def _column(values: np.ndarray, pixels: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return ``(b, 1, 1, 1)``: one value per image."""
    column = torch.as_tensor(values, dtype=dtype or pixels.dtype, device=pixels.device)
    return column.view(-1, 1, 1, 1)
