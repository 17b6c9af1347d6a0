"""Where a query may be asked, as far as refusals have told."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_client.failure import Failure
from trunkline_client.router import Router

ROUTER_OUTSIDE: Final = "RESIDENCY_ROUTER_OUTSIDE"
_MAX_REMEMBERED: Final = 1024
_MAX_NAMED: Final = 16


@dataclass(frozen=True, slots=True)
class Allowed:
    """The routers that a residency refusal named. Nothing else may see the text."""

    regions: frozenset[str]
    endpoints: tuple[str, ...]
    refusal: Failure

    @classmethod
    def read(cls, failure: Failure) -> Allowed:
        """Return what a refusal allows: lists separated by commas, at most 16 of each are read."""
        return cls(
            frozenset(_split(failure.metadata.get("allowedRegions", ""))),
            tuple(_split(failure.metadata.get("allowedEndpoints", ""))),
            failure,
        )

    def permits(self, router: Router) -> bool:
        """Return whether the router was named, by its address or by its region."""
        return router.address.target in self.endpoints or router.address.region in self.regions

    def narrowed(self, later: Allowed) -> Allowed:
        """Return what both refusals allow: a second one never widens the first."""
        return Allowed(
            self.regions & later.regions,
            tuple(endpoint for endpoint in self.endpoints if endpoint in later.endpoints),
            later.refusal,
        )

    def among(self, routers: Iterable[Router]) -> Sequence[Router]:
        """Return the routers that were named."""
        return [router for router in routers if self.permits(router)]


def _split(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()][:_MAX_NAMED]


def scope_of(collections: Iterable[str], *texts: str) -> str:
    """Return for which requests a refusal of this one may be remembered.

    Named collections are refused whatever the text. Where the policy decides, the text decides what is refused, so
    the refusal holds for that text alone: another one may belong to a collection that the router may serve.
    """
    named = sorted(set(collections))
    if named:
        return f"collections {','.join(named)}"
    joined = "\0".join(texts).encode("utf-8", "surrogatepass")
    return f"text {hashlib.sha256(joined).hexdigest()}"


class ResidencyMemory:
    """Remembers refusals for a while, so that a text is not sent out again and again.

    Bounded to 1,024 scopes, the least recently used goes first.
    """

    def __init__(self, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Allowed]] = OrderedDict()

    def recall(self, scope: str) -> Allowed | None:
        """Return what is remembered, None if nothing is or it is too old."""
        entry = self._known.get(scope)
        if entry is None:
            return None
        learned_s, allowed = entry
        if self._clock() - learned_s > self._ttl_s:
            del self._known[scope]
            return None
        self._known.move_to_end(scope)
        return allowed

    def learn(self, scope: str, allowed: Allowed) -> None:
        """Remember a refusal."""
        self._known[scope] = (self._clock(), allowed)
        self._known.move_to_end(scope)
        while len(self._known) > _MAX_REMEMBERED:
            self._known.popitem(last=False)
