"""A region's GPUs: more while they are full, fewer while they idle, and spot ones that go with two minutes' notice."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.sim.loop import VirtualLoop
from tests.sim.server import Server

LOOK_EVERY_S: Final = 10.0
SMOOTHING: Final = 1 / 3
"""Of the measured utilisation: three looks count for most."""
GROW_ABOVE: Final = 0.8
SHRINK_BELOW: Final = 0.4
AIM: Final = 0.6
"""Utilisation that a change of the fleet aims at."""
SHRINK_AFTER_S: Final = 300.0
"""How long a fleet must idle before it loses a GPU."""
PROVISION_S: Final = 90.0
"""From the order of a GPU until it serves."""
NOTICE_S: Final = 120.0
"""From a spot GPU's notice until it is taken away."""
LAST_CALLS_S: Final = 10.0
"""Before that it gets no new work: longer than nearly all calls take."""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """How large a fleet is and may become."""

    slots_per_gpu: int
    least: int
    most: int
    spot_part: float = 0.5
    """Of the GPUs above the least."""
    spot_life_s: float = 4 * 3600.0
    """Mean time until a spot GPU is taken away."""


@dataclass(slots=True, eq=False)
class Gpu:
    """One GPU and when it ends, if that is known."""

    server: Server
    spot: bool
    leaving: bool = False


class Fleet:
    """Grows and shrinks by utilisation. Work goes to the GPU with the least pressure."""

    def __init__(
        self, plan: FleetPlan, busy_slots: float, make: Callable[[int], Server], loop: VirtualLoop, rng: random.Random
    ) -> None:
        """Begin with what `busy_slots` need. `make` returns the server of the GPU of that number."""
        self.gpus: list[Gpu] = []
        self.crunch = False
        """True while no new GPU can be had."""
        self.lost = 0
        self.losses = 0
        """Spot GPUs taken away."""
        self.all_servers: list[Server] = []
        self._plan = plan
        self._make = make
        self._loop = loop
        self._rng = rng
        self._ordered = 0
        self._made = 0
        self._utilisation = AIM
        self._idle_since_s: float | None = None
        wanted = math.ceil(busy_slots / AIM / plan.slots_per_gpu)
        for number in range(min(plan.most, max(plan.least, wanted))):
            self._arrive(spot=number >= plan.least and rng.random() < plan.spot_part)

    @property
    def slots(self) -> int:
        """Slots of the GPUs that take work."""
        return sum(gpu.server.slots for gpu in self.gpus if not gpu.leaving)

    def utilisation(self) -> float:
        """Return the slots held and wanted over those there are."""
        wanted = sum(gpu.server.book.running + gpu.server.book.waiting for gpu in self.gpus)
        return wanted / max(1, sum(gpu.server.slots for gpu in self.gpus))

    def pick(self) -> Server:
        """Return the server with the least pressure of all, or of two drawn ones where there are many."""
        gpus = self.gpus
        if len(gpus) > 4:
            number = len(gpus)
            drawn = [gpus[int(self._rng.random() * number)] for _ in range(2)]
            gpus = gpus if drawn[0].leaving and drawn[1].leaving else drawn
        least: Server | None = None
        pressure = 0.0
        for gpu in gpus:
            mine = gpu.server.wanted_part()
            if not gpu.leaving and (least is None or mine < pressure):
                least, pressure = gpu.server, mine
        assert least is not None, "the least GPUs are no spot ones and stay"
        return least

    def begin(self) -> None:
        """Look at the utilisation from now on."""
        self._loop.call_later(LOOK_EVERY_S, self._look)

    def begin_crunch(self) -> None:
        """Give every spot GPU its notice; no new GPU comes from now on."""
        self.crunch = True
        for gpu in self.gpus:
            if gpu.spot:
                self._notice(gpu)
        for gpu in self.gpus:
            if gpu.spot:
                self._notice(gpu)

    def end_crunch(self) -> None:
        """New GPUs can be had again."""
        self.crunch = False

    def _look(self) -> None:
        self._loop.call_later(LOOK_EVERY_S, self._look)
        self._utilisation += SMOOTHING * (self.utilisation() - self._utilisation)
        now_s, staying = self._loop.time(), sum(not gpu.leaving for gpu in self.gpus)
        wanted = max(1, round(self._utilisation * len(self.gpus) / AIM))
        if self._utilisation > GROW_ABOVE and not self.crunch:
            for _ in range(min(wanted, self._plan.most) - staying - self._ordered):
                self._order()
        if self._utilisation >= SHRINK_BELOW or staying <= self._plan.least:
            self._idle_since_s = None
        elif self._idle_since_s is None:
            self._idle_since_s = now_s
        elif now_s - self._idle_since_s >= SHRINK_AFTER_S:
            self._idle_since_s = None
            self._retire(next(gpu for gpu in reversed(self.gpus) if not gpu.leaving))

    def _order(self) -> None:
        self._ordered += 1
        self._loop.call_later(PROVISION_S, self._deliver)

    def _deliver(self) -> None:
        self._ordered -= 1
        if not self.crunch:
            self._arrive(spot=self._rng.random() < self._plan.spot_part)

    def _arrive(self, *, spot: bool) -> None:
        self._made += 1
        gpu = Gpu(self._make(self._made), spot)
        self.gpus.append(gpu)
        self.all_servers.append(gpu.server)
        if spot:
            self._loop.call_later(self._rng.expovariate(1 / self._plan.spot_life_s), self._notice, gpu)

    def _notice(self, gpu: Gpu) -> None:
        """Begin a spot GPU's last two minutes: another one is ordered at once."""
        if gpu not in self.gpus or gpu.leaving:
            return
        if not self.crunch and len(self.gpus) + self._ordered <= self._plan.most:
            self._order()
        self.losses += 1
        self._loop.call_later(NOTICE_S - LAST_CALLS_S, self._retire, gpu)
        self._loop.call_later(NOTICE_S, self._vanish, gpu)

    def _retire(self, gpu: Gpu) -> None:
        """Give a GPU no more work; it goes when it has done what it has."""
        if gpu.leaving:
            return
        gpu.leaving = True
        self._go_when_done(gpu)

    def _go_when_done(self, gpu: Gpu) -> None:
        if gpu not in self.gpus:
            return
        book = gpu.server.book
        if book.running or book.waiting:
            self._loop.call_later(1.0, self._go_when_done, gpu)
        else:
            self.gpus.remove(gpu)

    def _vanish(self, gpu: Gpu) -> None:
        if gpu in self.gpus:
            self.gpus.remove(gpu)
            self.lost += gpu.server.book.running
            gpu.server.vanish()
