"""What the services of all kinds of entries share besides their own use cases."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline_routing.control.approvals import Approvals
from trunkline_routing.control.change_lists import ChangeLists
from trunkline_routing.control.watches import Watches


@dataclass(frozen=True, slots=True)
class Accounts:
    """Changes that wait for a second person, changes as they happen, and changes that were made."""

    approvals: Approvals
    watches: Watches
    changes: ChangeLists
