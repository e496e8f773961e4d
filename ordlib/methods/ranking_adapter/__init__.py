"""Ranking-aware adapter (Yu et al., 2025): text-conditioned image ranking."""

from .model import RankingAdapter, RankingAdapterConfig

__all__ = ["RankingAdapter", "RankingAdapterConfig"]
