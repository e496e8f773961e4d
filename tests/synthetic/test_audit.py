import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from ordlib import ImageData, load_data, load_task
from ordlib.synthetic.audit import Audit, audit_shortcuts, label_correlations


def make(records):
    values = np.array([1.0, 2, 3, 4, 5, 6])
    images = np.zeros((6, 4, 4, 3), np.uint8)
    return ImageData(load_task("counting"), images, values, pd.DataFrame(records), "k", "train")


def test_leaks_rank_every_number_and_no_word():
    table = label_correlations(
        make(
            {
                "word": list("abcdef"),
                "weak": [1, 6, 2, 5, 3, 4],
                "constant": [3] * 6,
                "strong": [-1.0, -2, -4, -8, -9, -10],
            }
        )
    )
    assert table.index.tolist() == ["strong", "weak", "constant"]
    assert table["spearman"].tolist()[0] == pytest.approx(-1)
    by_hand = np.corrcoef(rankdata([1, 6, 2, 5, 3, 4]), np.arange(6))[0, 1]
    assert table.loc["weak", "spearman"] == pytest.approx(by_hand)
    assert np.isnan(table.loc["constant", "spearman"])


@pytest.mark.parametrize(
    ("task", "worst", "passed"),
    [
        ("counting", 0.54, True),
        ("counting", -0.56, False),
        ("ageing", 0.56, False),
        ("dating", 0.9, True),
    ],
)
def test_the_limit_holds_where_there_is_one(task, worst, passed):
    table = pd.DataFrame({"spearman": [worst, 0.1]}, index=["ink", "tilt"])
    found = Audit(task, table, pd.DataFrame({"mae": [1.0]}))
    assert found.passed is passed
    assert ("BROKEN" in str(found)) is not passed
    assert "ink" in str(found)


def test_an_audit_of_few_pictures():
    found = audit_shortcuts("counting", side=64, size=50)
    assert set(found.baselines.columns) >= {"mae", "accuracy", "spearman"}
    train, test = (
        load_data("counting", split, image_size=64, num_images=50) for split in ("train", "test")
    )
    by_hand = np.abs(test.values - np.median(train.values)).mean()
    assert found.baselines.loc[("training median", "test"), "mae"] == pytest.approx(by_hand)
    assert found.label_correlations.index.is_unique
    assert "what pixels alone predict" in str(found)
    with pytest.raises(ValueError, match="no rendered task 'morph'"):
        audit_shortcuts("morph")
