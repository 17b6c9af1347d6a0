"""What a map file holds: the kinds of entries, their fields, and what each field may be.

The bounds are those of the contract (`trunkline/control/v1/map_entries.proto`). A field that is left out has its
default: the file says everything, nothing is kept from what is live. States have no default, because leaving one out
must not bring a region or a tenant back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from trunkline_cli.mapfile.limit_readers import key_limits, labels, limits, overrides, stages, time_zone
from trunkline_cli.mapfile.readers import (
    Reader,
    choice,
    endpoints,
    integer,
    jurisdiction,
    jurisdictions,
    model,
    name,
    name_map,
    names,
    seconds,
    stores,
    text,
)

Values = Mapping[str, Any]
"""An entry's fields in the order of its schema: texts, numbers, lists and mappings of them."""

Key = tuple[str, ...]
"""An entry's name: region or space or tenant, or tenant and collection."""

FORMAT: Final = 1
MAX_ENTRIES: Final = 500_000


class EntryKind(StrEnum):
    """Kinds of entries, in the order in which one may rely on those before it."""

    REGION = "region"
    SPACE = "space"
    TENANT = "tenant"
    COLLECTION = "collection"

    @property
    def section(self) -> str:
        """The file's section of this kind."""
        return f"{self.value}s"


class Field(NamedTuple):
    """One field of an entry."""

    name: str
    read: Reader
    default: Any = None
    """What it is where it is left out; None for one that must be there."""


STATES: Final = ("serving", "draining", "down")
TENANT_STATES: Final = ("active", "suspended")
LAYOUTS: Final = ("shared", "dedicated", "dedicated_cluster")
PREFERENCES: Final = ("nearest", "placement")
ENDPOINT_KINDS: Final = ("routing", "retrieval", "rerank", "inference", "admission", "learning")

FIELDS: Final[Mapping[EntryKind, Sequence[Field]]] = {
    EntryKind.REGION: (
        Field("region_id", name),
        Field("jurisdiction", jurisdiction),
        Field("state", choice(STATES)),
        Field("endpoints", endpoints(ENDPOINT_KINDS), {}),
        Field("stores", stores, []),
        Field("ramp_s", seconds(3600), 0.0),
        Field("disabled_stages", stages, []),
    ),
    EntryKind.SPACE: (
        Field("space_id", name),
        Field("model_id", model),
        Field("model_revision", model),
        Field("dimension", integer(1, 4096)),
    ),
    EntryKind.TENANT: (
        Field("tenant_id", name),
        Field("tier", name),
        Field("jurisdictions", jurisdictions(1, 16)),
        Field("state", choice(TENANT_STATES)),
        Field("quota_tokens_per_s", integer(0, 10**12), 0),
        Field("limits", limits, {}),
        Field("overrides", overrides, []),
        Field("shadow_limits", limits, {}),
        Field("key_limits", key_limits, []),
        Field("time_zone", time_zone, ""),
        Field("labels", labels, {}),
        Field("disabled_stages", stages, []),
    ),
    EntryKind.COLLECTION: (
        Field("tenant_id", name),
        Field("collection_id", name),
        Field("space_id", name),
        Field("placement", names(1, 8)),
        Field("jurisdictions", jurisdictions(0, 16), []),
        Field("layout", choice(LAYOUTS), "shared"),
        Field("shard", integer(0, 1023), 0),
        Field("preference", choice(PREFERENCES), "nearest"),
        Field("region_stores", name_map(8), {}),
        Field("description", text(1024, least=0), ""),
    ),
}

_KEYS: Final[Mapping[EntryKind, tuple[str, ...]]] = {
    EntryKind.REGION: ("region_id",),
    EntryKind.SPACE: ("space_id",),
    EntryKind.TENANT: ("tenant_id",),
    EntryKind.COLLECTION: ("tenant_id", "collection_id"),
}


def key_of(kind: EntryKind, values: Values) -> Key:
    """Return an entry's name."""
    return tuple(values[part] for part in _KEYS[kind])


def shown_name(kind: EntryKind, key: Key) -> str:
    """Return how people are told of an entry, for example `collection acme/notes`."""
    return f"{kind} {'/'.join(key)}"
