"""Settings of the admission service, prefix `TRUNKLINE_ADMISSION_`."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from trunkline_map.etcd_settings import EtcdSettings
from trunkline_mesh.settings import ServiceSettings


class TierSettings(BaseModel):
    """What the tenants of one tier may do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(ge=0, le=1000, description="Higher is served first.")
    tokens_per_s: PositiveFloat = Field(le=10_000_000, description="Quota of each tenant that has none of its own.")
    burst_tokens: int = Field(
        ge=1, le=100_000_000, description="Most tokens at once; scales with a tenant's own quota, if it has one."
    )
    guaranteed_share: float = Field(
        ge=0, le=1, description="Part of the quota that is kept even without Redis, before the cut by replicas."
    )


DEFAULT_TIERS: Final[Mapping[str, TierSettings]] = MappingProxyType(
    {
        "free": TierSettings(rank=0, tokens_per_s=50, burst_tokens=200, guaranteed_share=0.2),
        "pro": TierSettings(rank=1, tokens_per_s=500, burst_tokens=2_000, guaranteed_share=0.5),
        "enterprise": TierSettings(rank=2, tokens_per_s=5_000, burst_tokens=20_000, guaranteed_share=0.8),
    }
)


class AdmissionSettings(EtcdSettings, ServiceSettings):
    """What admission needs beyond the common settings."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_ADMISSION_", frozen=True, extra="ignore")

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="The region's Redis or Valkey; may hold a password."
    )
    redis_timeout_s: PositiveFloat = Field(0.05, le=1, description="Longest that one answer of Redis is waited for.")
    redis_connections: int = Field(
        8, ge=1, le=256, description="Connections to Redis, and so calls under way; one event loop keeps few busy."
    )
    key_prefix: str = Field("trunkline:quota", pattern=r"^[a-z0-9:_-]{1,64}$", description="Prefix of keys in Redis.")

    replicas: PositiveInt = Field(1, le=1000, description="Replicas of this service in the region, for LOCAL shares.")
    replica: str = Field(
        default_factory=lambda: f"{socket.gethostname()[:40]}-{os.getpid()}",
        pattern=r"^[A-Za-z0-9_.-]{1,63}$",
        description="Name of this replica, told in permits.",
    )
    tiers: dict[str, TierSettings] = Field(
        default_factory=lambda: dict(DEFAULT_TIERS), description="Tiers by the name that the map gives tenants; JSON."
    )
    permit_ttl_s: PositiveFloat = Field(60, le=3600, description="An unsettled permit is taken as spent after this.")
    lease_valid_s: PositiveFloat = Field(5, le=60, description="How long leased tokens may be spent.")
    max_lease_tenants: PositiveInt = Field(20_000, description="Tenants whose leases are kept account of.")
    max_local_tenants: PositiveInt = Field(20_000, description="Tenants with a local bucket while Redis is away.")
    max_local_permits: PositiveInt = Field(50_000, description="Unexpired permits kept while Redis is away.")
    usage_dir: Path | None = Field(
        None, description="Root of the usage journals of the region's routers; without it GetUsage tells nothing."
    )
    usage_ledger_path: Path | None = Field(
        None, description="File of what was read of them, on a local disk; in memory, and read anew, without one."
    )
    prices_path: Path | None = Field(
        None,
        description="Price file, read for its currency; routers count by theirs. The package's own without.",
    )

    @field_validator("tiers")
    @classmethod
    def _at_least_one_tier(cls, tiers: dict[str, TierSettings]) -> dict[str, TierSettings]:
        if not 1 <= len(tiers) <= 64:
            raise ValueError("1 to 64 tiers are needed")
        return tiers
