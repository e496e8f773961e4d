"""Ordinal losses: pure, vectorized tensor functions without device synchronization."""

from .contrastive import cosine_similarity_matrix, supervised_contrastive
from .corn import corn_loss
from .l2rclip import (
    PairwiseLoss,
    batch_ordinal_pairwise,
    diversity,
    l2rclip_loss,
    ordinal_pairwise,
    tightness,
)
from .numclip import FCRCForm, FCRCNorm, fcrc, ranking_weights, text_to_image_kl
from .ranking_adapter import LossComponent, TieHandling, dual_loss

__all__ = [
    "FCRCForm",
    "FCRCNorm",
    "LossComponent",
    "PairwiseLoss",
    "TieHandling",
    "batch_ordinal_pairwise",
    "corn_loss",
    "cosine_similarity_matrix",
    "diversity",
    "dual_loss",
    "fcrc",
    "l2rclip_loss",
    "ordinal_pairwise",
    "ranking_weights",
    "supervised_contrastive",
    "text_to_image_kl",
    "tightness",
]
