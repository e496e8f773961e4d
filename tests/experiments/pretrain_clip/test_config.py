import numpy as np
import pytest

from ordlib.experiments.pretrain_clip.config import PretrainingConfig


def test_learning_rate_at_warms_up_and_decays():
    config = PretrainingConfig(samples_seen=1000 * 512, learning_rate=0.01)
    rates = np.array([config.learning_rate_at(step) for step in range(config.steps)])
    assert rates.argmax() == 49
    assert rates.max() == pytest.approx(0.01)
    assert (np.diff(rates[:50]) > 0).all()
    assert (np.diff(rates[49:]) < 0).all()
    assert rates[524] == pytest.approx(0.005, rel=0.01)
    assert 0 < rates[-1] < 1e-6


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count_caption_fraction", 50), ("count_caption_fraction", -0.1),
        ("count_caption_fraction", float("nan")), ("distractor_number_fraction", 2), ("seed", -1),
        ("batch_size", 1), ("num_images", 100), ("samples_seen", 100), ("learning_rate", 0.0),
        ("precision", "float16"),
    ],
)  # fmt: skip
def test_pretraining_config_rejects_invalid_values(field, value):
    with pytest.raises(ValueError, match=f"{field} = .*: must be"):
        PretrainingConfig(**{field: value})
