"""Settings of the inference service, prefix `TRUNKLINE_INFERENCE_`."""

from __future__ import annotations

from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from trunkline_inference.models import ServedModel, Task
from trunkline_mesh.settings import ServiceSettings
from trunkline_usage.audit_settings import AuditSettings

MAX_MODELS: Final = 64


class ModelSettings(BaseModel):
    """One served model."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_id: str = Field(pattern=r"^[A-Za-z0-9._-]{1,128}$", description="Its id, as embedding spaces name it.")
    revision: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Its revision, as embedding spaces name it.")
    task: Task = Field(description="`embed` or `score`.")
    dimension: int = Field(0, ge=0, le=4096, description="Numbers in a vector; 0 for scores.")
    triton_model: str = Field(pattern=r"^[A-Za-z0-9_]{1,128}$", description="Its name in Triton's model repository.")

    @model_validator(mode="after")
    def _dimension_fits_task(self) -> Self:
        if (self.dimension > 0) != (self.task is Task.EMBED):
            raise ValueError("models that embed have a dimension, models that score have none")
        return self

    def served(self) -> ServedModel:
        """Return it as the use cases know it."""
        return ServedModel(self.model_id, self.revision, self.task, self.dimension, self.triton_model)


DEFAULT_MODELS: Final = (
    ModelSettings(
        model_id="all-minilm-l6-v2",
        revision="int8-1",
        task=Task.EMBED,
        dimension=384,
        triton_model="minilm_encoder",
    ),
    ModelSettings(
        model_id="minilm-late-interaction",
        revision="int8-1",
        task=Task.SCORE,
        triton_model="minilm_late_interaction",
    ),
)


class InferenceSettings(AuditSettings, ServiceSettings):
    """What inference needs beyond the common settings."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_INFERENCE_", frozen=True, extra="ignore")

    triton_endpoint: str = Field("127.0.0.1:8001", description="host:port of Triton's gRPC.")
    models: tuple[ModelSettings, ...] = Field(DEFAULT_MODELS, description="Models served here; JSON.")
    probe_interval_s: PositiveFloat = Field(
        0.5,
        le=1,
        description="Time between two questions whether models are ready; keeps the connection's pings allowed.",
    )
    probe_timeout_s: PositiveFloat = Field(1.0, le=60, description="Longest that an answer to them is waited for.")
    call_timeout_s: PositiveFloat = Field(5.0, le=60, description="Longest that one request to Triton may take.")
    patience_s: PositiveFloat = Field(
        1.0, le=60, description="A request that expires after at least so long speaks against Triton."
    )
    queries_in_flight: PositiveInt = Field(32, le=1024, description="Requests of queries to Triton at once.")
    passages_in_flight: PositiveInt = Field(
        2, le=1024, description="Requests of passages to Triton at once; a query may have to wait for so many."
    )
    scores_in_flight: PositiveInt = Field(8, le=1024, description="Requests for scores to Triton at once.")

    admission_endpoints: str = Field(
        "",
        description="The region's admission service, `host:port` separated by commas: asked for the standing of "
        "tenants that call by themselves, where there are `HOP_KEYS`. Without it they are of the lowest rank, "
        "suspended or not.",
    )

    redis_url: SecretStr = Field(
        SecretStr(""), description="The region's Redis or Valkey, may hold a password; empty for no shared cache."
    )
    redis_timeout_s: PositiveFloat = Field(0.05, le=1, description="Longest that one answer of Redis is waited for.")
    redis_connections: PositiveInt = Field(16, le=1024, description="Connections to Redis; more calls wait for one.")
    cache_prefix: str = Field("trunkline:vec", pattern=r"^[a-z0-9:_-]{1,64}$", description="Prefix of keys in Redis.")
    cache_ttl_s: PositiveInt = Field(86_400, le=2_592_000, description="Time after which Redis forgets a vector.")
    local_cache_bytes: PositiveInt = Field(32 << 20, description="Most memory for vectors in this process.")

    @model_validator(mode="after")
    def _models_are_distinct(self) -> Self:
        names = [(model.model_id, model.revision) for model in self.models]
        if not 1 <= len(names) <= MAX_MODELS or len(set(names)) != len(names):
            raise ValueError(f"1 to {MAX_MODELS} models of distinct id and revision are needed")
        return self
