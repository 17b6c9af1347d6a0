"""Laws of lending between pools under any order of draws and returns, kept account of beside the script."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.quota_subject import NOON_S, pool_tiers
from tests.sim.lua_store import LuaStore

from trunkline_admission.pool_config import PoolConfig
from trunkline_admission.pool_share import Piece

POOLS = {
    "low": {"per_s": 1.0, "lendable": 100.0, "borrowing": 0.0},
    "mid": {"per_s": 2.0, "lendable": 60.0, "borrowing": 50.0},
    "high": {"per_s": 3.0, "lendable": 40.0, "borrowing": 100.0},
}
NAMES = tuple(POOLS)
BURST_S = 50.0
BURST = {"low": 50, "mid": 100, "high": 150}
KEPT = {
    ("low", "mid"): 0, ("low", "high"): 0,
    ("mid", "low"): 70, ("mid", "high"): 40,
    ("high", "low"): 120, ("high", "mid"): 120,
}  # fmt: skip
"""What a lender keeps from a borrower: all but the lendable part, or but half of it where the borrower ranks lower."""
MAY_BORROW = {"low": 0.0, "mid": 0.5, "high": 1.0}
SERVICE_PER_S = 5.8
TINY = 1e-6

steps = st.one_of(
    st.tuples(st.just("draw"), st.sampled_from(NAMES), st.integers(0, 400)),
    st.tuples(st.just("back"), st.sampled_from(NAMES), st.integers(0, 400)),
    st.tuples(st.just("wait"), st.floats(0, 30)),
    st.tuples(st.just("jump"), st.sampled_from([-3600.0, 3600.0])),
)


@dataclass
class World:
    """The pools, their time, and what each tier holds of them."""

    at_s: float = float(NOON_S)
    flowed_s: float = 0.0
    held: dict[str, Piece] = field(default_factory=lambda: {name: Piece() for name in NAMES})

    def __post_init__(self) -> None:
        self.store = LuaStore(lambda: self.at_s)
        self.config = PoolConfig(pool_tiers(POOLS, burst_s=BURST_S, service_per_s=SERVICE_PER_S))

    def ask(self, tier: str, wanted: int, back: Piece) -> dict[str, int]:
        """Return what was drawn from each pool; check what a single answer must keep to."""
        answer = self.store.run_now("pool", ["p"], self.config.arguments("take", 0, tier, wanted, back))
        drawn, levels = dict(zip(NAMES, answer[4::2], strict=True)), dict(zip(NAMES, answer[5::2], strict=True))
        assert answer[0] == sum(drawn.values()) <= wanted
        assert (answer[1] != 0) == (wanted > 0 and answer[0] == 0)
        for lender in NAMES:
            assert levels[lender] >= 0
            if lender != tier and drawn[lender]:
                assert levels[lender] >= KEPT[lender, tier]
                assert levels[tier] == 0  # its own first
        return drawn

    def out(self) -> Counter[str]:
        """Return what is drawn from each pool and not back, by pool and by borrower."""
        total: Counter[str] = Counter()
        for tier, piece in self.held.items():
            total[tier] += piece.own
            total["service"] += piece.total
            for lender, lent in piece.lent.items():
                total[lender] += lent
                total[f"borrowed by {tier}"] += lent
        return total


@settings(max_examples=60)
@given(st.lists(steps, max_size=40))
def test_no_pool_gives_more_than_it_has_and_no_lender_what_it_keeps(history: list[tuple]) -> None:  # type: ignore[type-arg]  # of several shapes
    """Draws stay within each pool, all together, the borrower's limit and the lender's floor, whatever comes back."""
    world = World()
    for step in history:
        if step[0] in ("wait", "jump"):
            world.at_s += step[1]
            world.flowed_s += max(0.0, step[1])
            continue
        _, tier, count = step
        if step[0] == "draw":
            drawn = world.ask(tier, count, Piece())
            world.held[tier].add(Piece(drawn.pop(tier), drawn))
        else:
            world.ask(tier, 0, world.held[tier].take(count))
        out = world.out()
        for name in NAMES:
            assert out[name] <= BURST[name] + POOLS[name]["per_s"] * world.flowed_s + TINY
            may = MAY_BORROW[name] * (BURST[name] + POOLS[name]["per_s"] * world.flowed_s)
            assert out[f"borrowed by {name}"] <= may + TINY
        assert out["service"] <= SERVICE_PER_S * (BURST_S + world.flowed_s) + TINY


def test_what_is_unused_is_lent_whatever_the_rank() -> None:
    """A tier gets its own, then what others lend, lowest rank first, until all that the region has is gone."""
    world = World()

    drawn = [world.ask("high", 1000, Piece()), world.ask("mid", 1000, Piece())]

    assert drawn == [{"low": 50, "mid": 60, "high": 150}, {"low": 0, "mid": 30, "high": 0}]
