"""Image and text encoders of the architectures, each with its projection to the joint space.

An image encoder maps pixels to features (``forward``) and, if it can, to token features
(``tokens``); a text encoder maps token embeddings to features, so that prompts can be learned.
Shapes: N images, P patches, M prompts, T tokens, D joint width, W text width. An encoder shares its
weights with the model it was made from; ``copy.deepcopy`` makes one that can be tuned.

Attributes of an image encoder:
    vision: the module that LoRA changes.
    embed_dim, image_size: D, and the side of the input in pixels.
    grid_size: patches per side; None where there are no patch tokens.
    num_cls_tokens: 1 or 0 class tokens before the patch tokens.
    num_layers: depth, for the size of the ranking adapter.
    lora_target_modules: layers that LoRA changes by default, a regular expression; None: none.
    settings: what decides the features beside weights and pixels, for caches.

Attributes of a text encoder:
    token_embedding: table of the token embeddings; None where prompts cannot be learned.
    width, context_length: W, and the maximum number of tokens.
    projection_weight: ``(D, W)`` matrix of the last linear map.
"""

from transformers import CLIPModel, Siglip2Model, SiglipModel

from .clip import ClipImageEncoder, ClipTextEncoder
from .siglip import NaflexImageEncoder, SiglipImageEncoder, SiglipTextEncoder

# By model_type in config.json.
ARCHITECTURES = {
    "clip": (CLIPModel, ClipImageEncoder, ClipTextEncoder),
    "siglip": (SiglipModel, SiglipImageEncoder, SiglipTextEncoder),
    "siglip2": (Siglip2Model, NaflexImageEncoder, SiglipTextEncoder),
}

__all__ = ["ARCHITECTURES", "ClipImageEncoder", "ClipTextEncoder"]
