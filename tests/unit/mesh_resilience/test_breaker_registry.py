"""One breaker for each dependency, region and method, within a bound."""

from __future__ import annotations

import pytest
from tests.unit.mesh_resilience.virtual_time import ManualClock

from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import INFERENCE_POLICY, REGION_POLICY, BreakerPolicy
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.errors import BackendUnavailable

FRAGILE = BreakerPolicy(consecutive_failures=1)


async def fail(breaker: Breaker) -> None:
    async def func() -> None:
        raise BackendUnavailable

    with pytest.raises(BackendUnavailable):
        await breaker.call(func)


def test_the_same_key_gives_the_same_breaker() -> None:
    """And any other dependency, region or method a breaker of its own, with its name."""
    registry = BreakerRegistry()
    first = registry.get("retrieval", "eu-west", "Search", REGION_POLICY)
    assert first is registry.get("retrieval", "eu-west", "Search", REGION_POLICY)
    assert first.name == "retrieval/eu-west/Search"
    others = [("rerank", "eu-west", "Search"), ("retrieval", "us-east", "Search"), ("retrieval", "eu-west", "Upsert")]
    assert all(registry.get(*key, REGION_POLICY) is not first for key in others)


def test_two_policies_for_one_breaker_are_refused() -> None:
    """Callers that disagree on what is broken are a defect."""
    registry = BreakerRegistry()
    registry.get("inference", "eu-west", "Embed", INFERENCE_POLICY)
    with pytest.raises(ValueError, match="another policy"):
        registry.get("inference", "eu-west", "Embed", REGION_POLICY)


async def test_one_method_of_one_region_opens_alone() -> None:
    """A shared breaker would turn one bad shard into a full outage."""
    registry = BreakerRegistry()
    await fail(registry.get("retrieval", "eu-west", "Search", FRAGILE))
    registry.get("retrieval", "us-east", "Search", FRAGILE)
    assert registry.open_names() == ("retrieval/eu-west/Search",)


async def test_the_least_recently_used_closed_breaker_makes_room() -> None:
    """An open one is kept: to forget it would send calls to what is known to fail."""
    registry = BreakerRegistry(capacity=3, clock=ManualClock())
    opened = registry.get("a", "r", "m", FRAGILE)
    await fail(opened)
    registry.get("b", "r", "m", FRAGILE)
    registry.get("c", "r", "m", FRAGILE)
    registry.get("b", "r", "m", FRAGILE)
    registry.get("d", "r", "m", FRAGILE)
    assert [breaker.name for breaker in registry.breakers()] == ["a/r/m", "b/r/m", "d/r/m"]


async def test_the_bound_holds_even_if_all_are_open() -> None:
    """Then the least recently used one goes."""
    registry = BreakerRegistry(capacity=2, clock=ManualClock())
    for name in ("a", "b", "c"):
        await fail(registry.get(name, "r", "m", FRAGILE))
        assert len(registry) <= 2
    assert [breaker.name for breaker in registry.breakers()] == ["b/r/m", "c/r/m"]
