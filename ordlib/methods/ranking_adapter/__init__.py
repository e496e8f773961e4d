"""Ranking-aware adapter (Yu et al., 2025): text-conditioned image ranking."""

from .config import RankingAdapterConfig
from .model import RankingAdapter
from .recipe import released_config

__all__ = ["RankingAdapter", "RankingAdapterConfig", "released_config"]
