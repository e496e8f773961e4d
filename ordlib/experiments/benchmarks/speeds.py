"""Shared operations of the notebooks: encoding, rendering, feature caches, ranking a folder."""

import os
import shutil
from functools import partial
from pathlib import Path
from time import perf_counter

import pandas as pd
import torch
from torch.nn.functional import normalize

from ordlib import load_component, rank
from ordlib.clip import load_clip
from ordlib.clip.feature_cache import cached_image_features, cached_image_tokens
from ordlib.experiments.synthetic_data import load_data
from ordlib.methods.zero_shot import ZeroShot
from ordlib.synthetic import TASKS, render_many
from ordlib.tasks import load_task
from ordlib.utils.cache import cache_dir

from .tools import empty_cache, median_seconds, peak_memory, vit_b_32

PROMPTS = {"first": "the number of stars", "second": "the number of hearts"}


def pico_clip(num_images: int = 1000, repeats: int = 3) -> pd.DataFrame:
    """pico-clip: seconds for 1,000 images and for all 4,560 prompts of class-averaged counting."""
    clip, data = load_clip("pico-clip"), load_data("counting", "train", num_images=num_images)
    functions = {
        f"{num_images} images": lambda: clip.encode_images(data),
        "4560 prompts": lambda: ZeroShot(clip, data.task, templates=(0, 1, 2)).text_features(),
    }
    seconds = median_seconds(functions, repeats)
    return pd.DataFrame({"job": list(seconds), "seconds": [round(s, 2) for s in seconds.values()]})


@torch.no_grad()
def precision(num_images: int = 32, repeats: int = 3) -> pd.DataFrame:
    """Image encoding with ViT-B/32 on the CPU: images per second in float32 and bfloat16."""
    clip = vit_b_32(["number"])
    model, pixels = clip.model.to("cpu"), torch.randn(num_images, 3, 224, 224)
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        model.to(dtype)
        seconds = median_seconds({"encode": lambda: clip.image_features(pixels)}, repeats)
        rows.append({"precision": str(dtype), "images/s": round(num_images / seconds["encode"], 1)})
    return pd.DataFrame(rows)


def rendering(num_images: int = 400, repeats: int = 3) -> pd.DataFrame:
    """Rendering of synthetic images at 96 pixels: images per second on one core and on all."""
    rows = []
    for task in TASKS:
        render = partial(render_many, task, "train", range(num_images), 96)
        seconds = median_seconds({"one": partial(render, workers=1), "all": render}, repeats)
        one, every = seconds["one"], seconds["all"]
        rows.append({
            "task": task, "one core": round(num_images / one),
            "all cores": round(num_images / every), "times faster": round(one / every, 2),
        })  # fmt: skip
    return pd.DataFrame(rows)


@torch.no_grad()
def text_context(repeats: int = 3) -> pd.DataFrame:
    """Text encoding: truncated to the longest prompt against all 77 positions (ViT-B/32)."""
    prompts_of, rows = {task: load_task(task).prompts() for task in TASKS}, []
    clip = vit_b_32(prompt for prompts in prompts_of.values() for prompt in prompts)
    for task, prompts in prompts_of.items():
        tokens = clip.tokenizer(prompts, padding="max_length", max_length=77, return_tensors="pt")
        tokens = tokens.to(clip.device)
        functions = {
            "full": lambda t=tokens: clip.model.get_text_features(**t).pooler_output.float().cpu(),
            "truncated": lambda prompts=prompts: clip.text_features(prompts).cpu(),
        }
        seconds = median_seconds(functions, repeats)
        full, truncated = (normalize(function(), dim=-1) for function in functions.values())
        rows.append({
            "task": task, "prompts": len(prompts),
            "positions": clip.tokenize(prompts).ids.shape[1],
            "s at 77": round(seconds["full"], 3), "s truncated": round(seconds["truncated"], 3),
            "times faster": round(seconds["full"] / seconds["truncated"], 1),
            "max difference": f"{(full - truncated).abs().max():.0e}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def cached_features(num_images: int = 64, repeats: int = 3) -> pd.DataFrame:
    """Image features: loaded from the disk cache against encoded again (ViT-B/32)."""
    from tests.helpers.clips import build_vit_b_32

    data, rows = load_data("counting", "val", num_images=num_images), []
    with empty_cache() as folder:
        clip = load_clip(build_vit_b_32(folder / "vit-b-32"))
        for function in (cached_image_features, cached_image_tokens):

            def encoded(function=function) -> torch.Tensor:
                shutil.rmtree(cache_dir() / "features", ignore_errors=True)
                return function(clip, data)

            # Run alternately, so the cache is filled. The file is memory-mapped: the sum reads it.
            functions = {"encoded": encoded, "cached": lambda f=function: f(clip, data).sum()}
            seconds = median_seconds(functions, repeats)
            assert torch.equal(encoded(), function(clip, data))
            row = {"kind": function.__name__, "images": len(data)}
            row["s encoded"] = round(seconds["encoded"], 2)
            row["s cached"] = round(seconds["cached"], 4)
            rows.append(row | {"times faster": round(seconds["encoded"] / seconds["cached"])})
    return pd.DataFrame(rows)


def ranking(num_images: int = 10_000) -> pd.DataFrame:
    """Ranking of a folder: seconds and MiB for 10,000 images and a prompt, then another prompt."""
    adapter = load_component("ranking-adapter", load_clip("pico-clip"))
    rows, data = [], load_data("counting", "val")
    with empty_cache() as folder:
        for count in (num_images // 10, num_images):
            files = _write_images(data, folder / str(count), count)
            for name, prompt in PROMPTS.items():
                start = perf_counter()
                mib, _ = peak_memory(partial(rank, files, prompt, model=adapter))
                cost = {"s": round(perf_counter() - start, 1), "MiB": round(mib)}
                rows.append({"images": count, "prompt": name} | cost)
    return pd.DataFrame(rows)


def _write_images(data, folder: Path, count: int) -> Path:
    """Write images, repeated under different names as hard links, which ordlib cannot detect."""
    folder.mkdir()
    for number in range(min(count, len(data))):
        data[number].save(folder / f"{number}.png")
    for number in range(len(data), count):
        os.link(folder / f"{number % len(data)}.png", folder / f"{number}.png")
    return folder
