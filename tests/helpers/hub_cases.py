"""Pushes and loads components at a small hub of its own; prints what came of each case as JSON.

Run as ``python hub_cases.py FOLDER_OF_A_CLIP TEMPORARY_FOLDER``.
"""

import json
import os
import socket
import sys
import time
import warnings
from pathlib import Path

from hub_server import READ, WRITE, HubServer

SERVER = HubServer()
CLIP, ROOT = Path(sys.argv[1]), Path(sys.argv[2])
for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[variable]
os.environ |= {
    "HF_ENDPOINT": SERVER.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "NO_PROXY": "*",
    "HF_HOME": str(ROOT / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORDLIB_CACHE": str(ROOT / "cache"), "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}  # fmt: skip
for name in ("HF_TOKEN", "HF_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN"):
    os.environ.pop(name, None)

import numpy as np
import pandas as pd
import torch
from huggingface_hub import close_session, constants

from ordlib import CoOp, ImageData, OrdinalTask, load_clip, load_component

connect = socket.socket.connect


def loopback_only(self, address):
    assert address[0] in ("127.0.0.1", "::1"), address
    return connect(self, address)


socket.socket.connect = loopback_only
time.sleep = lambda seconds: None  # between the client's retries

TASK = OrdinalTask(name="ripeness", unit="days", values=("green", "yellow", "brown"))
NAME = "farm/ripeness"
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def push(model, token=WRITE, name=NAME, **options):
    return model.push_to_hub(name, token=token, **options)


def load(name=NAME, cache=None, **options):
    """Load with a cache of its own, unless one is named."""
    load.count += 1
    constants.HF_HUB_CACHE = str(ROOT / (cache or f"hub{load.count}"))
    return load_component(name, options.pop("clip", clip), **options)


load.count = 0


def error_of(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def with_fault(fault, function, *arguments, **options):
    SERVER.fault = fault
    try:
        return error_of(function, *arguments, **options)
    finally:
        SERVER.fault = None


def on(name, status, file=None):
    return lambda route, groups: status if (
        route == name and file in (None, groups.get("file"))) else None  # fmt: skip


def requested():
    return sorted({g["file"] for _, route, g in SERVER.requests if route == "resolve"})


@case
def round_trip():
    SERVER.commit(NAME, {"evil.pkl": b"\x80\x04K\x01.", "pytorch_model.bin": b"x", "a/b.py": b"x"})
    SERVER.requests.clear()
    loaded = load()
    state = loaded.saved_state_dict()
    return {
        "equal": all(torch.equal(state[n], t) for n, t in model.saved_state_dict().items()),
        "predictions": np.array_equal(loaded.predict(images).value, model.predict(images).value),
        "source": loaded.source, "commit": SERVER.repos[NAME]["commits"][-1][0],
        "card": loaded.card["seed"], "requested": requested(),
    }  # fmt: skip


@case
def revision():
    second = push(other)
    old, new = load(revision=first), load()
    return {
        "first": old.source == f"{NAME}@{first}", "second": new.source == f"{NAME}@{second}",
        "seeds": [old.options.seed, new.options.seed],
        "abbreviated": error_of(load, revision=first[:8]),
    }  # fmt: skip


@case
def config_names_no_path():
    files = SERVER.repos[NAME]["commits"][1][1]
    backbone = json.loads(files["config.json"])["backbone"]
    published = b"".join(files.values())
    return {"name": backbone["name"], "path": backbone.get("path"),
            "leak": str(CLIP).encode() in published,
            "command": b"train coop --backbone tiny-clip --data a/b" in published}  # fmt: skip


@case
def readme():
    generated = SERVER.repos[NAME]["commits"][-1][1]["README.md"].decode()
    SERVER.commit(
        NAME, {"README.md": generated.replace("what the model is for", "bananas").encode()}
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        push(model)
    kept = SERVER.repos[NAME]["commits"][-1][1]["README.md"].decode()
    (ROOT / "mine.md").write_text("mine\n")
    push(model, readme=ROOT / "mine.md")
    given = SERVER.repos[NAME]["commits"][-1][1]["README.md"].decode()
    return {"kept": "bananas" in kept, "given": given, "generated": generated,
            "warnings": [str(w.message) for w in caught if "README" in str(w.message)]}  # fmt: skip


@case
def private():
    push(model, name="farm/secret", private=True)
    commits = len(SERVER.repos[NAME]["commits"])
    return {
        "is_private": SERVER.repos["farm/secret"]["private"],
        "without a token": error_of(load, "farm/secret"),
        "public": error_of(push, model, private=True),
        "commits": len(SERVER.repos[NAME]["commits"]) - commits,
    }


@case
def tokens():
    return {
        "no token": error_of(push, model, token=None),
        "read": error_of(push, model, token=READ),
    }


@case
def local_folder_wins():
    os.chdir(ROOT)
    model.save_pretrained("farm/ripeness")
    SERVER.requests.clear()
    try:
        return {"source": load().source, "requests": [*SERVER.requests],
                "revision": error_of(load, revision="main")}  # fmt: skip
    finally:
        os.chdir("/")


@case
def faults():
    for name in ("farm/half", "farm/clip"):
        SERVER.repos[name] = {"private": False, "commits": []}
    whole = SERVER.repos[NAME]["commits"][-1][1]
    SERVER.commit("farm/half", {**whole, "model.safetensors": None})
    SERVER.commit(
        "farm/clip", {"config.json": b'{"model_type": "clip"}', "model.safetensors": b"x"}
    )
    SERVER.requests.clear()
    found = {
        "404 repository": error_of(load, "farm/none"),
        "404 revision": error_of(load, revision="v9"),
        "404 file": error_of(load, "farm/half"),
        "no component": error_of(load, "farm/clip"),
    }
    found["weights of no component"] = [
        g for _, route, g in SERVER.requests
        if route == "resolve" and g["repo"] == "farm/clip" and g["file"] != "config.json"
    ]  # fmt: skip
    for status in (401, 403, 429, 500):
        found[f"{status} info"] = with_fault(on("info", status), load)
        found[f"{status} file"] = with_fault(on("resolve", status, "config.json"), load)
        found[f"{status} commit"] = with_fault(on("commit", status), push, model)
    os.environ["HF_TOKEN"] = READ
    found["404 repository, logged in"] = error_of(load, "farm/none")
    found["private, logged in"] = error_of(load, "farm/secret")
    del os.environ["HF_TOKEN"]
    found["cut body"] = with_fault(on("cdn", "cut"), load)
    found["wrong hash"] = with_fault(on("cdn", "wrong"), load, cache="wrong")
    found["wrong hash again"] = error_of(load, cache="wrong")
    SERVER.fault = None
    return found


@case
def another_model():
    SERVER.repos["farm/weights"] = {"private": False, "commits": []}
    SERVER.commit("farm/weights", {"model.safetensors": b"x"})
    size = CoOp(clip, OrdinalTask(name="size", unit="cm", values=(1, 2, 3)))
    count = lambda: sum(len(repo["commits"]) for repo in SERVER.repos.values())  # noqa: E731
    commits = count()
    return {
        "another kind": error_of(push, model, name="farm/clip"),
        "another task": error_of(push, size),
        "weights alone": error_of(push, model, name="farm/weights"),
        "commits": count() - commits,
    }


@case
def other_backbone():
    whole = SERVER.repos[NAME]["commits"][-1][1]
    config = json.loads(whole["config.json"])
    config["backbone"]["sha256"] = "0" * 64
    SERVER.repos["farm/other"] = {"private": False, "commits": []}
    SERVER.commit("farm/other", {**whole, "config.json": json.dumps(config).encode()})
    return {"given": error_of(load, "farm/other"), "none": error_of(load, "farm/other", clip=None)}


@case
def offline():
    load(cache="kept")
    commit = SERVER.repos[NAME]["commits"][-1][0]
    limited = with_fault(on("info", 429), load, cache="kept")
    constants.HF_HUB_OFFLINE = True
    SERVER.requests.clear()
    found = {"429 cached": limited, "cached": load(cache="kept").source,
             "by commit": load(cache="kept", revision=commit).source,
             "missing": error_of(load), "push": error_of(push, model),
             "requests": [*SERVER.requests], "commit": commit}  # fmt: skip
    constants.HF_HUB_OFFLINE = False
    SERVER.stop()
    close_session()
    return found | {"down": error_of(load), "down cached": load(cache="kept").source,
                    "down push": error_of(push, model)}  # fmt: skip


clip = load_clip(CLIP, "cpu")
model, other = (CoOp(clip, TASK, seed=seed) for seed in (1, 2))
pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
images = ImageData(TASK, pixels, np.zeros(4), pd.DataFrame({"i": range(4)}), "four", "all")
command = f"ordlib train coop --backbone {CLIP} --data a/b"
first = push(model, card={"seed": 7, "license": "mit", "command": command})
seconds = {}
results = {}
for name, function in CASES.items():
    start = time.perf_counter()
    results[name] = function()
    seconds[name] = round(time.perf_counter() - start, 2)
print(json.dumps(results | {"seconds": seconds}))
