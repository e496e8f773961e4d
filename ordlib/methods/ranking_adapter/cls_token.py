"""Check that a backbone has the tokens that the ranking adapter uses."""

from dataclasses import replace

from ...clip import ClipBackbone
from .config import RankingAdapterConfig


def resolve_cls_token(options: RankingAdapterConfig, clip: ClipBackbone) -> RankingAdapterConfig:
    """Return the options with ``use_cls_token`` decided; None: if the backbone has a class token.

    Raises:
        ValueError: the backbone has no text or patch tokens, or no class token although it is
            asked for.
    """
    clip.check_token_embeddings()
    if clip.grid_size is None:
        raise ValueError(
            f"{clip.name}: its image encoder ({type(clip.image_encoder.vision).__name__}) has no "
            "patch tokens in the joint space, which the ranking adapter needs; use another "
            "backbone, such as a vision transformer with a class token, or another method"
        )
    has_cls_token = clip.image_encoder.num_cls_tokens > 0
    if options.use_cls_token and not has_cls_token:
        raise ValueError(
            f"use_cls_token = True: {clip.name} has no class token; use False, or None, which "
            "decides by the backbone"
        )
    return (
        options if options.use_cls_token is False else replace(options, use_cls_token=has_cls_token)
    )
