"""Side-by-side timings, run by `make bench`: medians over repeats, as ratios of one run."""

import os
import platform

import torch

from . import (
    cached_features,
    l2rclip,
    numclip,
    pico_clip,
    rank_attention,
    ranking,
    rendering,
    text_context,
)

PARTS = (
    pico_clip,
    text_context,
    numclip,
    l2rclip,
    rank_attention,
    ranking,
    cached_features,
    rendering,
)


def main() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    print(f"{platform.machine()}, {cores} cores{gpu}, Python {platform.python_version()}, ", end="")
    print(f"torch {torch.__version__}")
    for part in PARTS:
        print(f"\n{part.__doc__.splitlines()[0]}", flush=True)
        print(part.measure().to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
