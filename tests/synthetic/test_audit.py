import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from ordlib import ImageData, load_data, load_task
from ordlib.synthetic.audit import Audit, audit_shortcuts, label_correlations


def make_data(metadata):
    values = np.array([1.0, 2, 3, 4, 5, 6])
    images = np.zeros((6, 4, 4, 3), np.uint8)
    return ImageData(load_task("counting"), images, values, pd.DataFrame(metadata), "k", "train")


def test_label_correlations_of_every_numeric_column():
    weak, strong = [1, 6, 2, 5, 3, 4], [-1.0, -2, -4, -8, -9, -10]
    metadata = {"word": list("abcdef"), "weak": weak, "constant": [3] * 6, "strong": strong}
    table = label_correlations(make_data(metadata))
    assert table.index.tolist() == ["strong", "weak", "constant"]
    assert table["spearman"].tolist()[0] == pytest.approx(-1)
    by_hand = np.corrcoef(rankdata(weak), np.arange(6))[0, 1]
    assert table.loc["weak", "spearman"] == pytest.approx(by_hand)
    assert np.isnan(table.loc["constant", "spearman"])


@pytest.mark.parametrize(
    ("task", "worst", "passed"),
    [("counting", 0.54, True), ("counting", -0.56, False),
     ("ageing", 0.56, False), ("dating", 0.9, True)],
)  # fmt: skip
def test_audit_passed_within_the_limit(task, worst, passed):
    table = pd.DataFrame({"spearman": [worst, 0.1]}, index=["ink", "tilt"])
    audit = Audit(task, table, pd.DataFrame({"mae": [1.0]}))
    assert audit.passed is passed
    assert ("BROKEN" in str(audit)) is not passed
    assert "ink" in str(audit)


def test_audit_shortcuts_of_few_images():
    audit = audit_shortcuts("counting", side=64, size=50)
    assert set(audit.baselines.columns) >= {"mae", "accuracy", "spearman"}
    train, test = (
        load_data("counting", s, image_size=64, num_images=50) for s in ("train", "test")
    )
    by_hand = np.abs(test.values - np.median(train.values)).mean()
    assert audit.baselines.loc[("training median", "test"), "mae"] == pytest.approx(by_hand)
    assert audit.label_correlations.index.is_unique
    assert "pixel baselines" in str(audit)
    with pytest.raises(ValueError, match="task = 'morph'"):
        audit_shortcuts("morph")
