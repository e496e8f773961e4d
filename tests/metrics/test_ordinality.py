import numpy as np
import pytest

from ordlib.metrics import Ordinality, ordinality_score


def naive(features):
    rows = [np.array(row) / np.sqrt(np.sum(np.square(row))) for row in np.asarray(features, float)]
    ranks, hits = len(rows), 0
    for i in range(ranks - 1):
        for j in range(i, ranks - 1):
            hits += rows[i] @ rows[j] > rows[i] @ rows[j + 1]
    return 2 * hits / (ranks * (ranks - 1))


def random_features(ranks, seed, width=16):
    return np.random.default_rng(seed).normal(size=(ranks, width))


@pytest.mark.parametrize("ranks", [2, 3, 5, 20])
@pytest.mark.parametrize("seed", range(5))
def test_ordinality_score_equals_naive_loop(ranks, seed):
    features = random_features(ranks, seed)
    assert ordinality_score(features).raw == pytest.approx(naive(features))


@pytest.mark.parametrize("ranks", [3, 5, 20, 61])
def test_ordinality_score_of_a_line_is_one(ranks):
    start, step = random_features(2, seed=1)
    line = [start + 0.1 * rank * step for rank in range(ranks)]
    assert ordinality_score(line) == Ordinality(raw=1.0, chance_corrected=1.0)
    assert ordinality_score(line[::-1]) == Ordinality(raw=1.0, chance_corrected=1.0)


@pytest.mark.parametrize(("ranks", "chance"), [(5, 0.70), (20, 0.55), (61, 0.516)])
def test_ordinality_score_of_random_features_is_chance(ranks, chance):
    scores = [ordinality_score(random_features(ranks, seed, 64)) for seed in range(300)]
    assert np.mean([score.raw for score in scores]) == pytest.approx(chance, abs=0.01)
    assert np.mean([score.chance_corrected for score in scores]) == pytest.approx(0, abs=0.03)


def test_ordinality_score_of_shuffled_ranks_is_low():
    line = np.array([[1.0, rank / 10] for rank in range(20)])
    shuffled = line[np.random.default_rng(0).permutation(20)]
    assert abs(ordinality_score(shuffled).chance_corrected) < 0.3


def test_ordinality_score_ignores_norms():
    features = random_features(10, seed=0)
    scaled = features * np.arange(1, 11)[:, None]
    assert ordinality_score(scaled) == ordinality_score(features)


def test_ordinality_score_of_two_ranks():
    assert ordinality_score(random_features(2, seed=0)) == (1, pytest.approx(np.nan, nan_ok=True))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([1.0, 2.0], r"features: shape \(2,\)"),
        ([[1.0, 2.0]], r"shape \(1, 2\); expected .* M >= 2"),
        ([[1.0, 2.0], [0.0, 0.0]], r"features\[1\]: norm 0"),
        ([[1.0, float("nan")], [1.0, 0.0]], r"features\[0\]: norm nan"),
    ],
)
def test_ordinality_score_rejects_invalid_features(features, message):
    with pytest.raises(ValueError, match=message):
        ordinality_score(features)
