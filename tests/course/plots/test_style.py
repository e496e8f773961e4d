import numpy as np
import pytest
from matplotlib.colors import to_rgb

from ordlib.course.plots.style import METHOD_COLORS, PALETTE, method_colors

# Response of color-blind observers to linear RGB: Machado et al. (2009), IEEE TVCG 15(6),
# severity 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def cielab(color, vision):
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(VISION[vision] @ linear, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_method_colors_are_distinct():
    assert len(set(METHOD_COLORS.values())) == len(METHOD_COLORS)
    colors = method_colors(["mine", "NumCLIP", "yours"])
    assert colors["NumCLIP"] == METHOD_COLORS["NumCLIP"]
    assert len({*colors.values(), *METHOD_COLORS.values()}) == len(METHOD_COLORS) + 2


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("method", ["L2RCLIP", "L2RCLIP (single stage)", "ranking adapter"])
def test_palette_extensions_are_color_blind_safe(method, vision):
    own = METHOD_COLORS[method]
    others = [color for color in PALETTE.values() if color != own]
    # A CIELAB distance of 20 is clearly visible.
    distances = [np.linalg.norm(cielab(own, vision) - cielab(c, vision)) for c in others]
    assert min(distances) > 20
