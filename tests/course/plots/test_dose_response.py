import numpy as np
import pandas as pd
import pytest
from figures import legend, texts, tick_labels

from ordlib.course import plots

_ROWS = [("dose", dose, seed) for dose in (0.0, 0.01, 0.1) for seed in (0, 1)]
_ROWS += [(c, 0.01, seed) for c in ("distractor numbers", "twice the samples") for seed in (0, 1)]
TABLE = pd.DataFrame(_ROWS, columns=["condition", "count_caption_fraction", "seed"])
TABLE["count_captions"] = 40_000 * TABLE["count_caption_fraction"]
TABLE.loc[TABLE["condition"] == "twice the samples", "count_captions"] *= 2
TABLE["count_accuracy"] = [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.25, 0.26, 0.55, 0.56]
AXES = [("share", "count_caption_fraction"), ("number", "count_captions")]


def dots(ax):
    """All dots, as (x, y) in data units."""
    return sorted(tuple(xy) for drawn in ax.collections for xy in drawn.get_offsets().tolist())


@pytest.mark.parametrize(("axis", "column"), AXES)
def test_dose_response_shows_every_model_without_overlap(axis, column):
    ax = plots.dose_response(TABLE, axis=axis)
    expected = sorted(zip(TABLE[column].tolist(), TABLE["count_accuracy"].tolist(), strict=True))
    np.testing.assert_allclose(dots(ax), expected)
    ax.figure.canvas.draw()
    pixels = np.concatenate([
        d.get_offset_transform().transform(d.get_offsets()).round(2) for d in ax.collections
    ])  # fmt: skip
    assert len(set(pixels[:, 0])) == len(TABLE)
    assert all(ax.bbox.contains(*xy) for xy in pixels)


def test_dose_response_joins_the_means_of_doses():
    dotted, solid = plots.dose_response(TABLE).lines[:2]
    np.testing.assert_allclose(dotted.get_xydata(), [[0, 0.15], [0.01, 0.4]])
    np.testing.assert_allclose(solid.get_xydata(), [[0.01, 0.4], [0.1, 0.65]])
    assert (dotted.get_linestyle(), solid.get_linestyle()) == (":", "-")


@pytest.mark.parametrize(
    ("axis", "ticks"), [("share", ["0", "1 %", "10 %"]), ("number", ["0", "1,000"])]
)
def test_dose_response_axis_is_logarithmic_with_zero(axis, ticks):
    ax = plots.dose_response(TABLE, axis=axis)
    ax.figure.canvas.draw()
    assert tick_labels(ax.xaxis) == ticks
    assert texts(ax) == ["//"]
    zero = ax.transData.transform((0, 0))[0]
    small, large = (ax.transData.transform((x, 0))[0] for x in ax.lines[1].get_xdata())
    assert ax.bbox.x0 < zero < small < large
    assert small - zero > 0.3 * (large - small)


def test_dose_response_draws_several_metrics_in_different_colors():
    table = TABLE.assign(object_top1=0.9)
    ax = plots.dose_response(table, ["count_accuracy", "object_top1"])
    conditions = ["distractor numbers", "twice the samples"]
    assert legend(ax) == ["exact count", "name of the object", *conditions]
    assert len({line.get_color() for line in ax.lines if len(line.get_xdata())}) == 2
    assert len(dots(ax)) == 20
    assert ax.get_ylabel() == "accuracy"


@pytest.mark.parametrize(
    ("table", "kwargs", "message"),
    [
        (TABLE, {"axis": "dose"}, "axis = 'dose'"),
        (TABLE, {"metric": "acuracy"}, "no column 'acuracy'; it has condition"),
        (TABLE.query("condition != 'dose'"), {}, "no model of the condition 'dose'"),
    ],
)
def test_dose_response_rejects_invalid_input(table, kwargs, message):
    with pytest.raises(ValueError, match=message):
        plots.dose_response(table, **kwargs)
