"""After everything that was done to the stack: who lives, and what the logs say."""

from __future__ import annotations

from tests.e2e.place import Place

from trunkline_local import ProcessState


async def test_nothing_died_that_was_not_killed(place: Place) -> None:
    """No process ended by itself, whatever was sent to it and taken away from it."""
    assert [each.name for each in place.stack.state.processes if each.state is ProcessState.DEAD] == []
