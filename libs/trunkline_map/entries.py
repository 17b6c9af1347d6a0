"""Entries of the map as plain, immutable values: what services read, free of messages and of etcd."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from trunkline_map.keys import EPOCH_KEY, Kind, MapKey


class RegionState(Enum):
    """A region's state, as an operator set it."""

    SERVING = "serving"
    """It takes traffic."""
    DRAINING = "draining"
    """It finishes what it has and takes no new searches."""
    DOWN = "down"
    """It is not used."""


@dataclass(frozen=True, slots=True)
class EpochEntry:
    """Which history of etcd this is; rewritten when etcd is restored from a backup."""

    epoch: bytes
    """Random, 8 bytes."""
    revision: int = 0

    @property
    def key(self) -> MapKey:
        """Its key."""
        return EPOCH_KEY


class Isolation(Enum):
    """How far a collection's documents are kept from those of others."""

    SHARED = "shared"
    """A shared shard, filtered by tenant and collection."""
    DEDICATED = "dedicated"
    """A physical collection of its own."""
    CLUSTER = "cluster"
    """A physical collection of its own in stores of the tenant's own."""


class Preference(Enum):
    """In which order the regions of a placement are asked."""

    NEAREST = "nearest"
    """The router's own first, then by measured round trip; the placement's order where none was measured."""
    PLACEMENT = "placement"
    """The placement's order, primary first."""


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """A vector store of a region besides its default one."""

    store_id: str
    endpoint: str
    """`host:port` of a Qdrant server, or `engine:NAME`."""
    tenant_id: str = ""
    """The only tenant that may use it; empty for any."""


@dataclass(frozen=True, slots=True)
class RegionEntry:
    """A place with its own services. Endpoints are `host:port`, at most 16 of a kind."""

    region_id: str
    jurisdiction: str
    state: RegionState = RegionState.SERVING
    routing_endpoints: tuple[str, ...] = ()
    retrieval_endpoints: tuple[str, ...] = ()
    rerank_endpoints: tuple[str, ...] = ()
    inference_endpoints: tuple[str, ...] = ()
    admission_endpoints: tuple[str, ...] = ()
    learning_endpoints: tuple[str, ...] = ()
    stores: tuple[StoreEntry, ...] = ()
    """Stores besides the default one, at most 64."""
    serving_since_s: float = 0.0
    """Unix time at which it last began to serve; 0 where that is not known."""
    ramp_s: float = 0.0
    """Over how long after that its share of the traffic grows to all of it; 0 for at once."""
    disabled_stages: frozenset[int] = frozenset()
    """Stages that an operator has switched off in it: values of `trunkline.common.v1.StageName`."""
    revision: int = 0
    """etcd revision of the last change; 0 before it was written."""

    @property
    def key(self) -> MapKey:
        """Its key."""
        return MapKey(Kind.REGION, self.region_id)


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """A tenant's own limits; 0 leaves one to its tier, or sets none where the tier has none."""

    requests_per_minute: int = 0
    requests_per_day: int = 0
    requests_per_month: int = 0
    tokens_per_day: int = 0
    tokens_per_month: int = 0
    budget_micros_per_month: int = 0
    """In millionths of the price list's currency."""
    soft_percent: int = 0
    """Used part of a daily or monthly limit that is warned of."""


NO_LIMITS: Final = TenantLimits()
"""Everything is the tier's."""


@dataclass(frozen=True, slots=True)
class LimitOverride:
    """Limits with an end."""

    limits: TenantLimits
    ends_at_s: float
    """Unix time."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class KeyLimit:
    """Limits of one credential of a tenant; 0 for none."""

    subject: str
    requests_per_minute: int = 0
    requests_per_day: int = 0


@dataclass(frozen=True, slots=True)
class TenantEntry:
    """Who asks."""

    tenant_id: str
    tier: str
    jurisdictions: frozenset[str]
    """Where its data may live and its queries may go; never empty."""
    suspended: bool = False
    quota_tokens_per_s: int = 0
    """Quota of its own; 0 means the tier's."""
    limits: TenantLimits = NO_LIMITS
    overrides: tuple[LimitOverride, ...] = ()
    """Where several hold, the last one counts; at most 8."""
    shadow_limits: TenantLimits | None = None
    """On trial: they refuse nobody."""
    key_limits: tuple[KeyLimit, ...] = ()
    """At most 32, each subject once."""
    time_zone: str = ""
    """IANA name of where its days and months begin; empty for UTC."""
    labels: tuple[tuple[str, str], ...] = ()
    """Its own labels, sorted by name; at most 16."""
    disabled_stages: frozenset[int] = frozenset()
    """Stages that an operator has switched off for it: values of `trunkline.common.v1.StageName`."""
    revision: int = 0

    @property
    def key(self) -> MapKey:
        """Its key."""
        return MapKey(Kind.TENANT, self.tenant_id)


