"""Generated entries, small enough that names meet each other often."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from trunkline_map.entries import (
    CollectionEntry,
    Entry,
    HeadPointer,
    Isolation,
    KeyLimit,
    LimitOverride,
    PolicyPointer,
    Preference,
    RegionEntry,
    RegionState,
    RolloutEntry,
    RolloutState,
    SpaceEntry,
    StoreEntry,
    TenantEntry,
    TenantLimits,
)

NAMES = st.sampled_from(["a", "b", "ab", "a-b", "c0"])
JURISDICTIONS = st.frozensets(st.sampled_from(["eu", "us", "apac"]), min_size=1)
REVISIONS = st.integers(1, 50)
ENDPOINTS = st.lists(st.sampled_from(["h:1", "h:2", "[::1]:3"]), max_size=2).map(tuple)

TIMES_S = st.sampled_from([0.0, 1_700_000_000.125, 1_790_000_000.999999])

STORES = st.builds(
    StoreEntry, store_id=NAMES, endpoint=st.sampled_from(["h:1", "engine:x"]), tenant_id=st.sampled_from(["", "a"])
)

STAGES = st.frozensets(st.integers(1, 7), max_size=2)

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
    learning_endpoints=ENDPOINTS,
    stores=st.lists(STORES, max_size=3, unique_by=lambda store: store.store_id).map(tuple),
    serving_since_s=TIMES_S,
    ramp_s=st.sampled_from([0.0, 0.25, 30.0, 3600.0]),
    disabled_stages=STAGES,
    revision=REVISIONS,
)
LIMITS = st.builds(
    TenantLimits,
    requests_per_minute=st.integers(0, 10**9),
    requests_per_day=st.integers(0, 10**12),
    tokens_per_month=st.integers(0, 10**12),
    budget_micros_per_month=st.integers(0, 10**15),
    soft_percent=st.integers(0, 100),
)
OVERRIDES = st.lists(
    st.builds(LimitOverride, limits=LIMITS, ends_at_s=TIMES_S, note=st.text(max_size=10)), max_size=2
).map(tuple)
KEY_LIMITS = st.lists(
    st.builds(KeyLimit, subject=NAMES, requests_per_minute=st.integers(0, 99), requests_per_day=st.integers(0, 99)),
    max_size=2,
    unique_by=lambda limit: limit.subject,
).map(tuple)
TENANTS = st.builds(
    TenantEntry,
    tenant_id=NAMES,
    tier=st.sampled_from(["free", "pro"]),
    jurisdictions=JURISDICTIONS,
    suspended=st.booleans(),
    quota_tokens_per_s=st.integers(0, 10**12),
    limits=LIMITS,
    overrides=OVERRIDES,
    shadow_limits=st.none() | LIMITS,
    key_limits=KEY_LIMITS,
    time_zone=st.sampled_from(["", "Europe/Berlin"]),
    labels=st.dictionaries(NAMES, st.text(max_size=5), max_size=2).map(lambda labels: tuple(sorted(labels.items()))),
    disabled_stages=STAGES,
    revision=REVISIONS,
)


def _collection(*, isolation: Isolation, **fields: Any) -> CollectionEntry:
    return CollectionEntry(
        dedicated=isolation is not Isolation.SHARED, cluster=isolation is Isolation.CLUSTER, **fields
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
    _collection,
    tenant_id=NAMES,
    collection_id=NAMES,
    space_id=NAMES,
    placement=st.lists(NAMES, min_size=1, max_size=3, unique=True).map(tuple),
    jurisdictions=JURISDICTIONS,
    isolation=st.sampled_from(Isolation),
    shard=st.integers(0, 1023),
    description=st.text(max_size=20),
    preference=st.sampled_from(Preference),
    region_stores=st.dictionaries(NAMES, NAMES, max_size=3).map(lambda stores: tuple(sorted(stores.items()))),
    revision=REVISIONS,
)
DIGESTS = st.sampled_from(["0" * 64, "f" * 64])
HEADS = st.lists(
    st.builds(
        HeadPointer,
        policy_digest=DIGESTS,
        digest=st.sampled_from(["a" * 64, "b" * 64, "c" * 64, "d" * 64]),
        size_bytes=st.integers(1, 8 << 20),
        space_id=NAMES,
        model_id=st.just("minilm"),
        model_revision=st.sampled_from(["1", "2"]),
        basis_digest=DIGESTS,
    ),
    max_size=4,
    unique_by=lambda head: head.digest,
).map(tuple)
ROLLOUTS = st.builds(
    RolloutEntry,
    rollout_id=st.sampled_from(["r1", "r2"]),
    state=st.sampled_from(RolloutState),
    share=st.sampled_from([0.0, 0.1, 1.0]),
    digest=DIGESTS,
    form_digest=DIGESTS,
    size_bytes=st.integers(1, 1000),
    base_version=st.integers(1, 10),
    actor=NAMES,
    begin_time_s=TIMES_S,
    change_time_s=TIMES_S,
    comment=st.text(max_size=20),
    evaluation=st.dictionaries(NAMES, st.floats(0, 1), max_size=3).map(lambda found: tuple(sorted(found.items()))),
    heads=HEADS,
)
POLICIES = st.builds(
    PolicyPointer,
    tenant_id=NAMES,
    version=st.integers(1, 10),
    digest=DIGESTS,
    jurisdictions=JURISDICTIONS,
    size_bytes=st.integers(1, 1000),
    form_digest=st.sampled_from(["", "0" * 64]),
    heads=HEADS,
    rollout=st.none() | ROLLOUTS,
    revision=REVISIONS,
)
ENTRIES: st.SearchStrategy[Entry] = st.one_of(REGIONS, TENANTS, SPACES, COLLECTIONS, POLICIES)
