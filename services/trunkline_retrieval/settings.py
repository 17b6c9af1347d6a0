"""Settings of the retrieval service, prefix `TRUNKLINE_RETRIEVAL_`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from trunkline_map.etcd_settings import EtcdSettings
from trunkline_mesh.settings import ServiceSettings
from trunkline_usage.audit_settings import AuditSettings


class StoreKind(StrEnum):
    """Which vector store holds the region's data."""

    EMBEDDED = "embedded"
    QDRANT = "qdrant"


class RetrievalSettings(EtcdSettings, AuditSettings, ServiceSettings):
    """What retrieval needs beyond the common settings."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_RETRIEVAL_", frozen=True, extra="ignore")

    store: StoreKind = Field(StoreKind.EMBEDDED, description="`embedded`, or `qdrant` for a server or cluster.")

    data_dir: Path = Field(Path(".trunkline/retrieval"), description="Directory of the embedded engine's data.")
    engine_workers: int = Field(1, ge=1, le=64, description="Processes of the embedded engine; data moves freely.")
    engine_search_threads: int = Field(1, ge=1, le=64, description="Engine threads for one physical collection.")
    engine_max_requests: PositiveInt = Field(64, le=4096, description="Requests that a worker may owe at once.")
    engine_max_request_bytes: PositiveInt = Field(64 << 20, description="Size of these requests together.")
    engine_max_open: PositiveInt = Field(256, description="Physical collections that a worker holds open.")
    engine_min_free_bytes: int = Field(
        256 << 20, ge=0, description="Writes that would leave less free disk are refused as STORAGE_FULL."
    )
    engine_optimize_after: int = Field(
        50_000, ge=0, description="Points written before an index is built in idle time; 0 for never."
    )
    engine_optimize_idle_s: float = Field(30.0, ge=0, description="Idle time before that is started.")
    read_patience_s: PositiveFloat = Field(0.5, description="Longest wait of a search for a worker that is away.")
    write_patience_s: PositiveFloat = Field(5.0, description="Longest wait of a write for a worker that is away.")

    qdrant_url: str = Field("http://127.0.0.1:6333", description="HTTP address of the Qdrant server.")
    qdrant_grpc_port: int = Field(6334, ge=1, le=65535, description="Port of its gRPC, at the same host.")
    qdrant_api_key: SecretStr = Field(SecretStr(""), description="Key for it; empty for none.")
    qdrant_max_requests: PositiveInt = Field(256, le=4096, description="Calls to it that may be under way at once.")

    jurisdiction: str = Field(
        "",
        pattern=r"^[a-z0-9-]{0,63}$",
        description="Jurisdiction in which this process stands, checked beside what the map says; empty for the map's.",
    )
    max_stores: int = Field(50, ge=1, le=1000, description="Connections to stores that collections name.")
    embedded_stores: bool = Field(False, description="Let the map name embedded engines, `engine:NAME`, on this disk.")
    stores_tls: bool = Field(False, description="Talk TLS to the Qdrant servers that the map names.")
    store_keys_path: Path | None = Field(
        None, description="JSON file with an object from endpoint to API key, for those servers."
    )
