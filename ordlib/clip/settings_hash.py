"""Hash of what decides features beside the weights, the same in all versions of transformers."""

import json
from typing import TYPE_CHECKING

from transformers import PreTrainedTokenizerBase

from ..utils.cache import content_hash

if TYPE_CHECKING:
    from .backbone import ClipBackbone

# Everything else in a config shows in the shapes of the weights.
FIELDS = ("hidden_act", "layer_norm_eps", "num_attention_heads")
# Their token ids depend on what a tokenizer does before it merges.
PROBES = ("a photo of 12 Stars,  isn't it?", "\u00c9t\u00e9\n e\u0301t\u00e9 \u4e2d <|endoftext|>")


def hash_settings(clip: "ClipBackbone") -> str:
    """Hash of activations, heads, vocabulary, merges and image preprocessing.

    Example:
        >>> from ordlib import load_clip
        >>> load_clip("pico-clip", "cpu").settings_hash
        '...'
    """
    tokenizer, preprocessor = clip.tokenizer, clip.preprocessor
    ids = [tokenizer([text])["input_ids"][0] for text in PROBES]
    if clip.folder is None:  # a model of open_clip, which has no config
        settings = clip.image_encoder.settings, clip.text_encoder.settings
        return content_hash(*settings, ids, preprocessor.key)
    parts = [getattr(clip.model.config, f"{name}_config") for name in ("text", "vision")]
    fields = [[getattr(part, name) for name in FIELDS] for part in parts]
    vocabulary = sorted(tokenizer.get_vocab().items())
    return content_hash(fields, vocabulary, _merges(tokenizer), ids, preprocessor.key)


def _merges(tokenizer: PreTrainedTokenizerBase) -> list[list[str]]:
    """Merges in order; tokenizers' versions write them as strings or as pairs."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    merges = json.loads(backend.to_str())["model"].get("merges", []) if backend else []
    return [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
