"""Types of the fields of the library's own configs: numbers, booleans and strings, each by name."""

from dataclasses import fields

import numpy as np
import pytest

from ordlib import TrainingConfig
from ordlib.methods import METHODS, find_method
from ordlib.methods.ranking_adapter.config import RankingAdapterConfig
from ordlib.utils.validation import check_types, is_number

CONFIGS = [TrainingConfig, RankingAdapterConfig]
CONFIGS += [find_method(name).Config for name in METHODS if name != "RankingAdapter"]
WRONG = {
    int: ("3", 1.5, True, None, [1]),
    float: ("3", True, None, float("nan"), float("inf"), 1j),
    bool: ("no", 1, None, 0.0),
    str: (3, None, b"text"),
}
CASES = [
    (config, field.name, kind)
    for config in CONFIGS
    for field in fields(config)
    for kind in WRONG
    if field.type == kind or field.type == kind | None
]


@pytest.mark.parametrize(("config", "name", "kind"), CASES)
def test_configs_name_a_field_of_another_type(config, name, kind):
    optional = {f.name: f.type for f in fields(config)}[name] != kind
    for value in WRONG[kind]:
        if value is None and optional:
            continue
        with pytest.raises(ValueError, match=rf"^{name} = .*: must be ") as caught:
            config(**{name: value})
        assert str(caught.value).startswith(f"{name} = {value!r}: ")


def test_all_configs_have_cases():
    assert {config for config, *_ in CASES} == {*CONFIGS}
    assert len(CASES) > 60


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, True), (np.float32(0.5), True), (np.int64(2), True), (True, False), (np.True_, False)],
)
def test_is_number(value, expected):
    assert is_number(value) is expected


def test_check_types_leaves_other_fields_alone():
    config = TrainingConfig(lr_multipliers={"head": 2})
    check_types(config)
    assert config == TrainingConfig(lr_multipliers={"head": 2.0})
