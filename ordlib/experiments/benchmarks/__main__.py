"""Run all benchmarks: median times over repeats, and the speed-up over each reference."""

import platform

import torch
from joblib import cpu_count

from . import l2rclip, numclip, rank_attention, reading, releases, speeds

BENCHMARKS = (
    *(speeds.pico_clip, speeds.text_context, numclip.measure, l2rclip.measure),
    *(
        releases.measure,
        rank_attention.measure,
        speeds.ranking,
        speeds.cached_features,
        speeds.rendering,
    ),
    *(speeds.precision, reading.large_jpegs, reading.checking, reading.waiting, reading.tokens),
)


def main() -> None:
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    print(
        f"{platform.machine()}, {cpu_count()} cores{gpu}, Python {platform.python_version()}, ",
        end="",
    )
    print(f"torch {torch.__version__}")
    for benchmark in BENCHMARKS:
        print(f"\n{benchmark.__doc__.splitlines()[0]}", flush=True)
        print(benchmark().to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
