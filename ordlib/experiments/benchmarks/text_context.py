"""Text encoding: context cut to the longest prompt, against all 77 positions (ViT-B/32)."""

import pandas as pd
import torch
from torch.nn.functional import normalize

from ordlib.clip import ClipBackbone
from ordlib.tasks import load_task

from .backbones import vit_b_32
from .timing import race

TASKS = ("counting", "dating", "ageing", "quality")


def measure(repeats: int = 3) -> pd.DataFrame:
    """One row a task: positions, seconds both ways, the ratio, and how far the results differ."""
    prompts = {task: load_task(task).prompts() for task in TASKS}
    clip = vit_b_32(text for texts in prompts.values() for text in texts)
    return pd.DataFrame([{"task": task, **_row(clip, prompts[task], repeats)} for task in TASKS])


@torch.no_grad()
def _row(clip: ClipBackbone, prompts: list[str], repeats: int) -> dict:
    whole = clip.tokenizer(prompts, padding="max_length", max_length=77, return_tensors="pt")
    whole = whole.to(clip.device)

    def full() -> torch.Tensor:
        return clip.model.get_text_features(**whole).pooler_output.float()

    def cut() -> torch.Tensor:
        return clip.text_features(prompts).cpu()

    seconds = race({"full": lambda: full().cpu(), "cut": cut}, repeats)
    difference = (normalize(full().cpu(), dim=-1) - normalize(cut(), dim=-1)).abs().max()
    return {
        "prompts": len(prompts),
        "positions": clip.tokenize(prompts).ids.shape[1],
        "s at 77": round(seconds["full"], 3),
        "s cut": round(seconds["cut"], 3),
        "times faster": round(seconds["full"] / seconds["cut"], 1),
        "largest difference": f"{difference:.0e}",
    }
