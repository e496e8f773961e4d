"""Encoders of SigLIP (Zhai et al., 2023, arXiv:2303.15343) and SigLIP 2 (Tschannen et al., 2025).

The image encoder pools patch tokens by attention: no class token, and no projection. Text attention
is not causal, and the feature is that of the last of all positions, whatever token stands there.
Prompts are therefore padded to the whole context, as in training, and no mask hides the padding.
"""

from math import isqrt

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, Siglip2Model, SiglipModel


class SiglipImageEncoder(nn.Module):
    """Vision transformer with attention pooling."""

    num_cls_tokens = 0
    lora_target_modules = r".*\.(q_proj|v_proj)"

    def __init__(self, model: SiglipModel | Siglip2Model) -> None:
        super().__init__()
        config = model.config.vision_config
        if not config.vision_use_head:
            raise ValueError(
                "vision_use_head = False: the model has no image features; use another"
            )
        self.vision, self.patch_size = model.vision_model, config.patch_size
        self.embed_dim, self.num_layers = config.hidden_size, config.num_hidden_layers
        self.grid_size = self._grid_size()
        self.image_size = getattr(config, "image_size", self.grid_size * self.patch_size)
        self.settings = sorted(config.to_dict().items())

    def _grid_size(self) -> int:
        return self.vision.config.image_size // self.patch_size

    def _encode(self, pixels: Tensor) -> object:
        return self.vision(pixel_values=pixels)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pooled image features, ``(N, D)``, of ``(N, 3, S, S)`` pixels."""
        return self._encode(pixels).pooler_output

    def tokens(self, pixels: Tensor) -> Tensor:
        """Patch token features, ``(N, P, D)``, after the final layer norm, before the pooling."""
        return self._encode(pixels).last_hidden_state


class NaflexImageEncoder(SiglipImageEncoder):
    """Vision transformer of SigLIP 2's NaFlex checkpoints, for squares of all its patches.

    Such a model takes images of any aspect ratio as lists of patches. A square with as many patches
    as the positional embeddings have needs neither padding nor interpolation.
    """

    def _grid_size(self) -> int:
        count = self.vision.config.num_patches
        if count != isqrt(count) ** 2:
            raise ValueError(f"num_patches = {count}: must be a square number; use another model")
        return isqrt(count)

    def _encode(self, pixels: Tensor) -> object:
        grid, side = self.grid_size, self.patch_size
        patches = pixels.unflatten(3, (grid, side)).unflatten(2, (grid, side))
        patches = patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)  # (N, P, side^2 * 3)
        shape = torch.tensor([[grid, grid]], device=pixels.device).expand(len(pixels), 2)
        mask = torch.ones(patches.shape[:2], dtype=torch.int32, device=pixels.device)
        return self.vision(patches, mask, shape)  # versions differ in the name of the mask


class SiglipTextEncoder(nn.Module):
    """Text transformer and linear head, on token embeddings, so that prompts can be learned."""

    def __init__(
        self, model: SiglipModel | Siglip2Model, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        super().__init__()
        self.text, self.pad_token_id = model.text_model, tokenizer.pad_token_id
        config = model.config.text_config
        self.width, self.context_length = config.hidden_size, config.max_position_embeddings

    @property
    def token_embedding(self) -> nn.Embedding:
        """Table of the token embeddings."""
        return self.text.embeddings.token_embedding

    @property
    def projection_weight(self) -> Tensor:
        """Matrix of the head, ``(D, W)``."""
        return self.text.head.weight

    def _encode(self, embeddings: Tensor, eos_positions: Tensor) -> Tensor:
        """Features of all positions, ``(M, context_length, W)``, after the final layer norm."""
        padding = self.token_embedding.weight[self.pad_token_id]
        embeddings = pad_embeddings(embeddings, eos_positions, padding, self.context_length)
        hidden = self.text.embeddings(inputs_embeds=embeddings)
        hidden = self.text.encoder(inputs_embeds=hidden).last_hidden_state
        return self.text.final_layer_norm(hidden)

    def tokens(self, embeddings: Tensor, eos_positions: Tensor) -> Tensor:
        """Token features, ``(M, T, W)``, after the final layer norm, before the head."""
        return self._encode(embeddings, eos_positions)[:, : embeddings.shape[1]]

    def forward(self, embeddings: Tensor, eos_positions: Tensor) -> Tensor:
        """Features ``(M, D)`` of the last position; what stands behind the EOS has no effect."""
        return self.text.head(self._encode(embeddings, eos_positions)[:, -1])


def pad_embeddings(
    embeddings: Tensor, eos_positions: Tensor, padding: Tensor, length: int
) -> Tensor:
    """Pad ``(M, T, W)`` embeddings behind ``(M,)`` EOS positions to ``(M, length, W)``.

    The result has the type of the padding, the ``(W,)`` embedding of the padding token.
    """
    rest = padding.expand(len(embeddings), length - embeddings.shape[1], -1)
    embeddings = torch.cat([embeddings.to(padding.dtype), rest], 1)
    is_text = torch.arange(length, device=embeddings.device) <= eos_positions[:, None]
    return torch.where(is_text[..., None], embeddings, padding)