@dataclass(frozen=True, slots=True)
class SpaceEntry:
    """An embedding space: vectors mean something only inside one."""

    space_id: str
    model_id: str
    model_revision: str
    dimension: int
    revision: int = 0

    @property
    def key(self) -> MapKey:
        """Its key."""
        return MapKey(Kind.SPACE, self.space_id)


@dataclass(frozen=True, slots=True)
class CollectionEntry:
    """A tenant's named body of documents."""

    tenant_id: str
    collection_id: str
    space_id: str
    placement: tuple[str, ...]
    """Regions that hold it, primary first; never empty."""
    jurisdictions: frozenset[str]
    """Where its data may be; never empty."""
    dedicated: bool = False
    """True for a physical collection of its own."""
    shard: int = 0
    """Shared shard, where not dedicated."""
    description: str = ""
    cluster: bool = False
    """True if its stores must be the tenant's own; `dedicated` is true then, too."""
    preference: Preference = Preference.NEAREST
    """In which order its regions are asked."""
    region_stores: tuple[tuple[str, str], ...] = ()
    """Region and the name of its store, sorted, for each region that does not use its default store."""
    revision: int = 0

    @property
    def key(self) -> MapKey:
        """Its key."""
        return MapKey(Kind.COLLECTION, self.tenant_id, self.collection_id)

    @property
    def isolation(self) -> Isolation:
        """How far its documents are kept from those of others."""
        if self.cluster:
            return Isolation.CLUSTER
        return Isolation.DEDICATED if self.dedicated else Isolation.SHARED

    def store_in(self, region_id: str) -> str:
        """Name of its store in a region; empty for the region's default one."""
        return next((store for region, store in self.region_stores if region == region_id), "")

    @property
    def physical_name(self) -> str:
        """Name in a region's vector store. Ids hold no underscore, so two collections never share a name by chance."""
        if self.dedicated:
            return f"c_{self.tenant_id}_{self.collection_id}"
        return f"shard_{self.space_id}_{self.shard}"


class RolloutState(Enum):
    """How far a rollout has come."""

    PROPOSED = "proposed"
    """Waits for a person."""
    SHADOW = "shadow"
    """Decides beside the policy; its decisions are not used."""
    CANARY = "canary"
    """Decides its share of the queries."""


@dataclass(frozen=True, slots=True)
class HeadPointer:
    """Where what was trained for a policy's text lies, as a blob."""

    policy_digest: str
    """SHA-256 of the policy's text that it was made for."""
    digest: str
    """SHA-256 of the head; the blob's name."""
    size_bytes: int
    space_id: str
    model_id: str
    """The space's model when it was made; with another one the head is void."""
    model_revision: str
    basis_digest: str
    """SHA-256 of everything that it was made from."""


@dataclass(frozen=True, slots=True)
class RolloutEntry:
    """A policy that may replace the live one."""

    rollout_id: str
    state: RolloutState
    share: float
    """Share of the queries that it decides or shadows, 0 to 1."""
    digest: str
    """SHA-256 of its text; the blob's name."""
    form_digest: str
    """SHA-256 of its JSON form; the blob's name."""
    size_bytes: int
    base_version: int
    """Version of the live policy when it began."""
    actor: str
    begin_time_s: float
    """Unix time."""
    change_time_s: float
    """Unix time of its last change of state."""
    comment: str = ""
    evaluation: tuple[tuple[str, float], ...] = ()
    """Figures of its evaluation, by name."""
    heads: tuple[HeadPointer, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyPointer:
    """Where a tenant's policy lies: its text is a blob, the map holds version and digest."""

    tenant_id: str
    version: int
    """1, 2, 3, ..."""
    digest: str
    """SHA-256 of the text, in lower-case hexadecimal; the blob's name."""
    jurisdictions: frozenset[str]
    """Where the blob lies."""
    size_bytes: int
    form_digest: str = ""
    """SHA-256 of the policy as routers read it, in JSON; empty where only the text is kept."""
    heads: tuple[HeadPointer, ...] = ()
    """What was trained for the text, one for each space, at most 4."""
    rollout: RolloutEntry | None = None
    """The rollout under way."""
    revision: int = 0

    @property
    def key(self) -> MapKey:
        """Its key."""
        return MapKey(Kind.POLICY, self.tenant_id)


Entry: TypeAlias = EpochEntry | RegionEntry | TenantEntry | SpaceEntry | CollectionEntry | PolicyPointer
"""Anything that the map holds."""
