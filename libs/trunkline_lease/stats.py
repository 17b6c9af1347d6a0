"""What a lease holder did, for the metrics of the process that holds it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class LeaseStats:
    """Counts since the holder was made. They only grow."""

    asks: int = 0
    """Refills asked for."""
    asks_lost: int = 0
    """Asks that were never answered."""
    refusals: int = 0
    """Spends that were refused."""
    safe_spends: int = 0
    """Spends in safe mode."""
    evictions: int = 0
    """Tenants that made room for others."""
    requests_returned: int = 0
    """Requests sent back unused."""
    tokens_returned: int = 0
    """Tokens sent back unused."""
    advances: int = 0
    """Requests spent before they were granted."""
