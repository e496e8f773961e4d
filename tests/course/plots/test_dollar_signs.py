"""Names, units and ranks with dollar signs are shown as they are: they are no formula."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from ordlib import ImageData, OrdinalTask
from ordlib.course.plots import (
    confusion,
    contact_sheet,
    label_histogram,
    predicted_against_true,
    rank_embedding_map,
    ranking_strip,
    similarity_heatmap,
)

# Between two dollar signs, matplotlib expects a formula; this one is invalid.
PRICES = OrdinalTask(name="$_a$", unit="$\\x$ in $", values=("$1_$", "$2 to $3", "$\\frac$"))
VALUES = np.array([0.0, 1, 2])
DATA = ImageData(
    task=PRICES, images=np.zeros((3, 8, 8, 3), np.uint8), values=VALUES, fingerprint="f",
    metadata=pd.DataFrame({"a": [1, 2, 3]}), split="train",
)  # fmt: skip


def shown(ax) -> str:
    """All text of a figure, as it is drawn."""
    ax.figure.canvas.draw()
    texts = [text for text in ax.figure.findobj(Text) if text.get_text()]
    strings = []
    for text in texts:
        string, is_math = text._preprocess_math(text.get_text())
        assert not is_math, string
        strings.append(string)
    plt.close(ax.figure)
    return "\n".join(strings)


@pytest.mark.parametrize(("draw", "expected"), [
    (lambda: label_histogram(DATA), ["$_a$ ($\\x$ in $)", "$_a$: labels", "$1_$", "$2 to $3"]),
    (lambda: confusion(VALUES, VALUES, PRICES), ["$1_$", "$2 to $3", "$\\frac$"]),
    (lambda: predicted_against_true(VALUES, VALUES, PRICES), ["true ($\\x$ in $)", "$\\frac$"]),
    (lambda: similarity_heatmap(np.eye(3), PRICES.rank_names), ["$1_$", "$\\frac$"]),
    (lambda: rank_embedding_map(np.random.default_rng(0).normal(size=(3, 4)), PRICES),
     ["$\\x$ in $", "$1_$", "$\\frac$"]),
    (lambda: contact_sheet([DATA[0]] * 2, ["$_$", "$5 and $6"]), ["$_$", "$5 and $6"]),
    (lambda: ranking_strip(DATA, VALUES, 3), ["$_a$, lowest score", "$1_$", "$\\frac$"]),
])  # fmt: skip
def test_dollar_signs_are_no_formula(draw, expected):
    text = shown(draw())
    assert [part for part in expected if part not in text] == []
