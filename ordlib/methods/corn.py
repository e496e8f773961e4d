"""CORN: a vision-only ordinal head (baseline)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..losses import corn_loss
from ..metrics.prediction import Prediction
from .base import OrdinalMethod, rank_targets


class CORN(OrdinalMethod):
    """CORN head (Shi, Cao and Raschka, 2021) on CLIP image features; uses no text.

    M - 1 binary classifiers estimate P(y > k | y > k - 1). Arguments as in `OrdinalMethod`.

    References:
        Shi, Cao and Raschka (2021), CORN, arXiv:2111.08851. CLIP-Adapter, the layer norm before
        the head and the decoding by ``task.decode`` are ours.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = CORN(load_clip("pico-clip", "cpu"), load_task("counting"))
        >>> model.predict_from_features(torch.ones(2, 96)).probabilities.shape
        (2, 20)
    """

    def _build(self) -> None:
        self.head = nn.Linear(self.clip.embed_dim, self.task.num_ranks - 1)

    def logits(self, features: Tensor) -> Tensor:
        """Return ``(B, M - 1)`` logits of P(y > k | y > k - 1)."""
        return self.head(F.layer_norm(features, features.shape[1:]))

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return the mean binary cross-entropy in nats; arguments as in `OrdinalMethod.loss`."""
        return corn_loss(self.logits(features), rank_targets(self.task, values))

    @torch.no_grad()
    def predict_from_features(self, features: Tensor) -> Prediction:
        """Return predictions with probabilities, decoded by ``task.decode``."""
        probabilities = self.decode_logits(self.logits(features))
        return self.task.decode_probabilities(probabilities.cpu().numpy())

    def decode_logits(self, logits: Tensor) -> Tensor:
        """Return ``(N, M)`` float64 probabilities of the ranks."""
        prob_greater = logits.double().sigmoid().cumprod(1)  # P(y > k), (N, M - 1)
        return F.pad(prob_greater, (1, 0), value=1.0) - F.pad(prob_greater, (0, 1))
