"""Metrics of permits and leases, with their children bound once: labels cost more than the count."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from trunkline_admission.metrics import DECISIONS, TOKENS
from trunkline_mesh.tallies import counter

if TYPE_CHECKING:
    from trunkline_mesh.tallies import Count

PERMITS: Final = counter("admission_permits", "Permits by how they ended.", ("end",))
SETTLED: Final = PERMITS.labels("settled")
CANCELLED: Final = PERMITS.labels("cancelled")
EXPIRED: Final = PERMITS.labels("expired")
CROWDED_OUT: Final = PERMITS.labels("crowded_out")
RESERVED_TOKENS: Final = TOKENS.labels("reserved")
SETTLED_BACK_TOKENS: Final = TOKENS.labels("settled_back")
EXPIRED_BACK_TOKENS: Final = TOKENS.labels("expired_back")
LEASED_TOKENS: Final = TOKENS.labels("leased")


@lru_cache(maxsize=1024)
def decision(method: str, outcome: str, source: str, tier: str) -> Count:
    """Return the count of one kind of decision. Tiers are of the tier file, so the kinds are few."""
    return DECISIONS.labels(method, outcome, source, tier)


@lru_cache(maxsize=256)
def admitted(tier: str, *, local: bool) -> Count:
    """Return the count of admissions of a tier."""
    return decision("admit", "granted", "LOCAL" if local else "AUTHORITY", tier)
