"""Refusals that end before their method is reached."""

from __future__ import annotations

from tests.unit.routing.test_audited import caller
from tests.unit.routing.world import EU, TENANT, World

from trunkline_mesh import errors
from trunkline_mesh.request import Principal
from trunkline_usage.note_bounds import STRANGERS_BURST, TENANT_BURST
from trunkline_usage.turned_away import TurnedAway, jurisdiction_by_map


def ear(world: World) -> TurnedAway:
    return TurnedAway(world.audit, EU, jurisdiction_by_map(world.map, EU), clock=lambda: 100.0)


def test_a_refusal_that_nobody_else_tells_is_noted_without_a_query() -> None:
    """Such as that of a full queue: who was refused, where and why."""
    world = World()
    caller()
    ear(world)(errors.Overloaded(retry_delay_s=1.0))
    [note] = world.audit.notes
    assert (note["tenant_id"], note["caller"], note["outcome"]) == (TENANT, "tester", "OVERLOADED")
    assert (note["query"], list(note["collections"]), note["region"], note["jurisdiction"]) == (None, [], EU, "eu")


def test_what_another_account_tells_is_not_told_twice() -> None:
    """A search notes its own refusals."""
    world = World()
    caller().noted = True
    ear(world)(errors.QuotaExhausted())
    assert world.audit.notes == []


def test_strangers_cannot_fill_the_disk() -> None:
    """Anybody can be refused for a missing credential."""
    world = World()
    caller().principal = None
    heard = ear(world)
    for _ in range(int(STRANGERS_BURST) + 50):
        heard(errors.CredentialMissing())
    assert len(world.audit.notes) == STRANGERS_BURST
    assert {note["outcome"] for note in world.audit.notes} == {"CREDENTIAL_MISSING"}


def test_one_tenant_cannot_fill_the_disk() -> None:
    """What it is refused beyond a bound is only counted; an operator, of no tenant, is heard beside strangers."""
    world = World()
    heard = ear(world)
    made = caller()
    for _ in range(int(TENANT_BURST) + 50):
        heard(errors.Overloaded())
    assert len(world.audit.notes) == TENANT_BURST
    made.principal = None
    for _ in range(int(STRANGERS_BURST) + 50):
        heard(errors.CredentialMissing())
    assert len(world.audit.notes) == TENANT_BURST + STRANGERS_BURST
    made.principal = Principal("operator", None, frozenset(), "", 0.0)
    heard(errors.Overloaded())
    assert len(world.audit.notes) == TENANT_BURST + STRANGERS_BURST + 1
