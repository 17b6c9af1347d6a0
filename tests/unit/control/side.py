"""One control process's use cases over a store in memory."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from tests.unit.control.memory_store import MemoryStore

from trunkline_map.blob import BlobMissingError, digest_of
from trunkline_map.entries import CollectionEntry, RegionEntry, RegionState, TenantEntry
from trunkline_map.source import MapSource
from trunkline_map.testing import StaticMap, collection, region, space, tenant
from trunkline_mesh.clock import Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import CollectionUnknown, invalid_field
from trunkline_routing.control.bindings import ControlUseCases, Rules
from trunkline_routing.control.how import How
from trunkline_routing.control.map_store import MapStore

OPERATOR = How("olga", ("operator",), method="/m", request_id="r-1")
ADMIN = How("anna", ("admin",), operator=False, method="/m")


class MemoryBlobs:
    """`BlobPort` of one process."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, bytes]] = {}
        """By jurisdiction and digest."""

    async def put(self, jurisdiction: str, content: bytes) -> str:
        self.kept.setdefault(jurisdiction, {})[digest_of(content)] = content
        return digest_of(content)

    async def get(self, jurisdiction: str, digest: str) -> bytes:
        try:
            return self.kept[jurisdiction][digest]
        except KeyError as exc:
            raise BlobMissingError(digest) from exc

    async def exists(self, jurisdiction: str, digest: str) -> bool:
        return digest in self.kept.get(jurisdiction, {})


def read_words(text: str, collections: AbstractSet[str]) -> bytes:
    """Read a policy of these tests: names of collections; words with `#` stand for none, `!` for what is no policy."""
    words = text.split()
    if "!" in words:
        raise invalid_field("policy.yaml", "must be a policy")
    missing = [word for word in words if "#" not in word and word not in collections]
    if missing:
        raise CollectionUnknown(metadata={"collections": missing[0]})
    return f"form of {text}".encode()


def soon() -> Deadline:
    return Deadline.after(20)


class WallClock:
    """Unix time that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


def use_cases(
    store: MemoryStore,
    rules: Rules | None = None,
    *,
    source: MapSource | None = None,
    now: Clock | None = None,
    blobs: MemoryBlobs | None = None,
) -> ControlUseCases:
    """Return the use cases of one process."""
    maps = MapStore(store, source or StaticMap(), now=now or WallClock())
    return ControlUseCases(maps, blobs or MemoryBlobs(), read_words, rules or Rules())


def new_region(region_id: str, jurisdiction: str = "eu", state: RegionState = RegionState.SERVING) -> RegionEntry:
    return replace(region(region_id, jurisdiction, state=state), revision=0)


def new_tenant(tenant_id: str = "acme", *jurisdictions: str, tier: str = "pro", suspended: bool = False) -> TenantEntry:
    return replace(tenant(tenant_id, *(jurisdictions or ("eu",)), tier=tier, suspended=suspended), revision=0)


def new_collection(collection_id: str, *placement: str, tenant_id: str = "acme") -> CollectionEntry:
    return replace(collection(tenant_id, collection_id, placement, ["eu"]), revision=0)


async def furnish(side: ControlUseCases, *regions: str, tier: str = "pro") -> None:
    """Regions of `eu`, one space, and the tenant `acme`."""
    for region_id in regions:
        await side.regions.put(new_region(region_id), OPERATOR, soon())
    await side.spaces.put(replace(space(), revision=0), OPERATOR, soon())
    await side.tenants.put(new_tenant(tier=tier), OPERATOR, soon())
