import numpy as np
import pytest

from ordlib.metrics.prediction import Prediction


def test_prediction_converts_lists():
    prediction = Prediction([1, 2], [1, 2], [[1, 0], [0, 1]])
    assert prediction.value.dtype == prediction.label.dtype == np.float64
    assert prediction.probabilities.shape == (2, 2)
    assert len(prediction) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (([1, 2], [1]), r"label: shape \(1,\)"),
        (([[1, 2]], [1]), r"value: shape \(1, 2\)"),
        (([1, 2], [1, 2], [0.5, 0.5]), r"probabilities: shape \(2,\)"),
        (([1, 2], [1, 2], [[0.5, 0.5]]), r"probabilities: shape \(1, 2\)"),
        (([1, float("nan")], [1, 2]), r"value\[1\] = nan"),
        (([1, 2], [1, float("inf")]), r"label\[1\] = inf"),
    ],
)
def test_prediction_rejects_invalid_fields(fields, message):
    with pytest.raises(ValueError, match=message):
        Prediction(*fields)
