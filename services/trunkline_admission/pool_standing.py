"""What a replica knows of one tier's pool: its share, and what the last answers told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from trunkline_admission.lent_out import LentOut
from trunkline_admission.pool_share import PoolShare
from trunkline_admission.quota import Scope


@dataclass(slots=True)
class Standing:
    """What the last answers told of one tier."""

    share: PoolShare
    lent_out: LentOut
    level: int = 0
    level_at_s: float = float("-inf")
    dry_until_s: float = float("-inf")
    back_at_s: float = 0.0
    """When an empty pool holds one again."""
    refused_by: Scope = Scope.TIER
    overdrawn: int = 0
    """Requests that were granted although the pool was dry, and that it does not know of yet."""
    waiting: int = 0
    """Requests that asks wait for: the next draw is for all of them."""
    drawing: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
