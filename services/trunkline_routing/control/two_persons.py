"""Which acts need a second person. What was asked for and approved is kept by `approvals.py`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from trunkline_mesh.errors import ApprovalRequired
from trunkline_routing.control.how import How


class Act(StrEnum):
    """An act that the setting `two_person_acts` may name."""

    DRAIN_REGION = "drain-region"
    UNDRAIN_REGION = "undrain-region"
    PUT_REGION_STATE = "put-region-state"
    """Any other change of an existing region's state."""
    DELETE_REGION = "delete-region"
    RENEW_EPOCH = "renew-epoch"


_STATES: Final = frozenset({Act.DRAIN_REGION, Act.UNDRAIN_REGION})


class SecondPersonNeeded(ApprovalRequired):
    """A decision that a second person must approve before it is written; everything else was checked."""

    def __init__(self, summary: str) -> None:
        """`summary` tells the act in words made of ids."""
        super().__init__()
        self.summary = summary


class SecondPerson:
    """Asked by decisions, after all other checks, whether they may go on."""

    def __init__(self, acts: Iterable[Act] = ()) -> None:
        """Need a second person for `acts`; a drain that needs one is not to be had by writing the region's state."""
        named = frozenset(acts)
        self._acts = named | {Act.PUT_REGION_STATE} if named & _STATES else named

    def require(self, act: Act, summary: str, how: How) -> None:
        """Raise SecondPersonNeeded if `act` needs an approval and `how` brings none. A dry run needs none."""
        if act in self._acts and how.approved is None and not how.dry_run:
            raise SecondPersonNeeded(summary)


NOBODY_ELSE: Final = SecondPerson()
"""No act needs a second person."""


def parse_acts(text: str) -> frozenset[Act]:
    """Return the acts that a comma-separated list names. Raises ValueError for one that is none."""
    return frozenset(Act(word.strip()) for word in text.split(",") if word.strip())
