"""Port: somebody outside who names a query's collections, and the breaker that stands before each of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol

from trunkline_mesh.breaker_policy import BreakerPolicy, FailureCount
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.deadline import Deadline
from trunkline_policy.results import Candidate
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.model import Gate

MAX_REASON_CHARS: Final = 256
"""Longest reason that is taken from outside."""
_QUOTE_CHARS: Final = 12
"""A reason that has this many characters in a row of the query quotes it; a shorter query is quoted as a whole."""

CHOOSER_POLICY: Final = BreakerPolicy(
    failures_in=FailureCount(5, 30.0), min_calls=10, ratio=0.5, rest_s=30.0, slow_call_s=10.0, fair_timeout_s=0.05
)
"""Somebody else's service: 5 failures in 30 s, or half of at least 10 calls in 10 s; rests 30 s. The deadline share of
the policy bounds a call, so that slowness shows as a timeout; what is below 50 ms is no fair trial."""


class Chooser(Protocol):
    """Names collections in place of the policy's cascade, which decides wherever this fails."""

    def serves(self, gate: Gate) -> bool:
        """Return True if an operator has set it up for this tenant, and it lies within the tenant's jurisdictions."""

    async def choose(
        self, gate: Gate, text: str, offered: Sequence[tuple[str, str]], *, limit: int, deadline: Deadline
    ) -> Sequence[Candidate]:
        """Return at most `limit` of the `offered` (collection, description), surest first; empty if it cannot tell.

        Raises BackendUnavailable, BackendTimeout, CircuitOpen, DeadlineExceeded. To be called only where it `serves`.
        """


class GuardedChooser:
    """A chooser behind breakers: one for each tenant, as another tenant's may be another service."""

    def __init__(self, inner: Chooser, name: str, breakers: BreakerRegistry) -> None:
        """Guard `inner`; `name` stands in the breakers' names and in metrics."""
        self._inner = inner
        self._name = name
        self._breakers = breakers

    def serves(self, gate: Gate) -> bool:
        """As `Chooser.serves`; an open breaker changes nothing about it."""
        return self._inner.serves(gate)

    async def choose(
        self, gate: Gate, text: str, offered: Sequence[tuple[str, str]], *, limit: int, deadline: Deadline
    ) -> Sequence[Candidate]:
        """As `Chooser.choose`; raises CircuitOpen while it rests."""
        breaker = self._breakers.get(self._name, gate.tenant.tenant_id, "Choose", CHOOSER_POLICY)
        return await breaker.call(lambda: self._inner.choose(gate, text, offered, limit=limit, deadline=deadline))


def within_wall(gate: Gate, jurisdiction: str) -> bool:
    """Return True if a query may go to that jurisdiction, whichever collection that is read here it may belong to."""
    if jurisdiction not in gate.tenant.jurisdictions:
        return False
    entries = gate.snapshot.collections_of(gate.tenant.tenant_id)
    return all(jurisdiction in entry.jurisdictions for entry in entries if gates.readable(gate, entry))


def believed(
    told: Iterable[tuple[str, float, str]], text: str, offered: Collection[str], *, limit: int
) -> tuple[Candidate, ...]:
    """Return what may be believed of (collection, confidence, reason) from outside, surest first.

    Collections that were not offered, repeated ones and confidences that are no number are left out; confidences are
    brought into 0 to 1; reasons are cut, and left out where they quote the query.
    """
    found: dict[str, Candidate] = {}
    for name, confidence, reason in told:
        if name in offered and name not in found and math.isfinite(confidence):
            found[name] = Candidate(name, min(1.0, max(0.0, confidence)), safe_reason(reason, text))
    return tuple(sorted(found.values(), key=lambda one: -one.confidence)[:limit])


def safe_reason(reason: str, text: str) -> str:
    """Return a reason from outside as it may stand in a trail: one line, cut, empty where it quotes the query."""
    line = " ".join("".join(each if each.isprintable() else " " for each in reason[: 4 * MAX_REASON_CHARS]).split())
    query = " ".join(text.split()).casefold()
    width = min(_QUOTE_CHARS, len(query))
    folded = line.casefold()
    quotes = width and any(folded[at : at + width] in query for at in range(len(folded) - width + 1))
    return "" if quotes else line[:MAX_REASON_CHARS]
