"""Asks one region for several collections of a query: how new its map must be, and what fits into one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from trunkline_map.entries import CollectionEntry, RegionEntry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    CollectionNotPlaced,
    CollectionUnknown,
    DomainError,
    FieldInvalid,
    ResidencyViolation,
    TenantUnknown,
)
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.model import Gate, Hit, Query, Vectors
from trunkline_routing.edge.ports import Retrieval

BEHIND: Final = (CollectionNotPlaced, CollectionUnknown, ResidencyViolation, TenantUnknown)
"""What a region answers whose map lacks what this router knows, or which knows better."""

TOO_LARGE: Final = "limit"
"""Field that a region names if no message can carry its answer; such an answer is asked for in halves."""

Results: TypeAlias = Sequence[Sequence[Hit] | DomainError]


@dataclass(frozen=True, slots=True)
class Asking:
    """One query, ready to be sent to any region."""

    retrieval: Retrieval
    gate: Gate
    query: Query
    vectors: Vectors
    limit: int

    async def ask(self, region: RegionEntry, entries: Sequence[CollectionEntry], share: Deadline) -> Results:
        """Return each collection's hits, or why it could not be searched. Raises what concerns all of them.

        A caller's map token binds the region, too: it waits until its map has what the search rests on. Without one the
        region answers from the map that it has, so that one which is cut off from the control store goes on serving;
        only where that lacks what this router knows it is asked to catch up.
        """
        if self.gate.token_given:
            return await self._by_map(region, entries, share)
        try:
            found = list(await self._send(region, entries, b"", share))
        except BEHIND:
            return await self._by_map(region, entries, share)
        behind = [place for place, one in enumerate(found) if isinstance(one, BEHIND)]
        if behind:
            try:
                again = await self._by_map(region, [entries[place] for place in behind], share)
            except DomainError as error:
                again = (error,) * len(behind)  # the others were found
            for place, one in zip(behind, again, strict=True):
                found[place] = one
        return found

    async def _by_map(self, region: RegionEntry, entries: Sequence[CollectionEntry], share: Deadline) -> Results:
        return await self._send(region, entries, gates.token_for(self.gate, region, entries), share)

    async def _send(
        self, region: RegionEntry, entries: Sequence[CollectionEntry], map_token: bytes, share: Deadline
    ) -> Results:
        """Send one request, or two halves where the answer would be too large for a message."""
        spaces = {entry.space_id for entry in entries}
        try:
            return await self.retrieval.search(
                region,
                self.gate.tenant.tenant_id,
                [entry.collection_id for entry in entries],
                self.query,
                {space: self.vectors[space] for space in sorted(spaces) if space in self.vectors},
                limit=self.limit,
                map_token=map_token,
                deadline=share,
            )
        except FieldInvalid as error:
            half = len(entries) // 2
            if not half or TOO_LARGE not in {violation.field for violation in error.violations}:
                raise
            first = await self._send(region, entries[:half], map_token, share)
            return [*first, *await self._send(region, entries[half:], map_token, share)]
