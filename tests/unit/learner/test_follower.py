"""Following the map: which tenants come up, and which do not."""

from __future__ import annotations

from tests.unit.learner.world import DIMENSION, text_of, world

from trunkline_map.testing import collection, region, space
from trunkline_routing.learner.rounds import Follower
from trunkline_routing.learner.work_queue import WorkQueue


async def taken(queue: WorkQueue) -> list[str]:
    """Return who waits, and take them out."""
    return sorted([await queue.next() for _ in range(len(queue))])


async def test_tenants_come_up_when_what_their_heads_rest_on_changes() -> None:
    """Their policy, their collections, a space; nobody else's."""
    there = world("acme", "bolt", "plain")
    queue = WorkQueue()
    follower = Follower(there.source, queue, "eu-west")
    await there.control.put_policy("acme", text_of())
    await there.control.put_policy("bolt", text_of())
    await follower.compare()
    assert await taken(queue) == ["acme", "bolt"]
    assert follower.tenants() == {"acme", "bolt"}
    await follower.compare()
    assert len(queue) == 0

    await there.control.put_policy("bolt", text_of("automatic"))
    await follower.compare()
    assert await taken(queue) == ["bolt"]
    there.source.put(collection("acme", "billing", ["eu-west"], ["eu"], description="other"))
    await follower.compare()
    assert await taken(queue) == ["acme"]
    there.source.put(space(dimension=DIMENSION, model_revision="2"))
    await follower.compare()
    assert await taken(queue) == ["acme", "bolt"]


async def test_other_changes_of_the_map_bring_nobody_up() -> None:
    """A tenant without a policy, another region."""
    there = world("acme")
    queue = WorkQueue()
    follower = Follower(there.source, queue, "eu-west")
    await there.control.put_policy("acme", text_of())
    await follower.compare()
    await taken(queue)
    there.source.put(region("us-east", "us", learning="127.0.0.1:2"), collection("plain", "a", ["us-east"], ["us"]))
    await follower.compare()
    assert len(queue) == 0


async def test_tenants_go_to_the_learner_that_is_in_charge() -> None:
    """And are forgotten here."""
    there = world("acme")
    follower = Follower(there.source, WorkQueue(), "eu-west")
    await there.control.put_policy("acme", text_of())
    await follower.compare()
    assert follower.tenants() == {"acme"}
    other = Follower(there.source, WorkQueue(), "eu-south")
    there.source.put(region("eu-south", "eu", learning="127.0.0.1:2"))
    await follower.compare()
    await other.compare()
    assert len(follower.tenants()) + len(other.tenants()) == 1
