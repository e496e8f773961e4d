import numpy as np
import pytest

from ordlib.metrics.prediction import Prediction


def test_lists_become_arrays():
    prediction = Prediction([1, 2], [1, 2], [[1, 0], [0, 1]])
    assert prediction.value.dtype == prediction.label.dtype == np.float64
    assert prediction.probabilities.shape == (2, 2)
    assert len(prediction) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (([1, 2], [1]), r"label of a Prediction has shape \(1,\)"),
        (([[1, 2]], [1]), r"value of a Prediction has shape \(1, 2\)"),
        (([1, 2], [1, 2], [0.5, 0.5]), r"probabilities of a Prediction has shape \(2,\)"),
        (([1, 2], [1, 2], [[0.5, 0.5]]), r"probabilities of a Prediction has shape \(1, 2\)"),
        (([1, float("nan")], [1, 2]), r"value\[1\] of a Prediction is not finite: nan"),
        (([1, 2], [1, float("inf")]), r"label\[1\] of a Prediction is not finite: inf"),
    ],
)
def test_what_does_not_fit_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Prediction(*fields)
