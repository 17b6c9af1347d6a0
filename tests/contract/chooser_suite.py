"""What every outside chooser must do, whatever it says: the contract of the port, run against each adapter.

A test module gives a fixture `outside` (an `Outside`: a real server that plays a role, and a chooser that asks it).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import pytest

from trunkline_map import testing as maps
from trunkline_map.source import MapSource
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, CircuitOpen, DeadlineExceeded, DomainError
from trunkline_mesh.request import Principal, RequestScope, enter_request
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.choosers import CHOOSER_POLICY, Chooser, GuardedChooser
from trunkline_routing.edge.model import Gate

SECRET: Final = "the-caller-s-own-credential"
TEXT: Final = "why was my invoice in March so much higher"
OFFERED: Final = (("billing", "invoices and payments"), ("support", "how-to articles"))
SOON_S: Final = 10.0


@dataclass
class Said:
    """One thing that the server says of a collection."""

    name: str
    confidence: Any = 0.75
    reason: Any = "money"


@dataclass
class Role:
    """What the server plays, and what it was asked."""

    says: list[Said] = field(default_factory=lambda: [Said("billing")])
    fails: bool = False
    hangs: bool = False
    hangs_midway: bool = False
    """Sends the beginning of an answer and no more, where the protocol has such a thing; else it hangs."""
    answer_bytes: int = 0
    """Fills the answer up to this size."""
    asked: list[str] = field(default_factory=list)
    """Everything of each request as text, headers included."""


class Outside(Protocol):
    """A server, and the chooser that asks it."""

    role: Role
    chooser: Chooser

    async def stop(self) -> None:
        """Stop the server: from then on nobody listens."""


async def gate_of(
    tenant_id: str = "acme", region: str = "eu-west", tenant_in: tuple[str, ...] = ("eu", "us"), eu_only: bool = False
) -> Gate:
    """Return the gate of a tenant with two collections."""
    source: MapSource = maps.static_map(
        maps.region("eu-west", "eu"),
        maps.region("us-east", "us"),
        maps.space("minilm"),
        maps.tenant(tenant_id, *tenant_in),
        maps.collection(tenant_id, "billing", ["eu-west"], ["eu"] if eu_only else list(tenant_in)),
        maps.collection(tenant_id, "support", [region], list(tenant_in)),
    )
    return await gates.enter(
        source, tenant_id=tenant_id, region_id=region, map_token=b"", deadline=Deadline.after(SOON_S)
    )


def begin_request() -> None:
    """Let the test be a request of a caller with a credential, which must not travel on."""
    principal = Principal("ann", "acme", frozenset(), SECRET, 2e9)
    enter_request(
        RequestScope("request", 1, "/x/Search", Deadline.after(SOON_S), deadline_capped=False, principal=principal)
    )


async def choose(
    chooser: Chooser, text: str = TEXT, *, limit: int = 2, within_s: float = SOON_S, tenant_id: str = "acme"
) -> list[tuple[str, float]]:
    """Ask in a request's scope; return names with their confidences."""
    begin_request()
    gate = await gate_of(tenant_id)
    found = await chooser.choose(gate, text, OFFERED, limit=limit, deadline=Deadline.after(within_s))
    return [(one.name, one.confidence) for one in found]


