"""Commands to the processes of a stack that runs: by name, one or several at one moment, or a whole region."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace

from trunkline_local.addresses import Listener
from trunkline_local.errors import LocalError, ProcessUnknownError, RegionUnknownError
from trunkline_local.plan import Site, plan_service, service_seats
from trunkline_local.ports import PortAllocator
from trunkline_local.roster import Member, Roster
from trunkline_local.spec import Service


class Steering(ABC):
    """Kill, pause, resume and start what a stack consists of. Base of `LocalStack`; every method is harmless to repeat.

    A process has a name, for example `etcd-0`, `triton`, `control` or `us-east/retrieval`; with `Layout.PER_REGION` a
    region's five services are one process, `us-east/services`. Signals go to a process and all its children, such as
    the vector engine's workers. Unknown names raise ProcessUnknownError and unknown regions RegionUnknownError before
    anything is done.
    """

    @abstractmethod
    def _running(self) -> tuple[Site, Roster]:
        """Return what was started; raise LocalError if nothing was."""

    @abstractmethod
    def _free_ports(self) -> PortAllocator:
        """Return where further ports come from."""

    def names(self, region_id: str | None = None) -> tuple[str, ...]:
        """Return the names of a region's processes, by default of all, in the order in which they were planned."""
        members = self._running()[1].members if region_id is None else self._region(region_id)
        return tuple(member.plan.name for member in members)

    async def kill(self, *names: str) -> None:
        """Kill processes at one moment (SIGKILL), frozen ones too; return when they are gone."""
        await self._running()[1].kill(self._named(names))

    def pause(self, *names: str) -> None:
        """Freeze processes (SIGSTOP): their connections stay open and nothing answers."""
        self._running()[1].pause(self._named(names))

    def resume(self, *names: str) -> None:
        """Let frozen processes go on (SIGCONT)."""
        self._running()[1].resume(self._named(names))

    async def kill_region(self, region_id: str) -> None:
        """Kill all processes of a region, workers and Valkey too, at one moment (SIGKILL)."""
        await self._running()[1].kill(self._region(region_id))

    async def stop_region(self, region_id: str) -> None:
        """Stop all processes of a region in order: SIGTERM, bounded wait, SIGKILL."""
        await self._running()[1].stop(self._region(region_id))

    def pause_region(self, region_id: str) -> None:
        """Freeze all processes of a region (SIGSTOP): connections stay open, nothing answers."""
        self._running()[1].pause(self._region(region_id))

    def resume_region(self, region_id: str) -> None:
        """Let a frozen region go on (SIGCONT)."""
        self._running()[1].resume(self._region(region_id))

    async def start_region(self, region_id: str) -> None:
        """Start what does not run of a region, on the same ports and data, and return when it answers.

        Raises ChildDiedError or NotReadyError.
        """
        await self._running()[1].start_ended(self._region(region_id))

    async def add(self, name: str, region_id: str, service: Service) -> Listener:
        """Start a further process of a region's service, such as a second router; return where it listens.

        It belongs to the region from then on. The map does not know it unless somebody writes it there. Raises
        LocalError if the name is taken, ChildDiedError or NotReadyError.
        """
        site, roster = self._running()
        self._region(region_id)
        if name in self.names():
            raise LocalError(f"a process is called {name} already")
        [seat] = [
            each
            for each in service_seats(site)
            if (each.region_id, each.service, each.learner) == (region_id, service, False)
        ]
        listener = Listener.take(self._free_ports())
        member = roster.add(plan_service(site, name, replace(seat, listener=listener)))
        await roster.start_ended([member])
        return listener

    def _named(self, names: Iterable[str]) -> Sequence[Member]:
        known = {member.plan.name: member for member in self._running()[1].members}
        wanted = tuple(names)
        if unknown := [name for name in wanted if name not in known]:
            raise ProcessUnknownError(f"no process {', '.join(unknown)}; there are {', '.join(known)}")
        return [known[name] for name in wanted]

    def _region(self, region_id: str) -> tuple[Member, ...]:
        site, roster = self._running()
        members = roster.of_region(region_id)
        if not members:
            known = ", ".join(region.region_id for region in site.spec.regions)
            raise RegionUnknownError(f"no region {region_id}; there are {known}")
        return members
