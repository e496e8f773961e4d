"""Colours and the look of every figure."""

import matplotlib.pyplot as plt
import seaborn as sns

# Okabe and Ito's palette, told apart by colour-blind readers, and darker colours and violets
# that stay apart from it; one colour for one method, in every figure of the course.
PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "grey": "#7A7A7A",
    "black": "#000000",
    "wine": "#882255",
    "indigo": "#332288",
    "moss": "#444411",
    "crimson": "#AA0011",
    "yellow": "#F0E442",
    "olive": "#999933",
    "rose": "#CC6677",
    "violet": "#9600F0",
    "lavender": "#9687FF",
    "plum": "#550055",
}
METHOD_COLOURS = {
    "middle": PALETTE["black"],
    "pixel ridge": PALETTE["grey"],
    "pixel trees": PALETTE["purple"],
    "linear probe": PALETTE["sky"],
    "zero-shot": PALETTE["red"],
    "phrases": PALETTE["rose"],
    "pico-clip-counting": PALETTE["blue"],
    "CoOp": PALETTE["orange"],
    "CoOp context": PALETTE["olive"],
    "OrdinalCLIP": PALETTE["wine"],
    "CORN": PALETTE["moss"],
    "fine-tuned": PALETTE["indigo"],
    "NumCLIP": PALETTE["green"],
    "L2RCLIP": PALETTE["violet"],
    "L2RCLIP joint": PALETTE["lavender"],
    # Not crimson or yellow: some eyes take them for the colours of CORN and CoOp.
    "ranking adapter": PALETTE["plum"],
}


def theme() -> None:
    """Set the look of every figure: white ground, light grid, readable type."""
    sns.set_theme("notebook", "whitegrid", palette=list(PALETTE.values()))
    plt.rcParams.update(
        {
            "figure.figsize": (7, 4),
            "figure.dpi": 72,
            "savefig.bbox": "tight",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.alpha": 0.4,
        }
    )
