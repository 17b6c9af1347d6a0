"""The lanes in use: for each tenant its live policy and its rollout, held until the map's pointer changes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from trunkline_map.entries import PolicyPointer, RolloutEntry
from trunkline_mesh.deadline import Deadline
from trunkline_routing.edge.head_book import HeadBook
from trunkline_routing.edge.model import Gate
from trunkline_routing.edge.policy_book import PolicyBook, decides
from trunkline_routing.edge.prepared_policy import Lane

WARM_S: Final = 20.0
"""Time that making a changed policy ready may take."""


class Lanes:
    """Finds the lane of a request with two look-ups, once its policy is ready."""

    def __init__(self, policies: PolicyBook, heads: HeadBook, *, capacity: int) -> None:
        """Hold the lanes of at most `capacity` tenants; heads are made ready ahead where a policy in use changes."""
        self._policies = policies
        self._heads = heads
        self._capacity = capacity
        self._live: OrderedDict[str, tuple[PolicyPointer, Lane]] = OrderedDict()
        self._rollouts: OrderedDict[str, tuple[PolicyPointer, Lane]] = OrderedDict()

    async def live(self, gate: Gate, pointer: PolicyPointer, deadline: Deadline) -> Lane:
        """Return the lane of the tenant's live policy. Raises domain errors, TimeoutError."""
        held = self._live.get(pointer.tenant_id)
        if held is not None and held[0] is pointer:
            self._live.move_to_end(pointer.tenant_id)
            return held[1]
        prepared = await self._policies.get(gate.region.jurisdiction, pointer, deadline)
        lane = Lane(prepared, pointer.digest, pointer.version, pointer.heads)
        self._hold(self._live, pointer, lane)
        return lane

    async def rollout(self, gate: Gate, pointer: PolicyPointer, entry: RolloutEntry, deadline: Deadline) -> Lane:
        """Return the lane of a rollout's policy. Raises domain errors, TimeoutError."""
        held = self._rollouts.get(pointer.tenant_id)
        if held is not None and held[0] is pointer:
            return held[1]
        prepared = await self._policies.rollout(gate.region.jurisdiction, pointer.tenant_id, entry, deadline)
        lane = Lane(prepared, entry.digest, pointer.version, entry.heads, entry.rollout_id)
        self._hold(self._rollouts, pointer, lane)
        return lane

    def _hold(self, lanes: OrderedDict[str, tuple[PolicyPointer, Lane]], pointer: PolicyPointer, lane: Lane) -> None:
        lanes[pointer.tenant_id] = (pointer, lane)
        lanes.move_to_end(pointer.tenant_id)
        while len(lanes) > self._capacity:
            lanes.popitem(last=False)

    async def warm(self, gate: Gate, pointer: PolicyPointer) -> None:
        """Make a policy ready before it is asked for, its rollout's too. Raises domain errors, TimeoutError."""
        deadline = Deadline.after(WARM_S)
        lanes = [await self.live(gate, pointer, deadline)]
        if pointer.rollout is not None and decides(pointer.rollout):
            lanes.append(await self.rollout(gate, pointer, pointer.rollout, deadline))
        collections = gate.snapshot.collections_of(pointer.tenant_id)
        for lane in lanes:
            space = lane.space(gate, collections)
            if space is not None:
                await self._heads.warm(gate, lane, space)
