"""CORN: an ordinal head without words, the state of practice outside language."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..losses import corn_loss
from ..metrics.prediction import Prediction
from .base import OrdinalMethod, rank_targets


class CORN(OrdinalMethod):
    """One question for each step of the scale: beyond this rank, given beyond the one below?

    Args:
        clip, task: as in :class:`~ordlib.methods.base.OrdinalMethod`; the words of the task and the
            text tower are not used.
        options: fields of :class:`~ordlib.methods.image_encoder.ImageEncoderConfig`.

    Source:
        Shi, Cao and Raschka (2021), CORN, arXiv 2111.08851. The adapter, the layer norm before
        the head, and reading an expectation where the task says so are ours, for equal terms.

    Example:
        >>> from ordlib import load_clip, load_task
        >>> model = CORN(load_clip("pico-clip", "cpu"), load_task("counting"))
        >>> model.predict_from_features(torch.ones(2, 96)).probabilities.shape
        (2, 20)
    """

    def _build(self) -> None:
        self.head = nn.Linear(self.clip.embed_dim, self.task.num_ranks - 1)

    def logits(self, features: Tensor) -> Tensor:
        """Return ``(B, M - 1)`` logits of being beyond each rank, given beyond the one below."""
        return self.head(F.layer_norm(features, features.shape[1:]))

    def loss(self, features: Tensor, values: Tensor) -> Tensor:
        """Return the mean binary cross-entropy in nats; arguments as in `OrdinalMethod.loss`."""
        return corn_loss(self.logits(features), rank_targets(self.task, values))

    @torch.no_grad()
    def predict_from_features(self, features: Tensor) -> Prediction:
        """Return predictions with probabilities, read as the task says."""
        beyond = self.logits(features).double().sigmoid().cumprod(1)
        ends = [beyond.new_full((len(beyond), 1), end) for end in (1.0, 0.0)]
        probabilities = torch.cat([ends[0], beyond], 1) - torch.cat([beyond, ends[1]], 1)
        return self.task.decode_probabilities(probabilities.cpu().numpy())
