"""How much each tenant may have noted."""

from __future__ import annotations

from trunkline_usage.note_bounds import STRANGERS_BURST, TENANT_BURST, TENANT_PER_S, NoteBounds


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def noted(bounds: NoteBounds, who: str, tries: int = 3000) -> int:
    return sum(bounds.may_note(who) for _ in range(tries))


def test_one_tenant_takes_nothing_from_another() -> None:
    """Nor from strangers, nor they from it."""
    bounds = NoteBounds(clock=Clock())
    assert [noted(bounds, who) for who in ("acme", "zeta", "", "acme")] == [
        TENANT_BURST,
        TENANT_BURST,
        STRANGERS_BURST,
        0,
    ]


def test_what_was_spent_comes_back_with_time() -> None:
    """At the rate of a tenant."""
    clock = Clock()
    bounds = NoteBounds(clock=clock)
    noted(bounds, "acme")
    clock.now_s += 2.0
    assert noted(bounds, "acme") == 2 * TENANT_PER_S


def test_tenants_that_are_told_apart_are_bounded() -> None:
    """Who was not heard of for longest is forgotten first."""
    bounds = NoteBounds(max_tenants=2, clock=Clock())
    for who in ("acme", "zeta"):
        noted(bounds, who)
    bounds.may_note("acme")
    bounds.may_note("kiwi")
    assert (noted(bounds, "acme"), noted(bounds, "zeta")) == (0, TENANT_BURST)
    assert len(bounds._tenants) == 2
