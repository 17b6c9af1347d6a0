"""In which stores of its regions a collection may lie."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_map.entries import CollectionEntry, Isolation, RegionEntry
from trunkline_mesh.errors import MethodNotAllowed, StoreUnknown, invalid_field
from trunkline_routing.control.how import How


def require_stores(
    entry: CollectionEntry, before: CollectionEntry | None, regions: Sequence[RegionEntry], how: How
) -> None:
    """Check the stores of a collection in place of `before`; `regions` are those of its placement.

    Raises MethodNotAllowed where anybody but an operator changes them; FieldInvalid for one of a region that it is not
    placed in, where documents would not be found, and for a cluster that lacks a store; StoreUnknown for one that the
    region does not have, or keeps for another tenant, or that a cluster would share.
    """
    _require_placed(entry)
    _require_same(entry, before, how)
    for region in regions:
        _require_store(entry, region)


def _require_placed(entry: CollectionEntry) -> None:
    for region_id, _ in entry.region_stores:
        if region_id not in entry.placement:
            raise invalid_field("collection.region_stores", "must name regions of the placement")


def _require_same(entry: CollectionEntry, before: CollectionEntry | None, how: How) -> None:
    for region_id in entry.placement:
        now = entry.store_in(region_id)
        was = before.store_in(region_id) if before is not None else ""
        if now == was:
            continue
        if not how.operator:
            raise MethodNotAllowed("only operators choose stores")
        if before is not None and region_id in before.placement:
            raise invalid_field("collection.region_stores", "must stay as they are: the documents would not be found")


def _require_store(entry: CollectionEntry, region: RegionEntry) -> None:
    """A cluster lies in stores that are the tenant's alone; anything else in the default one, or one it may use."""
    cluster = entry.isolation is Isolation.CLUSTER
    name = entry.store_in(region.region_id)
    if not name:
        if cluster:
            raise invalid_field("collection.region_stores", "must name a store in every region of the placement")
        return
    owners = (entry.tenant_id,) if cluster else ("", entry.tenant_id)
    if not any(store.store_id == name and store.tenant_id in owners for store in region.stores):
        raise StoreUnknown(metadata={"region": region.region_id, "store": name})
