"""Workflows and containers call commands that exist."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from ordlib.cli import app

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def runs(path: Path) -> list[str]:
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
    return [step["run"] for job in jobs for step in job.get("steps", []) if "run" in step]


def targets() -> set[str]:
    named = re.findall(r"(?m)^([\w. /$()-]+):(?!=)", MAKEFILE.replace("$(READY)", ".venv/ready"))
    return {target for line in named for target in line.split()}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_use_targets_and_commands_that_exist(path):
    for run in runs(path):
        for target in re.findall(r"\bmake ([\w./-]+)", run):
            assert target in targets(), run
        if match := re.search(r"\bordlib ((?:[a-z-]+ )*)", run):
            command = get_command(app)
            for word in match[1].split():
                if hasattr(command, "commands"):
                    assert word in command.commands, run
                    command = command.commands[word]
            options = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
            assert set(re.findall(r" (--?[a-z-]+)", run.partition("ordlib")[2])) <= options, run


def test_there_are_workflows_for_tests_course_site_newest_real_clip_and_release():
    names = {"tests", "course", "site", "newest", "real-clip", "release"}
    assert {path.stem for path in WORKFLOWS} == names
    versions = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
    assert '["3.11", "3.12", "3.13"]' in versions


def test_newest_has_the_libraries_of_other_backbones():
    """Elsewhere their tests are skipped."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    install = next(run for run in runs(ROOT / ".github/workflows/newest.yml") if " install " in run)
    extras = re.search(r"\[([\w,-]+)\]", install)[1].split(",")
    assert {"open-clip", "siglip"} <= set(extras) <= set(project["optional-dependencies"])


def test_one_workflow_publishes_pages_and_only_from_main():
    published = {}
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text("utf-8"))["jobs"].items():
            for step in job["steps"]:
                if "pages" in step.get("uses", ""):
                    assert "github.ref == 'refs/heads/main'" in (step.get("if"), job.get("if"))
                    published[step["uses"].partition("@")[0]] = (path.stem, name, job)
    assert {what: where[:2] for what, where in published.items()} == {
        "actions/upload-pages-artifact": ("site", "build"),
        "actions/deploy-pages": ("site", "publish"),
    }
    deploy = published["actions/deploy-pages"][2]
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"}
    assert deploy["needs"] == "build"


def test_actions_have_one_version_each():
    used = re.findall(r"uses: (\S+)@(\S+)", "".join(path.read_text("utf-8") for path in WORKFLOWS))
    versions = {}
    for action, version in used:
        assert versions.setdefault(action, version) == version, action


def test_containers_have_a_fixed_python():
    binder = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text("utf-8"))
    assert "python=3.12" in binder["dependencies"]
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    dockerfile = ROOT / ".devcontainer" / container["build"]["dockerfile"]
    assert re.search(r"(?m)^FROM .*:3\.12$", dockerfile.read_text("utf-8"))
    assert container["postCreateCommand"] == "make .venv/ready"


def test_hooks_are_local():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
