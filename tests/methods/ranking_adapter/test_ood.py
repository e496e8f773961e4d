"""MahalanobisOOD: distances in units of the training pictures' own spread."""

import numpy as np
import pytest

from ordlib.methods.ranking_adapter.ood import MahalanobisOOD

SPREADS = np.array([5.0, 1.0, 0.2])


def features_of(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3)) * SPREADS + 7


@pytest.fixture(scope="module")
def likeness() -> MahalanobisOOD:
    return MahalanobisOOD.fit(features_of(2000, 0), features_of(1000, 1))


def test_distances_are_quadratic_forms_in_units_of_the_limit():
    centre, limit = np.array([1.0, -2.0]), 4.0
    precision = np.array([[2.0, 0.5], [0.5, 3.0]])
    features = np.array([[1.0, -2.0], [2.0, 0.0], [-3.0, 1.5]])
    expected = []
    for row in features:
        total = 0.0
        for d in range(2):
            for e in range(2):
                total += (row[d] - centre[d]) * precision[d, e] * (row[e] - centre[e])
        expected.append(total / limit)
    np.testing.assert_allclose(
        MahalanobisOOD(centre, precision, limit).distances(features), expected
    )


def test_hardly_any_held_out_picture_lies_above_1(likeness):
    assert (likeness.distances(features_of(1000, 1)) > 1).sum() == 5
    assert (likeness.distances(features_of(1000, 2)) > 1).mean() < 0.02


def test_the_limit_is_of_held_out_pictures_not_of_those_trained_on():
    wide = MahalanobisOOD.fit(features_of(200, 0), 7 + 2 * (features_of(1000, 1) - 7))
    narrow = MahalanobisOOD.fit(features_of(200, 0), features_of(1000, 1))
    np.testing.assert_allclose(wide.threshold, 4 * narrow.threshold, rtol=0.1)


def test_what_lies_off_where_pictures_hardly_vary_is_the_stranger(likeness):
    steps = 2 * np.eye(3)
    along = likeness.distances(likeness.mean + steps)
    assert along[0] < 0.1 < along[1] < 1 < along[2]
    np.testing.assert_allclose(likeness.distances(likeness.mean[None]), 0, atol=1e-12)


def test_fewer_pictures_than_features_will_do():
    rng = np.random.default_rng(0)
    found = MahalanobisOOD.fit(rng.normal(size=(10, 40)), rng.normal(size=(10, 40)))
    near, far = found.distances(np.stack([found.mean, np.full(40, 9.0)]))
    assert near == pytest.approx(0, abs=1e-9)
    assert 1 < far < np.inf
