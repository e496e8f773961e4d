import numpy as np
import pytest

from ordlib.methods.ood import MahalanobisOOD


def make_features(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3)) * [5.0, 1.0, 0.2] + 7


@pytest.fixture(scope="module")
def detector() -> MahalanobisOOD:
    return MahalanobisOOD.fit(make_features(2000, 0), make_features(1000, 1))


def test_scores_equal_naive_quadratic_form():
    mean, threshold = np.array([1.0, -2.0]), 4.0
    precision = np.array([[2.0, 0.5], [0.5, 3.0]])
    features = np.array([[1.0, -2.0], [2.0, 0.0], [-3.0, 1.5]])
    expected = []
    for row in features:
        total = 0.0
        for d in range(2):
            for e in range(2):
                total += (row[d] - mean[d]) * precision[d, e] * (row[e] - mean[e])
        expected.append(total / threshold)
    scores = MahalanobisOOD(mean, precision, threshold).scores(features)
    np.testing.assert_allclose(scores, expected)


def test_scores_of_held_out_images_rarely_exceed_1(detector):
    assert (detector.scores(make_features(1000, 1)) > 1).sum() == 5
    assert (detector.scores(make_features(1000, 2)) > 1).mean() < 0.02


def test_fit_takes_threshold_from_held_out_images():
    train, held_out = make_features(200, 0), make_features(1000, 1)
    wide, narrow = (MahalanobisOOD.fit(train, 7 + k * (held_out - 7)) for k in (2, 1))
    np.testing.assert_allclose(wide.threshold, 4 * narrow.threshold, rtol=0.1)


def test_scores_are_largest_along_directions_of_low_variance(detector):
    scores = detector.scores(detector.mean + 2 * np.eye(3))
    assert scores[0] < 0.1 < scores[1] < 1 < scores[2]
    np.testing.assert_allclose(detector.scores(detector.mean[None]), 0, atol=1e-12)


def test_fit_works_with_fewer_images_than_features():
    rng = np.random.default_rng(0)
    detector = MahalanobisOOD.fit(rng.normal(size=(10, 40)), rng.normal(size=(10, 40)))
    near, far = detector.scores(np.stack([detector.mean, np.full(40, 9.0)]))
    assert near == pytest.approx(0, abs=1e-9)
    assert 1 < far < np.inf
