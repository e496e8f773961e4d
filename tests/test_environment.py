"""pyproject.toml, environment.yml and requirements.lock say the same thing."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
# The one place where conda's names differ.
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


def declared() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [
        line for extra in project["optional-dependencies"].values() for line in extra
    ]
    requirements = [Requirement(line) for line in [*lines, f"python{project['requires-python']}"]]
    return {canonicalize_name(r.name): r for r in requirements}


def conda(text: str) -> dict[str, Requirement]:
    lines = [line for line in yaml.safe_load(text)["dependencies"] if isinstance(line, str)]
    requirements = [Requirement(line) for line in lines if line != "pip"]
    return {canonicalize_name(CONDA_NAMES.get(r.name, r.name)): r for r in requirements}


def locked() -> dict[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = re.match(r"([\w.-]+)==([\w.+]+)", line).groups()
            versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


def differences(ours: dict[str, Requirement], theirs: dict[str, Requirement]) -> list[str]:
    names = sorted(ours.keys() | theirs.keys())
    return [
        f"{name}: {ours.get(name)} / {theirs.get(name)}"
        for name in names
        if name not in ours or name not in theirs or ours[name].specifier != theirs[name].specifier
    ]


def test_conda_and_pip_agree():
    text = (ROOT / "environment.yml").read_text()
    assert differences(declared(), conda(text)) == []


def test_the_comparison_can_fail():
    text = (ROOT / "environment.yml").read_text()
    changed = text.replace("pandas>=2.2", "pandas>=2.1").replace("  - tqdm>=4.66", "  - bar>=1")
    assert [line.split(":")[0] for line in differences(declared(), conda(changed))] == [
        "bar",
        "pandas",
        "tqdm",
    ]


@pytest.mark.parametrize("name", sorted(set(declared()) - {"python"}))
def test_every_requirement_is_locked_within_its_range(name):
    versions = locked().get(name)
    assert versions, f"requirements.lock lacks {name}: make it anew as its header says"
    assert all(declared()[name].specifier.contains(version) for version in versions)


def test_lock_pins_torch_as_promised():
    assert locked()["torch"] == ["2.13.0"]


def test_environment_explains_every_package():
    lines = (ROOT / "environment.yml").read_text().splitlines()
    packages = [line for line in lines if ">=" in line and "python>=" not in line]
    assert len(packages) > 20
    assert [line for line in packages if "#" not in line] == []


# What a Colab GPU machine holds (its published list of August 2026): installing ordlib there
# must leave these as they are.
COLAB = {
    "accelerate": "1.14.0", "huggingface-hub": "1.27.0", "ipython": "7.34.0",
    "ipywidgets": "7.7.1", "joblib": "1.5.3", "matplotlib": "3.10.0", "numpy": "2.1.3",
    "packaging": "26.3", "pandas": "2.2.3", "peft": "0.20.0", "pillow": "11.3.0",
    "psutil": "5.9.5", "rich": "13.9.4", "safetensors": "0.8.0", "scikit-image": "0.25.2",
    "scikit-learn": "1.6.1", "scipy": "1.16.3", "seaborn": "0.13.2", "threadpoolctl": "3.6.0",
    "tokenizers": "0.22.2", "torch": "2.11.0", "tqdm": "4.67.3", "transformers": "5.15.0",
    "typer": "0.27.1",
}  # fmt: skip


def test_colab_keeps_its_own_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {canonicalize_name(Requirement(d).name) for d in project["dependencies"]}
    assert required == set(COLAB), "a new requirement: check what Colab holds"
    outside = [n for n, v in COLAB.items() if not declared()[n].specifier.contains(v)]
    assert outside == []
