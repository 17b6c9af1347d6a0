"""Generated entries, small enough that names meet each other often."""

from __future__ import annotations

from hypothesis import strategies as st

from trunkline_map.entries import (
    CollectionEntry,
    Entry,
    PolicyPointer,
    RegionEntry,
    RegionState,
    SpaceEntry,
    TenantEntry,
)

NAMES = st.sampled_from(["a", "b", "ab", "a-b", "c0"])
JURISDICTIONS = st.frozensets(st.sampled_from(["eu", "us", "apac"]), min_size=1)
REVISIONS = st.integers(1, 50)
ENDPOINTS = st.lists(st.sampled_from(["h:1", "h:2", "[::1]:3"]), max_size=2).map(tuple)

REGIONS = st.builds(
    RegionEntry,
    region_id=NAMES,
    jurisdiction=st.sampled_from(["eu", "us"]),
    state=st.sampled_from(RegionState),
    routing_endpoints=ENDPOINTS,
    retrieval_endpoints=ENDPOINTS,
    rerank_endpoints=ENDPOINTS,
    inference_endpoints=ENDPOINTS,
    admission_endpoints=ENDPOINTS,
    revision=REVISIONS,
)
TENANTS = st.builds(
    TenantEntry,
    tenant_id=NAMES,
    tier=st.sampled_from(["free", "pro"]),
    jurisdictions=JURISDICTIONS,
    suspended=st.booleans(),
    quota_tokens_per_s=st.integers(0, 10**12),
    revision=REVISIONS,
)
SPACES = st.builds(
    SpaceEntry,
    space_id=NAMES,
    model_id=st.just("minilm"),
    model_revision=st.sampled_from(["1", "2"]),
    dimension=st.integers(1, 4096),
    revision=REVISIONS,
)
COLLECTIONS = st.builds(
    CollectionEntry,
    tenant_id=NAMES,
    collection_id=NAMES,
    space_id=NAMES,
    placement=st.lists(NAMES, min_size=1, max_size=3, unique=True).map(tuple),
    jurisdictions=JURISDICTIONS,
    dedicated=st.booleans(),
    shard=st.integers(0, 1023),
    description=st.text(max_size=20),
    revision=REVISIONS,
)
POLICIES = st.builds(
    PolicyPointer,
    tenant_id=NAMES,
    version=st.integers(1, 10),
    digest=st.sampled_from(["0" * 64, "f" * 64]),
    jurisdictions=JURISDICTIONS,
    size_bytes=st.integers(1, 1000),
    revision=REVISIONS,
)
ENTRIES: st.SearchStrategy[Entry] = st.one_of(REGIONS, TENANTS, SPACES, COLLECTIONS, POLICIES)
