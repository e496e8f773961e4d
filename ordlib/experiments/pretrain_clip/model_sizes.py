"""How large a pico-clip is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PicoSize:
    """The geometry of a pico-clip; the defaults have about 3 million parameters.

    Attributes:
        name: what the command line calls it.
        side, patch: pixels of the picture's side and of a patch's side.
        vision_width, vision_layers: of the image tower; heads are 32 wide.
        text_width, text_layers: of the text tower.
        feature_width: D, of the space that both towers project to.
    """

    name: str = "default"
    side: int = 96
    patch: int = 12
    vision_width: int = 192
    vision_layers: int = 4
    text_width: int = 128
    text_layers: int = 4
    feature_width: int = 128


SIZES = {
    size.name: size
    for size in (
        PicoSize(),
        PicoSize("small", 96, 12, 96, 3, 96, 2, 96),
    )
}


def find_size(name: str) -> PicoSize:
    """Return a size by name.

    Raises:
        ValueError: there is none of that name (lists those there are).
    """
    if name not in SIZES:
        raise ValueError(f"size = {name}: must be one of {', '.join(SIZES)}")
    return SIZES[name]
