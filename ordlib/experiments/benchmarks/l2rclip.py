"""L2RCLIP: losses, a training step on truncated prompts, evaluation with prompts encoded once.

Each is compared with a reference of equal results. Padding to 77 positions passes through
RankFormer, too, where it is masked.
"""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ordlib import losses
from ordlib.clip import ClipBackbone, load_clip
from ordlib.methods.l2rclip import L2RCLIP
from ordlib.tasks import OrdinalTask, load_task
from ordlib.tasks.builtin import number_words

from .tools import max_relative_difference as difference
from .tools import padded, peak_memory, random_features, speedup_row, vit_b_32

BATCH_SIZE, NUM_IMAGES = 64, 1000
AGES = OrdinalTask(
    name="ages",
    unit="years",
    values=tuple(range(101)),
    rank_names=tuple(map(number_words, range(101))),
    templates=load_task("ageing").templates,
)


class PaddedL2RCLIP(L2RCLIP):
    """Applies RankFormer to all positions of padded prompts, not only to context and ranks."""

    def text_features(self) -> Tensor:
        prompts = self.prompt_learner.prompt_embeddings()
        embeddings = self.rankformer(prompts.embeddings, self.prompt_learner.mask)
        return self.clip.encode_text_embeddings(embeddings, prompts.eos_positions)


def measure(repeats: int = 3) -> pd.DataFrame:
    """L2RCLIP: training steps on padded prompts, prompts encoded per batch, losses term by term."""
    tasks = (load_task("counting"), AGES)
    large = vit_b_32(text for task in tasks for text in task.prompts())
    # Steps of the large model take long enough to be timed once.
    backbones = (("pico-clip", load_clip("pico-clip"), repeats), ("ViT-B/32", large, 1))
    rows = []
    for name, clip, n in backbones:
        rows += [{"backbone": name, **_step(clip, task, n)} for task in tasks]
    for name, clip, n in backbones:
        rows.append({"backbone": name, **_evaluation(L2RCLIP(clip, tasks[0]), n)})
    for pairwise_loss in ("both", "batch"):
        rows.append({"backbone": "none, width 512", **_losses(pairwise_loss, 10 * repeats)})
    return pd.DataFrame(rows).astype(object).fillna("")


def _losses(pairwise_loss: str, repeats: int) -> dict:
    """Time the loss and its gradients against separate terms that recompute the cosines."""
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(n, 512, generator=generator) for n in (BATCH_SIZE, 101)]
    features = [tensor.requires_grad_() for tensor in features]
    ranks, rank_values = torch.randint(101, (BATCH_SIZE,), generator=generator), torch.arange(101.0)
    labels = ranks, rank_values[ranks], rank_values

    def separate_terms() -> list[Tensor]:
        logits = 100 * losses.cosine_similarity_matrix(*features)
        positives = F.one_hot(ranks, len(rank_values)).bool()
        loss = F.cross_entropy(logits, ranks) + losses.supervised_contrastive(logits, positives)
        logits = 100 * losses.cosine_similarity_matrix(*features)
        loss = loss + losses.supervised_contrastive(logits.T, positives.T)
        if pairwise_loss == "batch":
            loss = loss + losses.batch_ordinal_pairwise(*features, *labels[:2])
        else:
            loss = loss + losses.tightness(*features, ranks)
            loss = loss + losses.diversity(*features, *labels[1:])
        return [loss.detach(), *torch.autograd.grad(loss, features)]

    def combined() -> list[Tensor]:
        options = {"logit_scale": 100.0, "pairwise_loss": pairwise_loss}
        loss = losses.l2rclip_loss(*features, *labels, **options)
        return [loss.detach(), *torch.autograd.grad(loss, features)]

    largest = max(map(difference, combined(), separate_terms()))
    name = f"loss and gradients, {BATCH_SIZE} images, 101 ranks, pairwise_loss={pairwise_loss!r}"
    row = speedup_row(name, separate_terms, combined, repeats)
    return row | {"max difference": f"{largest:.0e}"}


def _step(clip: ClipBackbone, task: OrdinalTask, repeats: int) -> dict:
    """Time loss and gradients on cached features, and measure their memory."""
    # The same seed, so the same initial parameters.
    model, reference = L2RCLIP(clip, task), PaddedL2RCLIP(clip, task)
    features = random_features(clip, BATCH_SIZE)
    values = torch.linspace(*task.range, BATCH_SIZE, device=clip.device).round()

    def truncated() -> list[Tensor]:
        return _gradients(model, features, values)

    def full_context() -> list[Tensor]:
        with padded(reference.prompt_learner):
            return _gradients(reference, features, values)

    truncated()
    reference_mib, expected = peak_memory(full_context)
    mib, gradients = peak_memory(truncated)
    differences = list(map(difference, gradients, expected))
    num_prompt_tensors = len(list(model.prompt_learner.parameters()))
    positions = int(model.prompt_learner.eos_positions.max()) + 1
    name = f"step, {task.num_ranks} ranks, 77 or {positions} positions"
    return {
        **speedup_row(name, full_context, truncated, repeats, warmup=False),
        "MiB reference": round(reference_mib, 1),
        "MiB ordlib": round(mib, 1),
        "max difference, prompt gradients": f"{max(differences[:num_prompt_tensors]):.0e}",
        "max difference, RankFormer": f"{max(differences[num_prompt_tensors:]):.0e}",
    }


def _gradients(model: L2RCLIP, features: Tensor, values: Tensor) -> list[Tensor]:
    """Return the gradients of context, rank embeddings and RankFormer."""
    parameters = [*model.prompt_learner.parameters(), *model.rankformer.parameters()]
    # Not in .grad: freeing the previous step's gradients would distort the memory measurement.
    gradients = torch.autograd.grad(model.loss(features, values), parameters)
    return [gradient.cpu() for gradient in gradients]


def _evaluation(model: L2RCLIP, repeats: int) -> dict:
    """Time predictions on cached features, with prompts encoded once or for every batch."""
    features = random_features(model.clip, NUM_IMAGES)

    def once() -> np.ndarray:
        return model.predict_from_features(features).value

    def per_batch() -> np.ndarray:
        batches = features.split(BATCH_SIZE)
        return np.concatenate([model.predict_from_features(batch).value for batch in batches])

    name = f"{NUM_IMAGES} images, {model.task.num_ranks} ranks, prompts encoded per batch or once"
    row = speedup_row(name, per_batch, once, repeats)
    return row | {"max difference": f"{abs(per_batch() - once()).max():.0e}"}
