import numpy as np
import pytest

from ordlib.experiments.pretrain_clip.config import Plan


def test_the_rate_warms_up_and_comes_down():
    plan = Plan(pairs=1000 * 512, learning_rate=0.01)
    rates = np.array([plan.rate(step) for step in range(plan.steps)])
    assert rates.argmax() == 49
    assert rates.max() == pytest.approx(0.01)
    assert (np.diff(rates[:50]) > 0).all()
    assert (np.diff(rates[49:]) < 0).all()
    assert rates[524] == pytest.approx(0.005, rel=0.01)
    assert 0 < rates[-1] < 1e-6


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dose", 50), ("dose", -0.1), ("dose", float("nan")), ("spurious", 2), ("seed", -1),
        ("batch", 1), ("pictures", 100), ("pairs", 100), ("learning_rate", 0.0),
        ("precision", "float16"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_named(field, value):
    with pytest.raises(ValueError, match=f"{field} = {value}: "):
        Plan(**{field: value})
