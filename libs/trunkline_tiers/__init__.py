"""Tiers: what tenants are promised and held to, read from one file by every service."""

from trunkline_tiers.model import Capacity, Levels, LevelThresholds, Objective, Pool, TenantShare, Tier, TierFile
from trunkline_tiers.ranks import RankShare, RankTable, rank_table
from trunkline_tiers.reading import TierFileError, default_tiers, default_tiers_text, parse_tiers, read_tiers

__all__ = [
    "Capacity",
    "LevelThresholds",
    "Levels",
    "Objective",
    "Pool",
    "RankShare",
    "RankTable",
    "TenantShare",
    "Tier",
    "TierFile",
    "TierFileError",
    "default_tiers",
    "default_tiers_text",
    "parse_tiers",
    "rank_table",
    "read_tiers",
]
