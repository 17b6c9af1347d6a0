"""Settings of the admission service, prefix `TRUNKLINE_ADMISSION_`."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from trunkline_map.etcd_settings import EtcdSettings
from trunkline_mesh.settings import ServiceSettings
from trunkline_usage.audit_settings import AuditSettings


class AdmissionSettings(EtcdSettings, AuditSettings, ServiceSettings):
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
    permit_ttl_s: PositiveFloat = Field(
        60, le=3600, description="An unsettled permit ends after this; what it had reserved goes back."
    )
    max_permits: PositiveInt = Field(
        100_000,
        description="Permits kept, a tenth of them (at least 100) of one tenant; beyond it a settled one makes room, "
        "else the oldest, which counts as spent.",
    )
    lease_valid_s: PositiveFloat = Field(5, le=60, description="How long leased quota may be spent.")
    region_lease_valid_s: PositiveFloat = Field(
        30, le=60, description="The same for what another region's admission service leases from this one."
    )
    max_lease_tenants: PositiveInt = Field(20_000, description="Leases that are kept account of.")
    advance_requests: int = Field(
        20,
        ge=1,
        le=10_000,
        description="Requests of one tenant that this region grants before its home region has, and at most a tenth of "
        "its day's.",
    )
    max_local_tenants: PositiveInt = Field(20_000, description="Tenants with a local share while Redis is away.")
    usage_dir: Path | None = Field(
        None, description="Root of the usage journals of the region's routers; without it GetUsage tells nothing."
    )
    usage_ledger_path: Path | None = Field(
        None, description="File of what was read of them, on a local disk; in memory, and read anew, without one."
    )
    prices_path: Path | None = Field(
        None, description="Price file, read for its currency; routers count by theirs. The package's own without."
    )
