"""The port between a lease holder and whoever grants: asks go out, answers come back later, or are lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline_lease.charge import NOTHING, Charge
from trunkline_lease.refused import Refused
from trunkline_lease.spent import Spent


@dataclass(frozen=True, slots=True)
class Ask:
    """One wish for a tenant's quota, or its return."""

    tenant_id: str
    wanted: Charge
    asked_at_s: float
    """When it was made, in the holder's time. The validity of its grant counts from here: never later than at the one
    who grants."""
    returned: Charge = NOTHING
    """Unused and given back; put back before anything is granted."""
    key: str = ""
    """Subject of a credential with limits of its own; empty for the tenant's lease."""
    advanced: Charge = NOTHING
    """Spent before it was granted, and to be booked now."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an ask got."""

    granted: Charge
    """At most what was wanted; neither is 0 unless it was not wanted, or nothing at all was granted."""
    valid_s: float
    """How long the grant may be spent."""
    spent: Spent
    """What spenders of this grant are told."""
    refused: Refused | None = None
    """Why nothing was granted, though something was wanted."""


class AskKeeper(Protocol):
    """Who learns what became of each ask."""

    def answered(self, ask: Ask, answer: Answer) -> None:
        """Take the answer to `ask`. Must not raise and not wait."""

    def lost(self, asks: Sequence[Ask]) -> None:
        """Learn that these get no answer. Must not raise and not wait."""


class Asks(Protocol):
    """A way to the one who grants. `LeaseStream` is one over gRPC."""

    @property
    def healthy(self) -> bool:
        """True while it is worth waiting for an answer."""

    @property
    def connected(self) -> bool:
        """True while an ask may be sent, even if nobody should wait for its answer."""

    def send(self, ask: Ask) -> bool:
        """Pass an ask on without waiting; False, and nothing sent, if there is no room or the end has begun."""

    def doubt(self) -> None:
        """Have nobody wait for answers until one comes: the last one took too long."""

    def give_up_if_stuck(self) -> None:
        """Look, now and then, whether answers still come; if not, begin anew."""

    def finish(self) -> None:
        """Take no more asks; `run` ends once what is under way is answered."""

    async def run(self) -> None:
        """Answer until `finish`, or until cancelled."""
