"""L2RCLIP: a step of prompt tuning with the context cut, and evaluation with the words read once.

Both ways give the same. At 77 positions padding passes through RankFormer, too, masked there.
"""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ordlib.clip import ClipBackbone, load_clip
from ordlib.losses import (
    batch_ordinal_pairwise,
    cosine_similarity_matrix,
    diversity,
    l2rclip_loss,
    supervised_contrastive,
    tightness,
)
from ordlib.methods.l2rclip import L2RCLIP
from ordlib.tasks import OrdinalTask, load_task
from ordlib.tasks.builtin import number_words

from .tools import contest, padded, peak, race, vit_b_32

BATCH, PICTURES = 64, 1000
FORMS = ("both", "batch")
AGES = OrdinalTask(
    name="ages",
    unit="years",
    values=tuple(range(101)),
    rank_names=tuple(map(number_words, range(101))),
    templates=load_task("ageing").templates,
)


class Whole(L2RCLIP):
    """With nothing cut: RankFormer sees all positions, as the text tower does once padded."""

    def text_features(self) -> Tensor:
        words = self.prompt_learner.prompt_embeddings()
        embeddings = self.rankformer(words.embeddings, self.prompt_learner.mask)
        return self.clip.encode_text_embeddings(embeddings, words.eos_positions)


def measure(repeats: int = 3) -> pd.DataFrame:
    """One row a contest: seconds and MiB both ways, and how far the results differ."""
    tasks = (load_task("counting"), AGES)
    large = vit_b_32(text for task in tasks for text in task.prompts())
    # Steps of the large one are long enough to be timed once.
    backbones = (("pico-clip", load_clip("pico-clip"), repeats), ("ViT-B/32", large, 1))
    rows = []
    for name, clip, times in backbones:
        rows += [{"backbone": name, **_step(clip, task, times)} for task in tasks]
    for name, clip, times in backbones:
        rows.append({"backbone": name, **_evaluation(L2RCLIP(clip, tasks[0]), times)})
    rows += [{"backbone": "none, width 512", **_losses(form, 10 * repeats)} for form in FORMS]
    return pd.DataFrame(rows).astype(object).fillna("")


def _losses(form: str, repeats: int) -> dict:
    """Time the loss and its gradients: cosines anew in every term, as losses apart have it."""
    generator = torch.Generator().manual_seed(0)
    features, texts = (torch.randn(n, 512, generator=generator) for n in (BATCH, 101))
    given = features.requires_grad_(), texts.requires_grad_()
    ranks, rank_values = torch.randint(101, (BATCH,), generator=generator), torch.arange(101.0)
    labels = ranks, rank_values[ranks], rank_values

    def anew() -> list[Tensor]:
        logits = 100 * cosine_similarity_matrix(*given)
        own = F.one_hot(ranks, len(texts)).bool()
        loss = F.cross_entropy(logits, ranks) + supervised_contrastive(logits, own)
        loss = loss + supervised_contrastive((100 * cosine_similarity_matrix(*given)).T, own.T)
        if form == "batch":
            loss = loss + batch_ordinal_pairwise(*given, *labels[:2])
        else:
            loss = loss + tightness(*given, ranks) + diversity(*given, *labels[1:])
        return [loss.detach(), *torch.autograd.grad(loss, given)]

    def once() -> list[Tensor]:
        loss = l2rclip_loss(*given, *labels, scale=100.0, pairwise_loss=form)
        return [loss.detach(), *torch.autograd.grad(loss, given)]

    apart = max(_relative(*pair) for pair in zip(once(), anew(), strict=True))
    seconds = race({"slow": anew, "quick": once}, repeats)
    name = f"loss and gradients, {BATCH} images, 101 ranks, pairwise {form!r}"
    return contest(name, seconds) | {"values differ": f"{apart:.0e}"}


def _step(clip: ClipBackbone, task: OrdinalTask, repeats: int) -> dict:
    """Time loss and gradients of cached features, and watch their memory."""
    # Made from the same seed, so of the same weights.
    ours, plain = L2RCLIP(clip, task), Whole(clip, task)
    features = _features(clip, BATCH)
    values = torch.linspace(*task.range, BATCH, device=clip.device).round()

    def cut() -> list[Tensor]:
        return _gradients(ours, features, values)

    def whole() -> list[Tensor]:
        with padded(plain.prompts):
            return _gradients(plain, features, values)

    cut()
    most, wanted = peak(whole)
    least, found = peak(cut)
    seconds = race({"slow": whole, "quick": cut}, repeats, warm=False)
    far = [_relative(*pair) for pair in zip(found, wanted, strict=True)]
    words = len(list(ours.prompt_learner.parameters()))
    positions = int(ours.prompt_learner.eos_positions.max()) + 1
    return {
        **contest(f"step, {task.num_ranks} ranks, 77 or {positions} positions", seconds),
        "MiB slow": round(most, 1),
        "MiB ours": round(least, 1),
        "words' gradients differ": f"{max(far[:words]):.0e}",
        "RankFormer's": f"{max(far[words:]):.0e}",
    }


def _gradients(model: L2RCLIP, features: Tensor, values: Tensor) -> list[Tensor]:
    """Return those of context, rank words and RankFormer."""
    learned = [*model.prompt_learner.parameters(), *model.rankformer.parameters()]
    # Not into .grad: what a step before had left there would be freed unseen.
    gradients = torch.autograd.grad(model.loss(features, values), learned)
    return [gradient.cpu() for gradient in gradients]


def _evaluation(model: L2RCLIP, repeats: int) -> dict:
    """Time predictions of cached features, the words read once or for every batch."""
    features = _features(model.clip, PICTURES)

    def once() -> np.ndarray:
        return model.predict_from_features(features).value

    def anew() -> np.ndarray:
        return np.concatenate(
            [model.predict_from_features(batch).value for batch in features.split(BATCH)]
        )

    seconds = race({"slow": anew, "quick": once}, repeats)
    name = f"{PICTURES} pictures, {model.task.num_ranks} ranks, words for each {BATCH} or once"
    return contest(name, seconds) | {"values differ": f"{abs(anew() - once()).max():.0e}"}


def _features(clip: ClipBackbone, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, clip.embed_dim, generator=generator).to(clip.device)


def _relative(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference, as a share of the largest number wanted."""
    return ((found - wanted).abs().max() / wanted.abs().max()).item()
