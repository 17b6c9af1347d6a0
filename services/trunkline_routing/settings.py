"""Settings of the routing service, prefix `TRUNKLINE_ROUTING_`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from trunkline_map.etcd_settings import EtcdSettings
from trunkline_mesh.settings import ServiceSettings
from trunkline_usage.audit_settings import AuditSettings


class RoutingSettings(EtcdSettings, AuditSettings, ServiceSettings):
    """What the edge and the control role need beyond the common settings."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_ROUTING_", frozen=True, extra="ignore")

    role: Literal["edge", "control", "learner"] = Field(
        "edge", description="Front door, writer of the map, or what trains and proposes policies."
    )
    admission_endpoints: str = Field("127.0.0.1:7105", description="Admission of this region, separated by commas.")
    routers: PositiveInt = Field(
        1, description="Routers of this region: each has its part of what tenants keep while admission is away."
    )
    blob_dir: Path = Field(Path("blobs"), description="Root of the policies' blobs, one folder for each jurisdiction.")
    feedback_dir: Path = Field(
        Path("feedback"), description="Root of what callers said of decisions, one folder for each jurisdiction."
    )
    decision_key_path: Path | None = Field(
        None, description="File of 32 or more bytes that seals decision ids, the same in all routers of a jurisdiction."
    )
    audit_dir: Path | None = Field(
        None, description="Folder of the audit log, for one control role alone; without it the history is not trimmed."
    )
    audit_file_bytes: int = Field(
        67_108_864, ge=65_536, le=1 << 40, description="Size at which the audit log begins its next file."
    )
    tier_limits_path: Path | None = Field(
        None, description="YAML file of what tiers allow tenants' own admins; without it the defaults."
    )
    two_person_acts: str = Field(
        "",
        description="Acts that need a second operator, separated by commas: `drain-region`, `undrain-region`, "
        "`put-region-state`, `delete-region`, `renew-epoch`.",
    )

    change_freeze: bool = Field(
        True, description="Changes that are not urgent wait while an error budget is nearly spent; control role."
    )

    admission_budget_s: PositiveFloat = Field(0.010, description="Stage budget at p99: quota and queue.")
    embedding_budget_s: PositiveFloat = Field(0.080, description="Stage budget at p99: one embedding batch.")
    retrieval_budget_s: PositiveFloat = Field(0.150, description="Stage budget at p99: searching all collections.")
    rerank_budget_s: PositiveFloat = Field(0.150, description="Stage budget at p99: reranking.")
    rerank_min_s: PositiveFloat = Field(0.060, description="With less time than this, reranking is left out.")
    hop_reserve_s: float = Field(
        0.005, ge=0, description="Kept back from each hop, so that its expiry still reaches us."
    )

    hedge_share: float = Field(
        0.0,
        ge=0,
        le=0.05,
        description="Searches that may ask a second region after the first one's own p95; 0 for none.",
    )
    rerank_depth: int = Field(
        20, ge=1, le=100, description="Candidates that are reranked unless the caller says otherwise."
    )
    search_tokens: PositiveInt = Field(1, description="Quota tokens of one search without embedding and rerank.")
    embedding_tokens: PositiveInt = Field(1, description="Quota tokens of embedding one query.")
    rerank_tokens: PositiveInt = Field(3, description="Quota tokens of one rerank.")
    write_tokens: PositiveInt = Field(1, description="Quota tokens of one document written or deleted.")

    journal_name: str = Field(
        "",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,62})?$",
        description="This router's folder among journals; empty for the host's name.",
    )
    usage_dir: Path | None = Field(
        None, description="Root of the usage journals, one folder for each router; without it nothing is kept."
    )
    prices_path: Path | None = Field(None, description="Price file: what stages cost. The package's own without one.")
    report_every_s: float = Field(
        1.0,
        ge=0.1,
        le=10,
        description="How often admission hears what this router saw, and tells levels and budgets.",
    )
    reduced_candidates_part: float = Field(
        0.5,
        gt=0,
        le=1,
        description="At a reduced level: part of `top_k` that each of several collections gives.",
    )
    reduced_cache_stretch: float = Field(
        10.0, ge=1, le=1000, description="At a reduced level: how many times as long decisions are remembered."
    )

    decision_cache_size: PositiveInt = Field(4096, description="Decisions remembered, with their query vectors.")
    policy_cache_size: PositiveInt = Field(1024, description="Policies held ready.")
    head_cache_bytes: int = Field(
        268_435_456, ge=1_048_576, description="Memory for the trained heads and prototypes of the policies held ready."
    )
    shadow_concurrency: int = Field(
        4, ge=0, le=64, description="Shadow decisions of experiments and rollouts at once; what is more is dropped."
    )
    own_routers_path: Path | None = Field(
        None, description="YAML file of the routing services that tenants run themselves; without it there are none."
    )
    classifiers_path: Path | None = Field(
        None, description="YAML file of language models that name collections; without it there are none."
    )
    map_aged_after_s: PositiveFloat = Field(60.0, description="A map not confirmed for so long is told in the trail.")

    learner_control_endpoints: str = Field(
        "127.0.0.1:7110",
        description="Control roles that the learner writes heads and rollouts to, separated by commas.",
    )
    learner_acting_key_path: Path | None = Field(
        None, description="PEM file of the key (ES256) that signs the learner's credentials for tenants."
    )
    learner_acting_key_id: str = Field("", description="Id of that key in the key set that services verify with.")
    learner_poll_s: PositiveFloat = Field(
        1.0, le=60, description="How often the learner compares policies with the map."
    )
    learner_round_s: PositiveFloat = Field(300.0, description="How often the learner looks at each tenant's feedback.")
    learner_train_timeout_s: PositiveFloat = Field(300.0, description="Time that training one head may take.")
    learner_train_memory_bytes: int = Field(
        4 << 30, ge=1 << 30, description="Address space that the child process that trains may have."
    )
    learner_yield_pressure: float = Field(
        0.7, gt=0, le=1, description="Pressure of inference above which the learner waits before it embeds more."
    )
