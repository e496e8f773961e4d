"""Image and text encoder of CLIP, each with its projection to the joint space.

Shapes: N images, P patches, M prompts, T tokens, D joint width, W text width. An encoder shares its
weights with the model it was made from; ``copy.deepcopy`` makes one that can be tuned.
"""

import torch
from torch import Tensor, nn
from transformers import CLIPModel


class ClipImageEncoder(nn.Module):
    """Vision transformer and projection."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.vision, self.projection = model.vision_model, model.visual_projection

    def forward(self, pixels: Tensor) -> Tensor:
        """Projected image features, ``(N, D)``, of ``(N, 3, S, S)`` pixels."""
        return self.projection(self.vision(pixel_values=pixels).pooler_output)

    def tokens(self, pixels: Tensor) -> Tensor:
        """Class and patch token features, ``(N, 1 + P, D)``; the first equals :meth:`forward`."""
        hidden = self.vision(pixel_values=pixels).last_hidden_state
        return self.projection(self.vision.post_layernorm(hidden))


class ClipTextEncoder(nn.Module):
    """Text transformer and projection, on token embeddings, so that prompts can be learned."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.text, self.projection = model.text_model, model.text_projection

    @property
    def token_embedding(self) -> nn.Embedding:
        """Table of the token embeddings."""
        return self.text.embeddings.token_embedding

    def embed(self, ids: Tensor) -> Tensor:
        """Token embeddings, ``(M, T, W)`` float32, of ``(M, T)`` ids, without positions."""
        return self.token_embedding(ids).float()

    def tokens(self, embeddings: Tensor) -> Tensor:
        """Token features, ``(M, T, W)``, after the final layer norm, not projected."""
        # transformers' text model accepts token ids only, so its modules are called one by one.
        hidden = self.text.embeddings(inputs_embeds=embeddings.to(self.projection.weight.dtype))
        length = hidden.shape[1]
        # The causal mask is explicit: eager attention ignores ``is_causal=True``.
        mask = torch.full((length, length), float("-inf"), dtype=hidden.dtype, device=hidden.device)
        mask = mask.triu(1).expand(len(hidden), 1, length, length)  # (M, 1, T, T)
        hidden = self.text.encoder(inputs_embeds=hidden, attention_mask=mask).last_hidden_state
        return self.text.final_layer_norm(hidden)

    def forward(self, embeddings: Tensor, eos_positions: Tensor) -> Tensor:
        """Projected features, ``(M, D)``, of the tokens at ``(M,)`` EOS positions."""
        hidden = self.tokens(embeddings)
        rows = torch.arange(len(hidden), device=hidden.device)
        return self.projection(hidden[rows, eos_positions])
