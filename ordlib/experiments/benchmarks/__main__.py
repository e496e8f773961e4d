"""Side-by-side timings, run by `make bench`: medians over repeats, as ratios of one run."""

import os
import platform

import torch

from . import l2rclip, numclip, rank_attention, speeds

PARTS = {
    speeds.pico_clip: speeds.pico_clip,
    speeds.text_context: speeds.text_context,
    numclip: numclip.measure,
    l2rclip: l2rclip.measure,
    rank_attention: rank_attention.measure,
    speeds.ranking: speeds.ranking,
    speeds.cached_features: speeds.cached_features,
    speeds.rendering: speeds.rendering,
}


def main() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    print(f"{platform.machine()}, {cores} cores{gpu}, Python {platform.python_version()}, ", end="")
    print(f"torch {torch.__version__}")
    for told, measure in PARTS.items():
        print(f"\n{told.__doc__.splitlines()[0]}", flush=True)
        print(measure().to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
