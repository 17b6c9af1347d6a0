"""What a tenant's own admin may do with collections, and what only operators may."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import ADMIN, OPERATOR, furnish, new_collection, new_tenant, soon, use_cases

from trunkline_map.entries import Isolation
from trunkline_mesh.errors import DomainError, TenantSuspended, TierLimit
from trunkline_routing.control.bindings import ControlUseCases, Rules
from trunkline_routing.control.tiers import DEFAULT_ALLOWANCES, TierAllowance, read_allowances
from trunkline_tiers import default_tiers

_FILE = default_tiers()
UNHEARD_OF = _FILE.model_copy(
    update={"tiers": {**_FILE.tiers, "unheard-of": _FILE.tiers["pro"].model_copy(update={"rank": 9})}}
)
TWO = Rules(
    {"free": TierAllowance(collections=2, regions=1, isolation=frozenset({Isolation.SHARED}))}, tiers=UNHEARD_OF
)


async def with_tier(tier: str, rules: Rules | None = None, store: MemoryStore | None = None) -> ControlUseCases:
    side = use_cases(store or MemoryStore(), rules)
    await furnish(side, "eu-a", "eu-b", "eu-c", "eu-d", tier=tier)
    return side


def test_the_defaults_are_those_of_the_guide() -> None:
    """Free, pro and enterprise."""
    limits = {name: (tier.collections, tier.regions, len(tier.isolation)) for name, tier in DEFAULT_ALLOWANCES.items()}

    assert limits == {"free": (10, 1, 1), "pro": (100, 3, 2), "enterprise": (100_000, 8, 3)}


@pytest.mark.parametrize("tier", ["free", "unheard-of"])
async def test_a_tiers_collections_are_counted(tier: str) -> None:
    """A tier without limits here gets the free ones; what is there already may change, and a removal makes room."""
    side = await with_tier(tier, TWO)
    entry, _ = await side.collections.put(new_collection("a", "eu-a"), ADMIN, soon())
    await side.collections.put(new_collection("b", "eu-a"), ADMIN, soon())

    with pytest.raises(TierLimit) as refused:
        await side.collections.put(new_collection("c", "eu-a"), ADMIN, soon())

    assert refused.value.metadata == {"limit": "collections", "allowed": "2", "tier": tier}
    entry, _ = await side.collections.put(replace(entry, description="new"), ADMIN, soon())
    await side.collections.delete("acme", "a", 0, ADMIN, soon())
    await side.collections.put(new_collection("c", "eu-a"), ADMIN, soon())


async def test_two_at_once_do_not_pass_the_limit_together() -> None:
    """There was room for one more when both counted."""
    store = MemoryStore()
    side = await with_tier("free", TWO, store)
    await side.collections.put(new_collection("a", "eu-a"), ADMIN, soon())
    other = use_cases(store, TWO)
    store.meanwhile = lambda: other.collections.put(new_collection("b", "eu-a"), ADMIN, soon())

    with pytest.raises(TierLimit):
        await side.collections.put(new_collection("c", "eu-a"), ADMIN, soon())


async def test_changes_of_one_transaction_count_together() -> None:
    """As if they were made one after the other; so do removals."""
    side = await with_tier("free", TWO)
    three = [side.collections.prepare_put(new_collection(name, "eu-a"), ADMIN, soon()) for name in ("a", "b", "c")]

    with pytest.raises(TierLimit):
        await side.maps.change(three, ADMIN, soon())
    await side.maps.change(three[:2], ADMIN, soon())
    gone = side.collections.prepare_delete("acme", "a", 0, ADMIN)
    await side.maps.change([gone, three[2]], ADMIN, soon())


async def test_a_large_tiers_count_is_as_right() -> None:
    """It is not one page of the store."""
    many = Rules({"free": TierAllowance(collections=600, regions=8, isolation=frozenset(Isolation))})
    side = await with_tier("free", many)
    for start in range(0, 600, 20):
        some = [new_collection(f"c-{number}", "eu-a") for number in range(start, start + 20)]
        await side.maps.change(
            [side.collections.prepare_put(entry, OPERATOR, soon()) for entry in some], OPERATOR, soon()
        )

    with pytest.raises(TierLimit):
        await side.collections.put(new_collection("one-more", "eu-a"), ADMIN, soon())


async def test_a_tiers_regions_and_isolation_bind() -> None:
    """The refusal says what is allowed."""
    pro, free = await with_tier("pro"), await with_tier("free")
    dedicated = replace(new_collection("own", "eu-a"), dedicated=True)

    with pytest.raises(TierLimit) as regions:
        await pro.collections.put(new_collection("wide", "eu-a", "eu-b", "eu-c", "eu-d"), ADMIN, soon())
    assert regions.value.metadata == {"limit": "regions", "allowed": "3", "tier": "pro"}
    with pytest.raises(TierLimit) as isolation:
        await free.collections.put(dedicated, ADMIN, soon())
    assert isolation.value.metadata == {"limit": "isolation", "allowed": "shared", "tier": "free"}
    await pro.collections.put(dedicated, ADMIN, soon())


async def test_what_a_smaller_tier_found_may_stay_but_not_grow() -> None:
    """A tenant that pays less keeps what it has."""
    side = await with_tier("free")
    entry, _ = await side.collections.put(new_collection("wide", "eu-a", "eu-b", "eu-c"), OPERATOR, soon())
    entry, _ = await side.collections.put(replace(entry, description="new"), ADMIN, soon())

    with pytest.raises(TierLimit):
        await side.collections.put(replace(entry, placement=("eu-a", "eu-b", "eu-c", "eu-d")), ADMIN, soon())
    await side.collections.put(replace(entry, placement=("eu-b", "eu-a")), ADMIN, soon())


async def test_operators_are_not_bound() -> None:
    """They sell the tiers."""
    side = await with_tier("free", TWO)
    for name in ("a", "b", "c"):
        wide = replace(new_collection(name, "eu-a", "eu-b"), dedicated=True)
        await side.collections.put(wide, OPERATOR, soon())


async def test_a_suspended_tenants_admin_changes_nothing() -> None:
    """Operators still do."""
    side = await with_tier("pro")
    await side.collections.put(new_collection("docs", "eu-a"), ADMIN, soon())
    current, _ = await side.tenants.get("acme", soon())
    await side.tenants.put(replace(new_tenant(suspended=True), revision=current.revision), OPERATOR, soon())

    async def refused(change: object) -> DomainError:
        with pytest.raises(TenantSuspended) as error:
            await change  # type: ignore[misc]  # each is a coroutine
        return error.value

    await refused(side.collections.put(new_collection("more", "eu-a"), ADMIN, soon()))
    await refused(side.collections.delete("acme", "docs", 0, ADMIN, soon()))
    await refused(side.policies.policies.put("acme", "#", 0, ADMIN, soon()))
    await side.collections.delete("acme", "docs", 0, OPERATOR, soon())


def test_tiers_are_read_from_a_file(tmp_path: Path) -> None:
    """In place of the defaults."""
    path = tmp_path / "tiers.yaml"
    path.write_text("free: {collections: 1, regions: 2, isolation: [shared, cluster]}\n")

    tiers = read_allowances(path)

    assert tiers == {
        "free": TierAllowance(collections=1, regions=2, isolation=frozenset({Isolation.SHARED, Isolation.CLUSTER}))
    }
    assert read_allowances(None) is DEFAULT_ALLOWANCES


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "pro: {collections: 1, regions: 1, isolation: [shared]}",
        "free: {collections: -1, regions: 1, isolation: [shared]}",
        "free: {collections: 1, regions: 9, isolation: [shared]}",
        "free: {collections: 1, regions: 1, isolation: [other]}",
        "free: {collections: 1, regions: 1, isolation: [shared], more: 1}",
        "FREE: {collections: 1, regions: 1, isolation: [shared]}",
        "#" * 70_000,
    ],
)
def test_a_file_of_no_tiers_stops_the_start(tmp_path: Path, text: str) -> None:
    """Instead of binding nobody."""
    path = tmp_path / "tiers.yaml"
    path.write_text(text)

    with pytest.raises(ValueError, match="tiers"):
        read_allowances(path)
