"""Races of what all notebooks use: pictures, prompts, caches, a folder put in order."""

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
from ordlib.methods.zero_shot import ZeroShot
from ordlib.synthetic import TASKS, render_many
from ordlib.synthetic.load import load_data
from ordlib.tasks import load_task
from ordlib.utils.cache import cache_dir

from .tools import empty_cache, peak, race, vit_b_32

SENTENCES = {"first": "the number of stars", "second": "the number of hearts"}


def pico_clip(pictures: int = 1000, repeats: int = 3) -> pd.DataFrame:
    """pico-clip: seconds for 1,000 pictures and for the 4,560 unnamed counting prompts."""
    clip, data = load_clip("pico-clip"), load_data("counting", "train", num_images=pictures)
    jobs = {
        f"{pictures} pictures": lambda: clip.encode_images(data),
        "4560 prompts": lambda: ZeroShot(clip, data.task, templates=(0, 1, 2)).text_features(),
    }
    seconds = race(jobs, repeats)
    return pd.DataFrame({"job": list(seconds), "seconds": [round(s, 2) for s in seconds.values()]})


def rendering(pictures: int = 400, repeats: int = 3) -> pd.DataFrame:
    """The rendered world at 96 pixels: pictures per second on one core and on all."""
    rows = []
    for task in TASKS:
        draw = partial(render_many, task, "train", range(pictures), 96)
        seconds = race({"one": partial(draw, workers=1), "all": draw}, repeats)
        row = {"task": task, "one core": round(pictures / seconds["one"])}
        row["all cores"] = round(pictures / seconds["all"])
        rows.append(row | {"times faster": round(seconds["one"] / seconds["all"], 2)})
    return pd.DataFrame(rows)


@torch.no_grad()
def text_context(repeats: int = 3) -> pd.DataFrame:
    """Text encoding: context cut to the longest prompt, against all 77 positions (ViT-B/32)."""
    texts, rows = {task: load_task(task).prompts() for task in TASKS}, []
    clip = vit_b_32(text for prompts in texts.values() for text in prompts)
    for task, prompts in texts.items():
        whole = clip.tokenizer(prompts, padding="max_length", max_length=77, return_tensors="pt")
        whole = whole.to(clip.device)

        def full(tokens=whole) -> torch.Tensor:
            return clip.model.get_text_features(**tokens).pooler_output.float().cpu()

        def cut(prompts=prompts) -> torch.Tensor:
            return clip.text_features(prompts).cpu()

        seconds = race({"full": full, "cut": cut}, repeats)
        difference = (normalize(full(), dim=-1) - normalize(cut(), dim=-1)).abs().max()
        rows.append(
            {
                "task": task,
                "prompts": len(prompts),
                "positions": clip.tokenize(prompts).ids.shape[1],
                "s at 77": round(seconds["full"], 3),
                "s cut": round(seconds["cut"], 3),
                "times faster": round(seconds["full"] / seconds["cut"], 1),
                "largest difference": f"{difference:.0e}",
            }
        )
    return pd.DataFrame(rows)


def cached_features(pictures: int = 64, repeats: int = 3) -> pd.DataFrame:
    """Picture features: read from the disk cache, against encoded anew (ViT-B/32)."""
    from tests.clips import build_vit_b_32

    data, rows = load_data("counting", "val", num_images=pictures), []
    with empty_cache() as folder:
        clip = load_clip(build_vit_b_32(folder / "vit-b-32"))
        for kind in (cached_image_features, cached_image_tokens):

            def anew(kind=kind) -> torch.Tensor:
                shutil.rmtree(cache_dir() / "features", ignore_errors=True)
                return kind(clip, data)

            # In turns, so each reading finds what the encoding before it left. A sum touches every
            # number: the file is mapped into memory, and reading it would otherwise be put off.
            ways = {"anew": anew, "cached": lambda kind=kind: kind(clip, data).sum()}
            seconds = race(ways, repeats)
            assert torch.equal(anew(), kind(clip, data))
            row = {"kind": kind.__name__, "pictures": len(data)}
            row |= {"s anew": round(seconds["anew"], 2), "s cached": round(seconds["cached"], 4)}
            rows.append(row | {"times faster": round(seconds["anew"] / seconds["cached"])})
    return pd.DataFrame(rows)


def ranking(pictures: int = 10_000) -> pd.DataFrame:
    """A folder put in order by a sentence: ten thousand pictures, then another sentence."""
    adapter = load_component("ranking-adapter", load_clip("pico-clip"))
    rows, data = [], load_data("counting", "val")
    with empty_cache() as folder:
        for count in (pictures // 10, pictures):
            files = _write(data, folder / str(count), count)
            for said, sentence in SENTENCES.items():
                began = perf_counter()
                mib, _ = peak(partial(rank, files, sentence, model=adapter))
                cost = {"s": round(perf_counter() - began, 1), "MiB": round(mib)}
                rows.append({"pictures": count, "sentence": said} | cost)
    return pd.DataFrame(rows)


def _write(data, folder: Path, count: int) -> Path:
    """Write pictures; the same ones under many names, which ordlib has no way to know."""
    folder.mkdir()
    for number in range(min(count, len(data))):
        data[number].save(folder / f"{number}.png")
    for number in range(len(data), count):
        os.link(folder / f"{number % len(data)}.png", folder / f"{number}.png")
    return folder
