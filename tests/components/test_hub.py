"""Components on a small hub on the loopback, see ``helpers/hub_server.py``; in a child process."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

import ordlib
from ordlib import load_component
from ordlib.components import hub, registry
from ordlib.utils.hub import hub_error

HELPERS = Path(__file__).parents[1] / "helpers"
DOWNLOAD = r"hf download farm/ripeness config.json card.json model.safetensors --local-dir ripeness"
# Case of hub_cases.faults -> type and pattern of the error.
FAULTS = {
    "404 repository": r"FileNotFoundError: .*farm/none .*\(401\): check the .*hf auth login",
    "404 repository, logged in": r"FileNotFoundError: the hub has no farm/none .*\(404\): check .*"
    r"no folder 'farm/none' here",
    "404 revision": r"FileNotFoundError: the hub has farm/ripeness, but no revision 'v9' .*\(404\)",
    "404 file": r"FileNotFoundError: farm/half at commit [0-9a-f]{40}: .*model.safetensors is "
    r"missing.* delete .*models--farm--half$",
    "no component": r"ValueError: farm/clip at commit .*method is missing: not a component",
    "private, logged in": "no error",
    **{f"401 {route}": r"\w+: the hub does not let you into farm/ripeness .*\(401\).*hf auth login"
       for route in ("info", "file", "commit")},
    **{f"403 {route}": r"\w+: the hub refused farm/ripeness .*\(403\): your token .*settings/tokens"
       for route in ("info", "file", "commit")},
    **{f"429 {route}": rf"FileNotFoundError: .*\(429\).*Wait five minutes.*{DOWNLOAD}"
       for route in ("info", "file")},
    "429 commit": r"OSError: .*\(429\).*save_pretrained\(folder\).*hf upload farm/ripeness folder",
    **{f"500 {route}": rf"FileNotFoundError: .*unreachable \(HTTPStatusError\).*{DOWNLOAD}"
       for route in ("info", "file")},
    "500 commit": r"OSError: .*was not uploaded, .*HTTPStatusError.*hf upload farm/ripeness folder",
    "cut body": rf"FileNotFoundError: .*unreachable \(RemoteProtocolError\).*{DOWNLOAD}",
    **{case: r"ValueError: farm/ripeness at commit .*sha256 = .* damaged or exchanged.*delete "
       r".*models--farm--ripeness$" for case in ("wrong hash", "wrong hash again")},
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tiny_clip_folder, tmp_path_factory):
    """What came of the cases of ``hub_cases.py``."""
    folder = tmp_path_factory.mktemp("hub")
    path = os.pathsep.join([str(HELPERS), str(Path(ordlib.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, str(HELPERS / "hub_cases.py"), str(tiny_clip_folder), str(folder)],
        capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_push_and_load_are_bit_equal_and_fetch_three_files(results):
    found = results["round_trip"]
    assert found["equal"]
    assert found["predictions"]
    assert found["card"] == 7
    assert found["source"] == f"farm/ripeness@{found['commit']}"
    # Not the pickle, nor anything else of the repository.
    assert found["requested"] == ["card.json", "config.json", "model.safetensors"]


@pytest.mark.slow
def test_load_component_of_an_older_commit(results):
    found = results["revision"]
    assert found["first"]
    assert found["second"]
    assert found["seeds"] == [1, 2]
    assert "no revision" in found["abbreviated"]


@pytest.mark.slow
def test_push_publishes_no_path_of_a_local_backbone(results):
    assert results["config_names_no_path"] == {
        "name": "tiny-clip", "path": None, "leak": False, "command": True,
    }  # fmt: skip


@pytest.mark.slow
def test_push_keeps_an_edited_readme(results):
    found = results["readme"]
    assert found["kept"]
    assert found["given"] == "mine\n"
    assert len(found["warnings"]) == 1
    assert "farm/ripeness has been edited and is kept" in found["warnings"][0]
    assert "load_component('farm/ripeness')" in found["generated"]


@pytest.mark.slow
def test_push_private(results):
    found = results["private"]
    assert found["is_private"]
    assert "(401)" in found["without a token"]
    # A public repository does not become private, so nothing is uploaded to it.
    assert "farm/ripeness exists on the hub and is public" in found["public"]
    assert found["commits"] == 0


@pytest.mark.slow
def test_push_over_another_model_is_refused(results):
    found = results["another_model"]
    assert "ValueError: repo_id = 'farm/clip': holds another model" in found["another kind"]
    assert "ValueError: repo_id = 'farm/ripeness': holds another model" in found["another task"]
    assert "ValueError: repo_id = 'farm/weights': has weights that are" in found["weights alone"]
    assert found["commits"] == 0


@pytest.mark.slow
def test_push_without_permission(results):
    assert "(401)" in results["tokens"]["no token"]
    assert "hf auth login" in results["tokens"]["no token"]
    assert "(403)" in results["tokens"]["read"]


@pytest.mark.slow
def test_local_folder_wins_over_a_repository(results):
    found = results["local_folder_wins"]
    assert found["source"] is None
    assert found["requests"] == []
    assert "revision = 'main': of the hub only; farm/ripeness is a folder" in found["revision"]


@pytest.mark.slow
@pytest.mark.parametrize("case", FAULTS)
def test_fault_of_the_hub_is_a_clear_error(results, case):
    message = results["faults"][case]
    assert re.match(FAULTS[case], message), message


@pytest.mark.slow
def test_weights_of_another_model_are_not_downloaded(results):
    assert results["faults"]["weights of no component"] == []


@pytest.mark.slow
def test_backbone_of_a_downloaded_component_is_checked(results):
    assert "does not fit" in results["other_backbone"]["given"]
    assert "clip=" in results["other_backbone"]["none"]
    assert "0" * 64 in results["other_backbone"]["none"]


@pytest.mark.slow
def test_load_component_offline(results):
    found = results["offline"]
    source = f"farm/ripeness@{found['commit']}"
    assert found["cached"] == found["by commit"] == found["down cached"] == source
    assert found["429 cached"] == "no error"
    assert found["requests"] == []
    for case, reason in (("missing", "HF_HUB_OFFLINE is set: unset it"), ("down", "unreachable")):
        assert reason in found[case]
        assert DOWNLOAD in found[case]
    for case in ("push", "down push"):
        assert "was not uploaded" in found[case]
        assert "hf upload farm/ripeness folder" in found[case]


BAD_NAMES = [
    "a/b/c",
    "../b",
    "a/..",
    "a b/c",
    "a/b--c",
    "/b",
    "a/",
    "https://a/b",
    "a\n/b",
    "a" * 300,
    "a",
    "",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_of_repositories_are_validated(name, monkeypatch):
    monkeypatch.setattr(registry, "fetch", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(FileNotFoundError, match="or a repository of the hub, 'owner/name'"):
        load_component(name)
    with pytest.raises(ValueError, match=r"repo_id = .*: must be 'owner/name'"):
        hub.push(name, {}, {}, {})


def test_load_component_order_of_names(tmp_path, monkeypatch):
    asked, clip = [], SimpleNamespace(weights_hash="")
    commit = "c" * 40

    def fetch(name, revision):
        asked.append((name, revision))
        return registry.COMPONENTS / "coop-dating", commit

    method = SimpleNamespace(from_pretrained=lambda folder, clip: SimpleNamespace(folder=folder))
    monkeypatch.setattr(registry, "find_method", lambda name: method)
    monkeypatch.setattr(registry, "fetch", fetch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coop-counting").mkdir()  # the bundled one wins
    model = load_component("coop-counting", clip)
    assert (model.folder, model.source) == (registry.COMPONENTS / "coop-counting", None)
    assert asked == []
    model = load_component("owner/name", clip, revision="v1")
    assert asked == [("owner/name", "v1")]
    assert model.source == f"owner/name@{commit}"
    with pytest.raises(ValueError, match="revision = 'v1': of the hub only"):
        load_component("coop-counting", revision="v1")
    with pytest.raises(FileNotFoundError):
        load_component("./owner/name")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "hf auth login"), (403, "settings/tokens"), (404, "spelling"), (429, "five minutes")],
)
def test_hub_error_by_status_of_a_cause(status, message):
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    cause = HfHubHTTPError("x", response=response)
    error = LocalEntryNotFoundError("not found")
    error.__cause__ = cause
    assert message in hub_error("a/b", None, error, "remedy")
    assert f"({status})" in hub_error("a/b", None, error, "remedy")


def test_hub_error_offline():
    message = hub_error("a/b", "v1", OfflineModeIsEnabled("off"), "remedy", "was not uploaded")
    assert message == (
        "a/b (revision v1) was not uploaded, and HF_HUB_OFFLINE is set: unset it to use the "
        "network. remedy"
    )
