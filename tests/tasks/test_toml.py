"""Tasks as TOML files."""

import pytest

from ordlib import OrdinalTask, load_task
from ordlib.tasks.builtin import DEFINITIONS, SYNTHETIC


@pytest.mark.parametrize("name", [*SYNTHETIC, *DEFINITIONS])
def test_built_in_tasks_round_trip(name, tmp_path):
    load_task(name).to_toml(tmp_path / "task.toml")
    assert OrdinalTask.from_toml(tmp_path / "task.toml") == load_task(name)


def test_any_text_round_trips(tmp_path):
    names = ('a "quoted" \\ one', "tab\tand\nline", "Ünï \U0001f34c", "\u200dx\xa0y", "'")
    task = OrdinalTask(
        name="odd", unit="ünits", values=names, positions=(-1.5, 0, 1e-9, 2, 1e300),
        templates=("{rank} of {thing}",), placeholders={"thing": ('"', "\\")},
    )  # fmt: skip
    task.to_toml(tmp_path / "task.toml")
    assert OrdinalTask.from_toml(tmp_path / "task.toml") == task


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name = 3 4", "not a readable TOML file"),
        ("colour = 1", "unknown field colour; available fields: name, unit"),
        ('name = "a"\nunit = "b"', "missing field values"),
        ('name = "a"\nunit = "b"\nvalues = [2, 1]', r"values = \(2, 1\): 1 follows 2"),
    ],
)
def test_from_toml_names_what_is_wrong(content, message, tmp_path):
    (tmp_path / "task.toml").write_text(content)
    with pytest.raises(ValueError, match=message):
        OrdinalTask.from_toml(tmp_path / "task.toml")
    with pytest.raises(ValueError, match="not a readable TOML file"):
        OrdinalTask.from_toml(tmp_path / "nowhere.toml")
