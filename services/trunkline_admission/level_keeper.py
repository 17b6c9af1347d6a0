"""The levels of a region: kept in the store by whichever replica is first, by this replica alone while it is away."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from trunkline_admission.errors import AUTHORITY_AWAY
from trunkline_admission.levels import Evidence, Level, TierState, advance_all
from trunkline_admission.promise_metrics import LEVEL, LEVEL_CHANGES
from trunkline_admission.promise_records import Seen
from trunkline_admission.promise_store import PromiseStore
from trunkline_admission.windows import ReportWindows
from trunkline_mesh.background import goes_on
from trunkline_mesh.logs import get_logger
from trunkline_tiers import TierFile

TICK_S: Final = 1.0
"""Levels are judged so often."""
TURN_PART: Final = 0.5
"""Of a tick: what another replica judged less long ago is taken as it is."""

_LOG: Final = get_logger("admission.levels")


class LevelKeeper:
    """Judges all tiers once a second. Reading a level costs a dict lookup.

    All replicas judge the same sums by the same rules, and what one has written the others take over, so they agree
    within a tick. Without the store each goes on from the last common levels by what its own routers report.
    """

    def __init__(self, tiers: TierFile, store: PromiseStore, windows: ReportWindows) -> None:
        """Start with every tier NORMAL."""
        self._rules = tiers.levels
        self._store = store
        self._windows = windows
        self._states = {name: TierState() for name in tiers.by_rank}
        self._judged_at_s: float | None = None
        self.routers = 0
        """Routers that have reported lately."""
        for name in self._states:
            LEVEL.labels(name).set(Level.NORMAL)

    @property
    def states(self) -> Mapping[str, TierState]:
        """All tiers' levels, lowest rank first."""
        return self._states

    def level_of(self, tier: str) -> Level:
        """Return a tier's level; NORMAL for one that the tier file does not have."""
        state = self._states.get(tier)
        return Level.NORMAL if state is None else state.level

    async def run(self) -> None:
        """Judge once a second until cancelled."""
        while True:
            with goes_on("levels"):
                await self.tick()
            await asyncio.sleep(TICK_S)

    async def tick(self) -> None:
        """Judge once: by the store's account, or by this replica's own while the store is away."""
        try:
            seen = await self._store.seen()
            await self._judge_together(seen)
        except AUTHORITY_AWAY:
            now_s = self._store.clock.now_s()
            self.routers = self._windows.routers(now_s)
            self._judge_alone(self._windows.evidence(now_s), now_s)

    async def _judge_together(self, seen: Seen) -> None:
        self.routers = seen.routers
        kept = _read(seen.levels)
        # A store that lost its data does not make an emergency end: this replica still knows of it.
        states, judged_at_s = (self._states, self._judged_at_s) if kept is None else (self._known(kept[0]), kept[1])
        step_s = 0.0 if judged_at_s is None else seen.now_s - judged_at_s
        if seen.evidence is None or (kept is not None and 0 <= step_s < TURN_PART * TICK_S):
            self._take(states, judged_at_s)
            return
        after = advance_all(states, seen.evidence, self._rules, step_s, seen.now_s)
        if await self._store.keep_levels(seen.version, secrets.token_hex(8), _written(after, seen.now_s)):
            _tell_changes(states, after)
            self._take(after, seen.now_s)

    def _judge_alone(self, evidence: Mapping[str, Evidence] | None, now_s: float) -> None:
        step_s = 0.0 if self._judged_at_s is None else now_s - self._judged_at_s
        after = advance_all(self._states, evidence, self._rules, step_s, now_s)
        _tell_changes(self._states, after)
        self._take(after, now_s)

    def _known(self, states: Mapping[str, TierState]) -> dict[str, TierState]:
        """Return the states of the tiers that this replica's file has."""
        return {name: states.get(name, TierState()) for name in self._states}

    def _take(self, states: Mapping[str, TierState], judged_at_s: float | None) -> None:
        self._states, self._judged_at_s = dict(states), judged_at_s
        for name, state in states.items():
            LEVEL.labels(name).set(state.level)


def _tell_changes(before: Mapping[str, TierState], after: Mapping[str, TierState]) -> None:
    for name, state in after.items():
        if state.level is not before[name].level:
            LEVEL_CHANGES.labels(name, state.level.name.lower()).inc()
            _LOG.warning("level changed", tier=name, state=state.level.name, name=state.cause)


def _written(states: Mapping[str, TierState], judged_at_s: float) -> str:
    tiers = {name: asdict(state) for name, state in states.items()}
    return json.dumps({"judged_at_s": judged_at_s, "tiers": tiers}, separators=(",", ":"))


def _read(text: str) -> tuple[dict[str, TierState], float] | None:
    """Return what was kept; None for nothing and for what cannot be read, which the next judgement replaces."""
    if not text:
        return None
    try:
        kept = json.loads(text)
        return {name: _state(fields) for name, fields in kept["tiers"].items()}, float(kept["judged_at_s"])
    except (TypeError, ValueError, KeyError, AttributeError):
        _LOG.warning("kept levels cannot be read", dependency="redis")
        return None


def _state(fields: Mapping[str, Any]) -> TierState:
    return TierState(**{**fields, "level": Level(fields["level"])})
