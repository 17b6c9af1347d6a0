"""What a tenant's decisions may cost on the mean, in this router."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_TENANTS: Final = 4_096
"""Accounts kept; the least recently used is forgotten, and begins anew."""
EMBEDDING_COST: Final = 1.0
"""Cost units of the semantic step: one embedding."""
HEAD_START: Final = 0.1
"""Part of 1,000 decisions' budget that an account begins with, so that a tenant's first queries get their steps."""


class DecisionBudget:
    """An account for each tenant: every decision that is made earns a thousandth of `cost_per_1000`, dear steps spend.

    So over any `n` decisions of a router no more than `(n + 1000) * cost_per_1000 / 1000` is spent, and a tenant that
    asks for little saves up for at most 1,000 decisions. Remembered decisions earn and spend nothing.
    """

    def __init__(self) -> None:
        """Begin without accounts."""
        self._accounts: OrderedDict[str, float] = OrderedDict()

    def earn(self, tenant_id: str, cost_per_1000: float) -> None:
        """Note that a decision is being made."""
        units = self._accounts.get(tenant_id, HEAD_START * cost_per_1000) + cost_per_1000 / 1000
        self._accounts[tenant_id] = min(units, cost_per_1000)
        self._accounts.move_to_end(tenant_id)
        while len(self._accounts) > MAX_TENANTS:
            self._accounts.popitem(last=False)

    def spend(self, tenant_id: str, units: float) -> bool:
        """Take what a step costs; False, and nothing is taken, if the account does not hold it."""
        held = self._accounts.get(tenant_id, 0.0)
        # Sums of thousandths are not exact; a millionth of a unit is nobody's loss.
        if units > held + 1e-6:
            return False
        self._accounts[tenant_id] = held - units
        return True
