"""NumCLIP: losses without loops against loops, and a training step with the context cut."""

import math

import pandas as pd
import torch
from torch import Tensor

from ordlib.losses import fcrc, text_to_image_kl
from ordlib.methods.coop import CoOp
from ordlib.methods.numclip import NumCLIP
from ordlib.tasks import load_task

from .tools import contest, padded, race, vit_b_32

BATCHES = (32, 128, 512)
BINS = 5


def measure(repeats: int = 3) -> pd.DataFrame:
    """One row a contest: seconds both ways, the ratio, and how far the results differ."""
    rows = [_losses(size, repeats) for size in BATCHES]
    task = load_task("counting")
    clip = vit_b_32([*task.prompts(), *task.bin_prompts()])
    rows += [_step(NumCLIP(clip, task), repeats), _step(CoOp(clip, task), repeats)]
    return pd.DataFrame(rows)


def _losses(size: int, repeats: int) -> dict:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(size, BINS, generator=generator, dtype=torch.float64)
    bins = torch.randint(BINS, (size,), generator=generator)

    def whole() -> Tensor:
        asked = logits.clone().requires_grad_()
        (fcrc(asked, bins) + text_to_image_kl(asked, bins)).backward()
        return asked.grad

    def loops() -> Tensor:
        asked = logits.clone().requires_grad_()
        (_fcrc_by_loops(asked, bins) + _kl_by_loops(asked, bins)).backward()
        return asked.grad

    seconds = race({"slow": loops, "quick": whole}, repeats)
    return _row(f"losses, batch {size}", seconds, (loops() - whole()).abs().max())


def _fcrc_by_loops(logits: Tensor, bins: Tensor) -> Tensor:
    total = 0
    for row, own in zip(logits, bins.tolist(), strict=True):
        far = [abs(own - j) for j in range(BINS)]
        weights = [1 if j == own else (BINS - 1) * far[j] / sum(far) for j in range(BINS)]
        parts = [weight * torch.exp(x) for weight, x in zip(weights, row, strict=True)]
        total = total - torch.log(parts[own] / sum(parts))
    return total / len(logits)


def _kl_by_loops(logits: Tensor, bins: Tensor) -> Tensor:
    own, total = bins.tolist(), 0
    for i in sorted(set(own)):
        far = [abs(i - c) for c in own]
        weights = [
            1 if c == i else (BINS - 1) * f / sum(far) for c, f in zip(own, far, strict=True)
        ]
        parts = [torch.exp(w * x) for w, x in zip(weights, logits[:, i], strict=True)]
        targets = [math.exp(10 * (c == i)) for c in own]
        found, wanted = sum(parts), sum(targets)
        for part, target in zip(parts, targets, strict=True):
            total = total + target / wanted * (math.log(target / wanted) - torch.log(part / found))
    return total / len(set(own))


def _step(model: CoOp | NumCLIP, repeats: int) -> dict:
    """Time loss and gradients of 64 cached features, on ViT-B/32's text tower."""
    features = torch.randn(64, model.clip.embed_dim, generator=torch.Generator().manual_seed(0))
    values = torch.linspace(1, 20, 64).round()
    learned = model.prompt_learner.rank_embeddings.embeddings

    def step() -> Tensor:
        model.zero_grad()
        model.loss(features.to(model.clip.device), values.to(model.clip.device)).backward()
        return learned.grad.cpu()

    def whole() -> Tensor:
        with padded(model.prompts):
            return step()

    seconds = race({"slow": whole, "quick": step}, repeats)
    positions = int(model.prompt_learner.eos_positions.max()) + 1
    name = f"{type(model).__name__} step, {len(learned)} prompts, 77 or {positions}"
    return _row(name, seconds, (whole() - step()).abs().max() / step().abs().max())


def _row(name: str, seconds: dict[str, float], difference: Tensor) -> dict:
    row = contest(name, seconds, slow="s loops or 77")
    return row | {"largest difference": f"{difference:.0e}"}
