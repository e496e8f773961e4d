"""How pico-clip's weights are moved: Muon for the matrices within, AdamW for all else."""

import torch
from torch.optim import AdamW, Muon, Optimizer
from transformers import CLIPModel

# As for CLIP (Radford et al. 2021, table 18), with half its weight decay.
BETAS, EPSILON, WEIGHT_DECAY = (0.9, 0.98), 1e-6, 0.1


def make_optimizers(model: CLIPModel, device: torch.device) -> list[Optimizer]:
    """The optimisers of a model; the learning rate is set by the training loop.

    In one trial of the small model Muon needed half of the pairs that AdamW alone did, at the
    same speed. It is meant for the matrices of hidden layers; embeddings, norms, biases and the
    scale are AdamW's, and of these only the embeddings decay.

    Returns:
        Muon and AdamW, whose steps are of the same size (root mean square), so that they
        share one learning rate.

    Source:
        Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks; steps
        matched to AdamW's as in Liu et al. (2025), Muon is scalable for LLM training, arXiv
        2502.16982.
    """
    named = dict(model.named_parameters())
    hidden = [p for name, p in named.items() if p.ndim == 2 and "embedding" not in name]
    embeddings = [p for name, p in named.items() if p.ndim >= 2 and "embedding" in name]
    vectors = [p for p in named.values() if p.ndim < 2]
    groups = [
        {"params": embeddings, "weight_decay": WEIGHT_DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    fused = device.type in ("cpu", "cuda")
    return [
        Muon(hidden, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
        AdamW(groups, betas=BETAS, eps=EPSILON, fused=fused),
    ]
