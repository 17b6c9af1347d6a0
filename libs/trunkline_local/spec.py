"""What a local stack consists of: a typed, frozen description that travels as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from trunkline_local.errors import SpecError
from trunkline_local.logfile import LOG_LIMIT_BYTES
from trunkline_local.triton import READY_WITHIN_S as TRITON_READY_WITHIN_S
from trunkline_local.valkey import MAX_MEMORY_BYTES

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""Region ids and jurisdictions, as the contracts bound them."""

CONTROL: Final = "control"
"""Name of the one process with routing's control role; it belongs to no region."""

LEARNER: Final = "learner"
"""Name of a region's process with routing's learner role, behind the region's id."""

FRONT: Final = "front"
"""Name of the Envoy before the routers of all regions, where there is one."""


class Service(StrEnum):
    """The five services of a region, in the order in which a search meets them."""

    ROUTING = "routing"
    ADMISSION = "admission"
    INFERENCE = "inference"
    RETRIEVAL = "retrieval"
    RERANK = "rerank"


class Layout(StrEnum):
    """How a region's services are spread over processes."""

    PER_SERVICE = "per_service"
    """A process for each service, as in production: five for a region. One can be killed alone."""
    PER_REGION = "per_region"
    """One process for the five services of a region: a quarter of the memory and start-up time."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RegionSpec(_Frozen):
    """One region of a stack."""

    region_id: Name
    jurisdiction: Name


DEFAULT_REGIONS: Final = (
    RegionSpec(region_id="us-east", jurisdiction="us"),
    RegionSpec(region_id="eu-west", jurisdiction="eu"),
    RegionSpec(region_id="ap-south", jurisdiction="apac"),
)


class StackSpec(_Frozen):
    """A whole stack: regions with five services, a learner and a Valkey each, over one etcd, Triton and control role.

    etcd and Triton are shared by all regions here: a failure domain that production does not have.
    """

    run_dir: Path = Field(
        description="Folder of its own for everything the stack writes; absolute, made with mode 0700."
    )
    regions: tuple[RegionSpec, ...] = Field(DEFAULT_REGIONS, min_length=1, max_length=8)
    layout: Layout = Layout.PER_SERVICE
    etcd_members: Literal[1, 3] = 1
    keep_data: bool = Field(
        False, description="Go on with the documents and the map that an earlier stack left in run_dir."
    )
    model_repository: Path | None = Field(None, description="Triton's models; by default those of the project.")
    front: bool = Field(
        False, description="Start an Envoy before all routers, the regions nearest in their order here."
    )
    learners: bool = Field(
        True, description="Start a learner in each region: routing's third role, which trains heads."
    )
    reflection: bool = Field(True, description="Serve gRPC reflection without a credential, on loopback.")
    valkey_max_memory_bytes: PositiveInt = MAX_MEMORY_BYTES
    log_limit_bytes: int = Field(LOG_LIMIT_BYTES, ge=64 << 10, description="A log above it is cut to its end.")
    service_ready_within_s: PositiveFloat = Field(60.0, le=600, description="For a service's process to answer.")
    triton_ready_within_s: PositiveFloat = Field(TRITON_READY_WITHIN_S, le=1800, description="For all models to load.")
    launcher: tuple[str, ...] = Field(
        (), description="Command that runs services, given their names, for example a profiler; absolute program first."
    )
    settings: Mapping[str, Mapping[str, str]] = Field(
        default_factory=dict,
        description="Further settings, over those of the stack: service, `control` or `learner` -> NAME -> value.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.run_dir.is_absolute():
            raise ValueError("run_dir must be absolute")
        ids = [region.region_id for region in self.regions]
        if len(set(ids)) != len(ids):
            raise ValueError("region ids must differ")
        if CONTROL in ids or "shared" in ids:
            raise ValueError("a region cannot be called control or shared")
        if self.keep_data and self.etcd_members != 1:
            raise ValueError("keep_data needs etcd_members=1: three members know each other by ports that change")
        if unknown := set(self.settings) - {*Service, CONTROL, LEARNER}:
            raise ValueError(f"settings for unknown services: {', '.join(sorted(unknown))}")
        return self

    def to_json(self) -> str:
        """Return it as JSON."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> StackSpec:
        """Read it from JSON; raise SpecError, which names the field, if it is not valid."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as exc:
            raise SpecError(str(exc)) from exc
