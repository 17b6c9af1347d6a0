"""Settings that every service has. Frozen, typed, read from the environment once; nothing reads it later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from trunkline_mesh.hop_ticket import keys_of


class SettingsError(ValueError):
    """The environment names a setting that does not exist, or gives one a value that it cannot have."""


class ServiceSettings(BaseSettings):
    """Common settings; a service subclasses it with its own `env_prefix`, for example `TRUNKLINE_RETRIEVAL_`."""

    model_config = SettingsConfigDict(
        env_prefix="TRUNKLINE_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # it may be a secret
    )

    region: str = Field("local", pattern=r"^[a-z0-9-]{1,63}$", description="Region that this process serves.")
    listen: str = Field("127.0.0.1:0", description="host:port to listen on; port 0 takes a free one.")
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of the Prometheus page on loopback; 0 for none.")

    jwks: str = Field("", description="Keys that sign credentials: a file, or an https:// address.")
    issuer: str = Field("", description="Issuer that credentials must name.")
    audience: str = Field("trunkline", description="Audience that credentials must name.")
    clock_leeway_s: float = Field(30.0, ge=0, le=60, description="Allowed difference of clocks for expiry.")
    token_cache_size: PositiveInt = Field(4096, description="Verified credentials remembered until they expire.")
    service_token_path: Path | None = Field(None, description="File with this service's own credential.")

    hop_keys: SecretStr = Field(
        SecretStr(""),
        description="Keys that prove ranks between services, each of at least 16 characters, separated by commas: the "
        "first signs, all are accepted. The same in all services; without one ranks are believed.",
    )

    reflection: bool = Field(False, description="Serve gRPC reflection to operators.")
    reflection_open: bool = Field(False, description="Serve it without a credential; loopback listeners only.")

    tiers_path: Path | None = Field(
        None, description="Tier file: ranks, limits, promises. The package's own without one; the same everywhere."
    )
    max_concurrency: PositiveInt = Field(64, description="Calls that run at once; others wait in the fair queue.")
    adaptive_concurrency: bool = Field(
        True, description="Let fewer run at once while that makes them faster: found out by how long calls take."
    )
    min_concurrency: PositiveInt = Field(
        8, description="So many run at once however long they take; without effect from `MAX_CONCURRENCY` on."
    )
    reserved_slots: int = Field(
        0, ge=0, description="Of the slots: kept free for promised work, which then need not wait for borrowed work."
    )
    max_queue: PositiveInt = Field(256, description="Calls that may wait, over all tenants.")
    max_queue_per_tenant: PositiveInt = Field(64, description="Calls of one tenant that may wait.")
    max_connections_rpcs: PositiveInt = Field(1024, description="Last-ditch cap of gRPC itself on concurrent calls.")
    max_message_bytes: PositiveInt = Field(8 << 20, description="Largest message that is accepted.")
    max_channels: PositiveInt = Field(50, description="Connections to other services kept open.")

    drain_settle_s: float = Field(
        0.5, ge=0, le=60, description="Time between NOT_SERVING and refusing calls; above the probes' period."
    )
    drain_grace_s: PositiveFloat = Field(10.0, le=600, description="Time that running calls have to finish.")

    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Lowest level that is logged.")
    access_log_ok_every: int = Field(
        100,
        ge=0,
        description="Log one in so many successful calls; 0 for none. Refusals and slow calls are always logged.",
    )
    slow_call_s: PositiveFloat = Field(2.0, description="Calls that take longer are logged.")
    otlp_endpoint: str = Field("", description="host:port of an OTLP/gRPC collector; empty for no traces.")
    otlp_insecure: bool = Field(True, description="Talk to the collector without TLS.")
    log_hash_key: SecretStr = Field(
        SecretStr("trunkline"), description="Key of the tenant hashes in logs; the same in all services."
    )

    @field_validator("hop_keys")
    @classmethod
    def _hop_keys_are_long(cls, value: SecretStr) -> SecretStr:
        keys_of(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _reflection_needs_loopback(self) -> Self:
        host = self.listen.rpartition(":")[0]
        if self.reflection_open and host not in ("127.0.0.1", "[::1]", "localhost"):
            raise ValueError("reflection_open needs a loopback listener")
        return self

    @classmethod
    def load(cls) -> Self:
        """Read the environment; raise SettingsError for a name with our prefix that is no setting.

        pydantic-settings does not notice a misspelt environment variable, so the names are compared here.
        """
        prefix = cls.model_config["env_prefix"]
        known = {f"{prefix}{name}".upper() for name in cls.model_fields}
        unknown = sorted(name for name in os.environ if name.upper().startswith(prefix) and name.upper() not in known)
        if unknown:
            raise SettingsError(f"no such setting: {', '.join(unknown)}")
        try:
            return cls()
        except ValueError as exc:
            raise SettingsError(str(exc)) from exc

    def redacted(self) -> dict[str, str]:
        """Return the settings as text for the log, secrets hidden."""
        return {name: str(getattr(self, name)) for name in type(self).model_fields}
