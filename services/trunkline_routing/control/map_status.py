"""Use case: how the map and its store are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_map.entries import Entry
from trunkline_map.keys import Kind
from trunkline_map.store import MemberStatus
from trunkline_map.watcher import MapWatcher
from trunkline_mesh.deadline import Deadline
from trunkline_routing.control.map_store import MapStore

MAX_MALFORMED: Final = 64
"""Malformed keys that are named; all of them are counted."""

MEMBER_TIMEOUT_S: Final = 2.0
"""A member that does not answer within it is told as not reachable."""


@dataclass(frozen=True, slots=True)
class MapStatus:
    """What there is to tell."""

    token: bytes
    revision: int
    age_s: float
    """Since the store last confirmed the map."""
    counts: Mapping[Kind, int]
    malformed: Sequence[str]
    """Keys whose values cannot be read, the first few."""
    malformed_count: int
    relists: int
    """How often the map was listed anew."""
    members: Sequence[MemberStatus]


class Status:
    """Tells of the map as this process has it."""

    def __init__(self, maps: MapStore) -> None:
        """Tell of `maps`."""
        self._maps = maps

    async def get(self, deadline: Deadline) -> MapStatus:
        """Return the status; the store may be away. Raises MapUnwritable before the first map, and DeadlineExceeded."""
        snapshot = self._maps.last_good(deadline)
        limit_s = min(MEMBER_TIMEOUT_S, deadline.remaining_s() / 2)
        members = await self._maps.kv.member_statuses(timeout_s=limit_s)
        source = self._maps.source
        # A map that nobody watches, as some tests have it, is never listed and has nothing malformed.
        malformed = sorted(source.feed.malformed) if isinstance(source, MapWatcher) else []
        return MapStatus(
            token=snapshot.token,
            revision=snapshot.revision,
            age_s=source.age_s(),
            counts=Counter(map(_kind, snapshot.entries())),
            malformed=[key.decode(errors="replace") for key in malformed[:MAX_MALFORMED]],
            malformed_count=len(malformed),
            relists=source.relists if isinstance(source, MapWatcher) else 0,
            members=members,
        )


def _kind(entry: Entry) -> Kind:
    return entry.key.kind
