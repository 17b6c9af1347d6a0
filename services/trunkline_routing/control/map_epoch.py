"""Use case: a new epoch, which makes every map token and page token from before invalid."""

from __future__ import annotations

import os

from trunkline_map.entries import EpochEntry
from trunkline_map.keys import EPOCH_KEY
from trunkline_map.token import EPOCH_BYTES
from trunkline_mesh.deadline import Deadline
from trunkline_routing.control.how import How
from trunkline_routing.control.map_state import MapState, Plan, Prepared
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.two_persons import NOBODY_ELSE, Act, SecondPerson


class Epoch:
    """The map's epoch."""

    def __init__(self, maps: MapStore, second: SecondPerson = NOBODY_ELSE) -> None:
        """Work on `maps`; `second` says whether a second person is needed."""
        self._maps = maps
        self._second = second

    async def renew(self, how: How, deadline: Deadline) -> bytes:
        """Give the map a fresh random epoch; return a token of it, in a dry run of the present state.

        Two at once are two epochs, one after the other: each is decided upon the one before it. Raises
        ApprovalRequired, RevisionConflict, MapUnwritable and DeadlineExceeded.
        """

        async def decide(_state: MapState) -> Plan:
            self._second.require(Act.RENEW_EPOCH, "renew the map's epoch", how)
            return Plan(puts=[EpochEntry(os.urandom(EPOCH_BYTES))])

        return (await self._maps.change([Prepared(EPOCH_KEY, [EPOCH_KEY], decide)], how, deadline)).token