class ChooserSuite:
    """The contract. Subclass it with a fixture `outside`."""

    async def test_it_names_a_collection(self, outside: Outside) -> None:
        """With its confidence and reason."""
        begin_request()
        deadline = Deadline.after(SOON_S)
        [found] = await outside.chooser.choose(await gate_of(), TEXT, OFFERED, limit=2, deadline=deadline)

        assert (found.name, found.confidence, found.reason) == ("billing", 0.75, "money")

    async def test_it_is_told_query_and_offer_and_no_credential(self, outside: Outside) -> None:
        """Nothing of the caller's travels on but the query."""
        await choose(outside.chooser)

        [asked] = outside.role.asked
        assert TEXT in asked
        assert "support" in asked
        assert SECRET not in asked

    async def test_it_may_not_know(self, outside: Outside) -> None:
        """Then it names nothing, which is no failure."""
        outside.role.says = []
        assert await choose(outside.chooser) == []

    @pytest.mark.parametrize("name", ["payroll", "", "Billing", "billing ", "../billing", "x" * 10_000])
    async def test_collections_that_were_not_offered_are_left_out(self, outside: Outside, name: str) -> None:
        """Whatever the query talked it into."""
        outside.role.says = [Said(name)]
        assert await choose(outside.chooser) == []

    @pytest.mark.parametrize(("told", "taken"), [(17.0, [1.0]), (-3.0, [0.0]), (float("nan"), []), (float("inf"), [])])
    async def test_confidences_are_probabilities(self, outside: Outside, told: float, taken: list[float]) -> None:
        """Brought into 0 to 1; what is no number says nothing."""
        outside.role.says = [Said("billing", told)]
        assert [confidence for _, confidence in await choose(outside.chooser)] == taken

    @pytest.mark.parametrize(
        "reason", [TEXT, f"because of '{TEXT.upper()}'", f"it says {TEXT[8:24]}...", "why  was\nmy invoice in"]
    )
    async def test_a_reason_that_quotes_the_query_is_dropped(self, outside: Outside, reason: str) -> None:
        """Trails never hold the query."""
        outside.role.says = [Said("billing", reason=reason)]
        begin_request()
        deadline = Deadline.after(SOON_S)
        [found] = await outside.chooser.choose(await gate_of(), TEXT, OFFERED, limit=2, deadline=deadline)
        assert found.reason == ""

    async def test_reasons_are_short_lines(self, outside: Outside) -> None:
        """Control characters and endless texts do not reach the trail."""
        outside.role.says = [Said("billing", reason="red\x1b[31m\n" + "z" * 5_000)]
        begin_request()
        deadline = Deadline.after(SOON_S)
        [found] = await outside.chooser.choose(await gate_of(), TEXT, OFFERED, limit=2, deadline=deadline)
        assert found.reason == ("red [31m " + "z" * 5_000)[:256]

    async def test_a_failure_is_the_backend_s(self, outside: Outside) -> None:
        """Whatever it says of it."""
        outside.role.fails = True
        with pytest.raises(BackendUnavailable):
            await choose(outside.chooser)

    async def test_nobody_listening_is_a_failure(self, outside: Outside) -> None:
        """As any other, or a timeout where the connection is tried again until then."""
        await outside.stop()
        with pytest.raises((BackendUnavailable, BackendTimeout)):
            await choose(outside.chooser, within_s=1.0)

    @pytest.mark.parametrize("midway", [False, True])
    async def test_a_silent_one_costs_its_share(self, outside: Outside, midway: bool) -> None:
        """Also one that falls silent in the middle of its answer."""
        outside.role.hangs, outside.role.hangs_midway = not midway, midway
        async with asyncio.timeout(SOON_S):
            with pytest.raises(BackendTimeout):
                await choose(outside.chooser, within_s=0.3)

    async def test_a_huge_answer_is_not_read(self, outside: Outside) -> None:
        """Its size is bounded before it is held."""
        outside.role.answer_bytes = 2 << 20
        with pytest.raises(BackendUnavailable):
            await choose(outside.chooser)

    async def test_without_time_nothing_is_sent(self, outside: Outside) -> None:
        """A call that could not be answered would only cost."""
        with pytest.raises(DeadlineExceeded):
            await choose(outside.chooser, within_s=0.0)
        assert outside.role.asked == []

    async def test_it_serves_whom_it_is_set_up_for_within_the_wall(self, outside: Outside) -> None:
        """It runs in the US: neither a European tenant nor one with a European collection may send queries there."""
        assert outside.chooser.serves(await gate_of())
        assert not outside.chooser.serves(await gate_of("birch"))
        assert not outside.chooser.serves(await gate_of(tenant_in=("eu",)))
        assert not outside.chooser.serves(await gate_of(eu_only=True))
        assert outside.chooser.serves(await gate_of(region="us-east", eu_only=True))

    async def test_its_breaker_opens_for_its_tenant_alone(self, outside: Outside) -> None:
        """After a few failures it is left in peace, and costs nothing."""
        guarded = GuardedChooser(outside.chooser, "chooser", BreakerRegistry())
        outside.role.fails = True
        rule = CHOOSER_POLICY.failures_in
        assert rule is not None
        for _ in range(rule.failures):
            with pytest.raises(BackendUnavailable):
                await choose(guarded)
        asked = len(outside.role.asked)

        with pytest.raises(CircuitOpen):
            await choose(guarded)

        assert len(outside.role.asked) == asked
        assert guarded.serves(await gate_of())
        with pytest.raises(DomainError) as other:
            await choose(guarded, tenant_id="cedar")
        assert not isinstance(other.value, CircuitOpen)
