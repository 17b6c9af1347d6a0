"""Batches of imports, parsed: every bound of the contract is checked, and what is wrong names its entry."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_service_pb2 as control_pb
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.errors import FieldInvalid
from trunkline_routing.control.collection_messages import parse_collection
from trunkline_routing.control.fields import Fields
from trunkline_routing.control.map_import import Batch, Put, Removal
from trunkline_routing.control.messages import parse_space, parse_tenant
from trunkline_routing.control.region_messages import parse_region

MAX_CHANGES: Final = 24
MAX_NAME_CHARS: Final = 200
"""Of an entry's name in a refusal; valid ones are shorter."""

_IMPORT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KINDS: Final = {
    changes_pb.ENTRY_KIND_REGION: Kind.REGION,
    changes_pb.ENTRY_KIND_TENANT: Kind.TENANT,
    changes_pb.ENTRY_KIND_SPACE: Kind.SPACE,
    changes_pb.ENTRY_KIND_COLLECTION: Kind.COLLECTION,
}


def parse_import_id(import_id: str) -> str:
    """Return the id that a request gives; raise FieldInvalid."""
    fields = Fields()
    _check_id(fields, import_id)
    fields.check()
    return import_id


def _check_id(fields: Fields, import_id: str) -> None:
    # What matters most: an id becomes a part of a key, so it must hold no slash.
    fields.require(
        bool(_IMPORT_ID.fullmatch(import_id)), "import_id", "must be 1 to 64 characters of letters, digits and . _ -"
    )


def parse_batch(request: control_pb.ImportBatchRequest) -> Batch:
    """Return the batch; raise FieldInvalid, with the metadata's `entry` where it is about one."""
    fields = Fields()
    _check_id(fields, request.import_id)
    fields.require(request.batch_number >= 1, "batch_number", "must be at least 1")
    fields.size("changes", len(request.changes), 1, MAX_CHANGES)
    fields.check()
    digest = hashlib.sha256()
    for change in request.changes:
        content = change.SerializeToString(deterministic=True)
        digest.update(len(content).to_bytes(8, "big") + content)
    return Batch(
        import_id=request.import_id,
        number=request.batch_number,
        changes=[_parse(index, change) for index, change in enumerate(request.changes)],
        digest=digest.digest(),
    )


def _parse(index: int, change: control_pb.ImportChange) -> Put | Removal:
    try:
        if change.WhichOneof("kind") == "remove":
            return _parse_removal(change)
        return _parse_put(change.put)
    except FieldInvalid as exc:
        violations = [each._replace(field=f"changes[{index}].{each.field}") for each in exc.violations]
        raise FieldInvalid(metadata={"entry": _name(change)[:MAX_NAME_CHARS]}, violations=violations) from exc


def _parse_put(entry: changes_pb.MapEntry) -> Put:
    match entry.WhichOneof("kind"):
        case "region":
            return parse_region(entry.region)
        case "space":
            return parse_space(entry.space)
        case "tenant":
            return parse_tenant(entry.tenant)
        case "collection":
            return parse_collection(entry.collection, entry.collection.tenant_id)
        case _:
            fields = Fields()
            fields.require(False, "kind", "must be put or remove, of a region, tenant, space or collection")
            fields.check()
            raise AssertionError("the check raises")


def _parse_removal(change: control_pb.ImportChange) -> Removal:
    name, fields = change.remove, Fields("remove.")
    kind = _KINDS.get(name.kind, Kind.REGION)
    fields.require(name.kind in _KINDS, "kind", "must be REGION, TENANT, SPACE or COLLECTION")
    if kind in (Kind.TENANT, Kind.COLLECTION):
        fields.name("tenant_id", name.tenant_id)
    if kind is not Kind.TENANT:
        fields.name("entry_id", name.entry_id)
    fields.revision(change.revision)
    fields.check()
    if kind is Kind.COLLECTION:
        return Removal(MapKey(kind, name.tenant_id, name.entry_id), change.revision)
    return Removal(MapKey(kind, name.tenant_id if kind is Kind.TENANT else name.entry_id), change.revision)


def _name(change: control_pb.ImportChange) -> str:
    """Return how a refusal names an entry, valid or not, for example `collections/acme/notes`."""
    if change.WhichOneof("kind") == "remove":
        kind = _KINDS.get(change.remove.kind)
        parts = (kind.value if kind else "", change.remove.tenant_id, change.remove.entry_id)
    else:
        entry = change.put
        match entry.WhichOneof("kind"):
            case "region":
                parts = (Kind.REGION.value, "", entry.region.region_id)
            case "space":
                parts = (Kind.SPACE.value, "", entry.space.space_id)
            case "tenant":
                parts = (Kind.TENANT.value, entry.tenant.tenant_id, "")
            case _:
                parts = (Kind.COLLECTION.value, entry.collection.tenant_id, entry.collection.collection_id)
    return "/".join(part for part in parts if part)
