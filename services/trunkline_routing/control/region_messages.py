"""Between region messages and entries."""

from __future__ import annotations

from typing import Final

from google.protobuf.duration_pb2 import Duration

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_map.entries import RegionEntry, RegionState, StoreEntry
from trunkline_routing.control.fields import Fields
from trunkline_routing.control.stage_switches import render_stages

MAX_STORES: Final = 64
MAX_RAMP_S: Final = 3600

_STATES: Final = {
    entries_pb.REGION_STATE_SERVING: RegionState.SERVING,
    entries_pb.REGION_STATE_DRAINING: RegionState.DRAINING,
    entries_pb.REGION_STATE_DOWN: RegionState.DOWN,
}
_MESSAGE_STATES: Final = {state: message for message, state in _STATES.items()}


def parse_region(message: entries_pb.Region) -> RegionEntry:
    """Return the entry, without the time at which it began to serve, which is the server's; raise FieldInvalid."""
    fields = Fields("region.")
    fields.name("region_id", message.region_id)
    fields.jurisdiction("jurisdiction", message.jurisdiction)
    state = _STATES.get(message.state, RegionState.DOWN)
    fields.require(message.state in _STATES, "state", "must be SERVING, DRAINING or DOWN")
    ends = message.endpoints
    for kind in ("routing", "retrieval", "rerank", "inference", "admission", "learning"):
        fields.endpoints(f"endpoints.{kind}", getattr(ends, kind))
    _check_stores(fields, message)
    ramp_s = duration_s(fields, "ramp", message.ramp, MAX_RAMP_S)
    fields.revision(message.revision)
    fields.check()
    return RegionEntry(
        region_id=message.region_id,
        jurisdiction=message.jurisdiction,
        state=state,
        routing_endpoints=tuple(ends.routing),
        retrieval_endpoints=tuple(ends.retrieval),
        rerank_endpoints=tuple(ends.rerank),
        inference_endpoints=tuple(ends.inference),
        admission_endpoints=tuple(ends.admission),
        learning_endpoints=tuple(ends.learning),
        stores=tuple(StoreEntry(store.store_id, store.endpoint, store.tenant_id) for store in message.stores),
        ramp_s=ramp_s,
        disabled_stages=frozenset(message.disabled_stages),
        revision=message.revision,
    )


def render_region(entry: RegionEntry) -> entries_pb.Region:
    """Return the message."""
    message = entries_pb.Region(
        region_id=entry.region_id,
        jurisdiction=entry.jurisdiction,
        state=_MESSAGE_STATES[entry.state],
        endpoints=entries_pb.RegionEndpoints(
            routing=entry.routing_endpoints,
            retrieval=entry.retrieval_endpoints,
            rerank=entry.rerank_endpoints,
            inference=entry.inference_endpoints,
            admission=entry.admission_endpoints,
            learning=entry.learning_endpoints,
        ),
        revision=entry.revision,
        stores=[
            entries_pb.Store(store_id=store.store_id, endpoint=store.endpoint, tenant_id=store.tenant_id)
            for store in entry.stores
        ],
        disabled_stages=render_stages(entry.disabled_stages),
    )
    if entry.serving_since_s:
        message.serve_time.FromMilliseconds(round(entry.serving_since_s * 1000))
    if entry.ramp_s:
        message.ramp.FromMilliseconds(round(entry.ramp_s * 1000))
    return message


def parse_ramp(message: Duration) -> float:
    """Return the ramp of a request in seconds; raise FieldInvalid."""
    fields = Fields()
    ramp_s = duration_s(fields, "ramp", message, MAX_RAMP_S)
    fields.check()
    return ramp_s


def duration_s(fields: Fields, field: str, message: Duration, most_s: int) -> float:
    """Return a duration in seconds, to the millisecond; note a violation unless it is 0 to `most_s`."""
    seconds = message.seconds + message.nanos / 1e9
    fields.require(0 <= seconds <= most_s and message.nanos >= 0, field, f"must be 0 s to {most_s} s")
    return round(seconds, 3)


def _check_stores(fields: Fields, message: entries_pb.Region) -> None:
    stores = message.stores[:MAX_STORES]
    fields.size("stores", len(message.stores), 0, MAX_STORES)
    fields.require(len({store.store_id for store in stores}) == len(stores), "stores", "must not name one twice")
    for index, store in enumerate(stores):
        fields.name(f"stores[{index}].store_id", store.store_id)
        fields.store_endpoint(f"stores[{index}].endpoint", store.endpoint)
        if store.tenant_id:
            fields.name(f"stores[{index}].tenant_id", store.tenant_id)
