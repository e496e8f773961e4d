"""How large a pico-clip is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PicoCLIPConfig:
    """The geometry of a pico-clip; the defaults are those of the shipped ones.

    Attributes:
        name: what the command line calls it.
        side, patch: pixels of the picture's side and of a patch's side.
        vision_width, vision_layers: of the image tower; heads are 32 wide.
        text_width, text_layers: of the text tower.
        embed_dim: D, of the space that both towers project to.
    """

    name: str = "small"
    image_size: int = 96
    patch: int = 12
    vision_width: int = 96
    vision_layers: int = 3
    text_width: int = 96
    text_layers: int = 2
    embed_dim: int = 96


SIZES = {"small": PicoCLIPConfig()}


def find_size(name: str) -> PicoCLIPConfig:
    """The size of a name; a ``ValueError`` lists those there are."""
    if name not in SIZES:
        raise ValueError(f"size = {name}: must be one of {', '.join(SIZES)}")
    return SIZES[name]
