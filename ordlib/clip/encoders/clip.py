"""Encoders of CLIP (Radford et al., 2021): class token, causal text attention."""

import torch
from torch import Tensor, nn
from transformers import CLIPModel, PreTrainedTokenizerBase


class ClipImageEncoder(nn.Module):
    """Vision transformer and projection."""

    num_cls_tokens = 1
    lora_target_modules = r".*\.(q_proj|v_proj)"

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        config = model.config.vision_config
        self.vision, self.projection = model.vision_model, model.visual_projection
        self.embed_dim, self.image_size = model.config.projection_dim, config.image_size
        self.grid_size = config.image_size // config.patch_size
        self.num_layers = config.num_hidden_layers
        self.settings = sorted(config.to_dict().items())

    def forward(self, pixels: Tensor) -> Tensor:
        """Projected image features, ``(N, D)``, of ``(N, 3, S, S)`` pixels."""
        return self.projection(self.vision(pixel_values=pixels).pooler_output)

    def tokens(self, pixels: Tensor) -> Tensor:
        """Class and patch token features, ``(N, 1 + P, D)``; the first equals :meth:`forward`."""
        hidden = self.vision(pixel_values=pixels).last_hidden_state
        return self.projection(self.vision.post_layernorm(hidden))


class ClipTextEncoder(nn.Module):
    """Text transformer and projection, on token embeddings, so that prompts can be learned."""

    def __init__(self, model: CLIPModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.text, self.projection = model.text_model, model.text_projection
        # OpenAI's configs have 2, for which transformers pools at the largest token id.
        self.text.eos_token_id = tokenizer.eos_token_id
        config = model.config.text_config
        self.width, self.context_length = config.hidden_size, config.max_position_embeddings

    @property
    def token_embedding(self) -> nn.Embedding:
        """Table of the token embeddings."""
        return self.text.embeddings.token_embedding

    @property
    def projection_weight(self) -> Tensor:
        """Matrix of the projection, ``(D, W)``."""
        return self.projection.weight

    def tokens(self, embeddings: Tensor, eos_positions: Tensor) -> Tensor:
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
        hidden = self.tokens(embeddings, eos_positions)
        rows = torch.arange(len(hidden), device=hidden.device)
        return self.projection(hidden[rows, eos_positions])
