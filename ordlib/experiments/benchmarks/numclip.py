"""NumCLIP: vectorized losses against loops, and a training step on truncated prompts."""

import math

import pandas as pd
import torch
from torch import Tensor

from ordlib.losses import fcrc, text_to_image_kl
from ordlib.methods.coop import CoOp
from ordlib.methods.numclip import NumCLIP
from ordlib.tasks import load_task

from .tools import max_relative_difference, padded, random_features, speedup_row, vit_b_32

BATCH_SIZES = (32, 128, 512)
NUM_BINS = 5
COLUMN = "s loops or 77"


def measure(repeats: int = 3) -> pd.DataFrame:
    """NumCLIP: losses against loops, training steps against prompts padded to 77 positions."""
    rows = [_losses(batch_size, repeats) for batch_size in BATCH_SIZES]
    task = load_task("counting")
    clip = vit_b_32([*task.prompts(), *task.bin_prompts()])
    rows += [_step(NumCLIP(clip, task), repeats), _step(CoOp(clip, task), repeats)]
    return pd.DataFrame(rows)


def _losses(batch_size: int, repeats: int) -> dict:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(batch_size, NUM_BINS, generator=generator, dtype=torch.float64)
    bins = torch.randint(NUM_BINS, (batch_size,), generator=generator)

    def vectorized() -> Tensor:
        leaf = logits.clone().requires_grad_()
        (fcrc(leaf, bins) + text_to_image_kl(leaf, bins)).backward()
        return leaf.grad

    def loops() -> Tensor:
        leaf = logits.clone().requires_grad_()
        (_fcrc_by_loops(leaf, bins) + _kl_by_loops(leaf, bins)).backward()
        return leaf.grad

    row = speedup_row(f"losses, batch {batch_size}", loops, vectorized, repeats, column=COLUMN)
    return row | {"max difference": f"{(loops() - vectorized()).abs().max():.0e}"}


def _fcrc_by_loops(logits: Tensor, bins: Tensor) -> Tensor:
    total = 0
    for row, c in zip(logits, bins.tolist(), strict=True):
        distances = [abs(c - j) for j in range(NUM_BINS)]
        weights = [(NUM_BINS - 1) * distance / sum(distances) for distance in distances]
        weights[c] = 1
        terms = [weight * torch.exp(x) for weight, x in zip(weights, row, strict=True)]
        total = total - torch.log(terms[c] / sum(terms))
    return total / len(logits)


def _kl_by_loops(logits: Tensor, bins: Tensor) -> Tensor:
    bins, total = bins.tolist(), 0
    for j in sorted(set(bins)):
        distances = [abs(j - c) for c in bins]
        weights = [(NUM_BINS - 1) * d / sum(distances) if d else 1 for d in distances]
        terms = [torch.exp(w * x) for w, x in zip(weights, logits[:, j], strict=True)]
        targets = [math.exp(10 * (c == j)) for c in bins]
        term_sum, target_sum = sum(terms), sum(targets)
        for term, target in zip(terms, targets, strict=True):
            p, q = target / target_sum, term / term_sum
            total = total + p * (math.log(p) - torch.log(q))
    return total / len(set(bins))


def _step(model: CoOp | NumCLIP, repeats: int) -> dict:
    """Time loss and gradients on 64 cached features, with the text encoder of a ViT-B/32."""
    features = random_features(model.clip, 64)
    values = torch.linspace(1, 20, 64, device=model.clip.device).round()
    embeddings = model.prompt_learner.rank_embeddings.embeddings

    def truncated() -> Tensor:
        model.zero_grad()
        model.loss(features, values).backward()
        return embeddings.grad.cpu()

    def full_context() -> Tensor:
        with padded(model.prompt_learner):
            return truncated()

    positions = int(model.prompt_learner.eos_positions.max()) + 1
    name = f"{type(model).__name__} step, {len(embeddings)} prompts, 77 or {positions} positions"
    row = speedup_row(name, full_context, truncated, repeats, column=COLUMN)
    difference = max_relative_difference(full_context(), truncated())
    return row | {"max difference": f"{difference:.0e}"}
