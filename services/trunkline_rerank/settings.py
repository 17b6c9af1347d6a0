"""Settings of the rerank service, prefix `TRUNKLINE_RERANK_`."""

from __future__ import annotations

from pydantic import Field, PositiveFloat
from pydantic_settings import SettingsConfigDict

from trunkline_mesh.settings import ServiceSettings
from trunkline_usage.audit_settings import AuditSettings


class RerankSettings(AuditSettings, ServiceSettings):
    """What reranking needs beyond the common settings."""

    model_config = SettingsConfigDict(
        env_prefix="TRUNKLINE_RERANK_", frozen=True, extra="ignore", protected_namespaces=()
    )

    inference_endpoints: str = Field(
        "127.0.0.1:9104", description="The region's inference replicas, `host:port` separated by commas."
    )
    admission_endpoints: str = Field(
        "",
        description="The region's admission service, `host:port` separated by commas: asked for the standing of "
        "tenants that call by themselves, where there are `HOP_KEYS`. Without it they are of the lowest rank, "
        "suspended or not.",
    )
    model_id: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,128}$",
        description="Model where requests name none; empty for the inference service's default.",
    )
    initial_pace_s: PositiveFloat = Field(
        0.06,
        le=5,
        description="Seconds for one passage, assumed until some were measured: the default model, one core, unseen.",
    )
    reserve_s: float = Field(0.005, ge=0, le=1, description="Time kept back for the answer's way to the caller.")
