"""pyproject.toml, environment.yml and requirements.lock agree."""

import re
import tomllib
from pathlib import Path

import yaml
from colab import COLAB
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = (ROOT / "environment.yml").read_text()
# Packages with a different name in conda.
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


def ranges(lines: list[str]) -> dict[str, str]:
    """Version range by canonical package name."""
    requirements = map(Requirement, lines)
    return {canonicalize_name(CONDA_NAMES.get(r.name, r.name)): r.specifier for r in requirements}


# The other extras are for file formats and backbones that few users have, and for the site.
EXTRAS = [line for name in ("course", "test") for line in PROJECT["optional-dependencies"][name]]
PACKAGES = ranges(PROJECT["dependencies"] + EXTRAS)
# Exported files and their server are tested with the lock; conda users install the extras by pip.
LOCKED_EXTRAS = [
    line for name in ("onnx", "serve") for line in PROJECT["optional-dependencies"][name]
]
LOCKED = PACKAGES | ranges(LOCKED_EXTRAS)
SITE = (ROOT / "docs" / "requirements.lock").read_text()


def pins(lock: str) -> list[tuple[str, str]]:
    """Canonical name and version of each line."""
    lines = re.findall(r"(?m)^([\w.-]+)==([\w.+]+)", lock)
    return [(canonicalize_name(name), version) for name, version in lines]


def outside(versions: dict[str, str]) -> list[str]:
    return [name for name, version in versions.items() if not LOCKED[name].contains(version)]


def differences(conda: str) -> set[str]:
    lines = [line for line in yaml.safe_load(conda)["dependencies"] if isinstance(line, str)]
    theirs = ranges([line for line in lines if line != "pip"])
    ours = PACKAGES | ranges([f"python{PROJECT['requires-python']}"])
    return {name for name, _ in ours.items() ^ theirs.items()}


def test_conda_and_pip_agree():
    assert differences(CONDA) == set()


def test_differences_detects_changes():
    changed = CONDA.replace("pandas>=2.2", "pandas>=2.1").replace("  - tqdm>=4.66", "  - bar>=1")
    assert differences(changed) == {"bar", "pandas", "tqdm"}


def test_lock_contains_every_requirement_in_range():
    locked = pins((ROOT / "requirements.lock").read_text())
    wrong = [pin for pin in locked if pin[0] in LOCKED and outside(dict([pin]))]
    missing = LOCKED.keys() - {name for name, _ in locked}
    assert (wrong, missing) == ([], set()), "regenerate requirements.lock, see its header"
    # The documented version.
    assert [version for name, version in locked if name == "torch"] == ["2.13.0"]


def test_lock_of_the_site_adds_to_the_other_one_and_changes_nothing():
    site = dict(pins(SITE))
    assert not site.keys() & {name for name, _ in pins((ROOT / "requirements.lock").read_text())}
    extra = ranges(PROJECT["optional-dependencies"]["site"])
    assert [name for name, version in extra.items() if not version.contains(site[name])] == []


def test_conda_environment_comments_every_package():
    packages = [line for line in CONDA.splitlines() if ">=" in line and "python>=" not in line]
    assert len(packages) > 20
    assert [line for line in packages if "#" not in line] == []


def test_colab_versions_are_in_range():
    required = ranges(PROJECT["dependencies"]).keys() & COLAB.keys()
    assert {"numpy", "torch"} <= required
    assert outside({name: COLAB[name] for name in required}) == []
