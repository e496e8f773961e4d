"""Encoding of a folder that is killed at any moment and resumed: bit-equal, and nothing is left."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ordlib.utils.cache import TEMPORARY_PREFIX

TRIALS = 10

# One process loads the backbone; each trial is a fork of it, which takes no time to start.
ENCODER = """
import json, os, random, signal, sys, time
from pathlib import Path
import numpy as np, psutil, torch
torch.set_num_threads(1)
from ordlib import load_clip, load_folder
from ordlib.clip import feature_cache, feature_store
feature_store.MAX_SHARD_IMAGES = 2
images, root, folder, trials = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
clip = load_clip(folder, device="cpu")
NUM_FILES, EXITED = 20, os.WEXITED | os.WNOHANG | os.WNOWAIT

def start(cache, output):
    child = os.fork()
    if child:
        return child
    try:
        os.environ["ORDLIB_CACHE"] = str(cache)
        count, encode = [0], clip.image_features
        def counting(pixels):
            count[0] += 1
            return encode(pixels)
        clip.image_features = counting
        data = load_folder(images, None, "counting")
        features = feature_cache.cached_image_features(clip, data, batch_size=2)
        np.save(output / "features.npy", features.numpy())
        (output / "count").write_text(str(count[0]))
        os._exit(0)
    finally:
        os._exit(1)

def finish(cache, output):
    output.mkdir(parents=True, exist_ok=True)
    assert os.waitpid(start(cache, output), 0)[1] == 0

finish(root / "reference", root / "reference" / "out")
def kept(cache):
    return sum(1 for path in cache.glob("features/*/*.npy"))
moments = random.Random(0)
for trial in range(trials):
    cache = root / str(trial)
    child = start(cache, root)
    # Not timed from the start: how fast a child is depends on what else the machine does.
    number = moments.randrange(NUM_FILES - 1)
    while kept(cache) < number and os.waitid(os.P_PID, child, EXITED) is None:
        time.sleep(0.001)
    time.sleep(moments.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status)
    left = [str(path.relative_to(cache)) for path in cache.rglob("*")]
    finish(cache, cache / "out")
    processes = [process.pid for process in psutil.Process().children(recursive=True)]
    print(json.dumps({"killed": killed, "left": left, "processes": processes}), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_encoding_that_is_killed_and_resumed(tiny_clip_folder, tmp_path):
    images = tmp_path / "images" / "3"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for row in range(40):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{row}.png")
    root = tmp_path / "trials"
    arguments = [images.parent, root, tiny_clip_folder, TRIALS]
    command = [sys.executable, "-c", ENCODER, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    trials = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(trials) == TRIALS
    reference = (root / "reference" / "out" / "features.npy").read_bytes()
    saved = 0
    for number, trial in enumerate(trials):
        cache = root / str(number)
        assert (cache / "out" / "features.npy").read_bytes() == reference
        saved += 20 - int((cache / "out" / "count").read_text())
        assert trial["processes"] == []
        assert remains(cache) == []
    # Many were killed on their way, some within a write; what they had done was kept.
    assert sum(trial["killed"] for trial in trials) >= TRIALS / 4
    assert saved > TRIALS
    print(f"{sum(t['killed'] for t in trials)} killed, {saved} batches kept")
    print([sum(TEMPORARY_PREFIX in path for path in trial["left"]) for trial in trials])


def remains(cache: Path) -> list[Path]:
    temporary = [path for path in cache.rglob("*") if TEMPORARY_PREFIX in str(path)]
    stores = cache.glob("features/*")
    pairs = (".npy", ".json")
    files = [f for store in stores for f in store.iterdir() if f.name != "description.txt"]
    return temporary + [f for f in files if not all(f.with_suffix(s).exists() for s in pairs)]
