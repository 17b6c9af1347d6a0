"""A whole local stack: regions of five services and a Valkey each, over one etcd, one Triton and one control role."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from trunkline_local.addresses import Addresses
from trunkline_local.errors import ChildCrashedError, LocalError, PortTakenError
from trunkline_local.host import ProcessHost
from trunkline_local.identity import DevIdentity
from trunkline_local.logfile import keep_trimmed
from trunkline_local.plan import Site, plan_stack, service_seats
from trunkline_local.ports import PortAllocator
from trunkline_local.proc import ProcessMark
from trunkline_local.progress import OnDeath, OnProgress, Progress
from trunkline_local.readiness import eventually, grpc_serving
from trunkline_local.report import describe
from trunkline_local.roster import Member, Roster
from trunkline_local.run_dir import RunDir
from trunkline_local.secret_keys import write_decision_keys
from trunkline_local.spec import StackSpec
from trunkline_local.state import Phase, ProcessState, StackState
from trunkline_local.steering import Steering
from trunkline_local.tasks import end_tasks, keep_task
from trunkline_local.tokens import keep_tokens_fresh, write_tokens

START_ATTEMPTS: Final = 3
"""A stack whose ports are taken by a foreign program in the meantime starts again with others; one of whose programs
crashed while it started, too."""


class LocalStack(Steering):
    """Starts, disturbs and stops a stack. Use `open_stack`, or `start` and `stop` in a `finally`; main thread only.

    Only processes are its business: regions, tenants and collections are written to the map by the caller, through the
    control role. A process that dies by itself is recorded as dead in `stack.json` and told to `on_death`; nothing is
    restarted silently.
    """

    def __init__(
        self, spec: StackSpec, *, on_progress: OnProgress | None = None, on_death: OnDeath | None = None
    ) -> None:
        self.spec: Final = spec
        self._on_progress = on_progress
        self._on_death = on_death
        self._run_dir: RunDir | None = None
        self._ports = PortAllocator()
        self._host = ProcessHost()
        self._site: Site | None = None
        self._roster: Roster | None = None
        self._phase = Phase.STARTING
        self._started_at_s = time.time()
        self._housekeeping: list[asyncio.Task[None]] = []

    @property
    def state(self) -> StackState:
        """What runs where. Raises LocalError before `start`."""
        site, roster = self._running()
        return describe(site, roster, phase=self._phase, owner=ProcessMark.own(), started_at_s=self._started_at_s)

    @property
    def identity(self) -> DevIdentity:
        """The key that signs this stack's tokens. Raises LocalError before `start`."""
        return self._running()[0].identity

    async def start(self, *names: str) -> StackState:
        """Start everything and return once every process answers; their dependencies may still be loading.

        With names, start those processes again, on the same ports and data; those that run are left alone.

        Raises StackRunningError if the run directory is in use, BinaryMissingError, ModelRepositoryMissingError,
        ChildDiedError or NotReadyError; nothing runs then, or, with names, none of those that failed.
        """
        if names:
            await self._running()[1].start_ended(self._named(names))
        else:
            await self._start_all()
        return self.state

    async def stop(self, *names: str) -> None:
        """Stop everything, frozen processes too; afterwards no process of this stack is left. Idempotent.

        With names, stop those processes alone: SIGTERM, bounded wait, SIGKILL.
        """
        if names:
            await self._running()[1].stop(self._named(names))
        else:
            await self._stop_all()

    async def _start_all(self) -> None:
        self._run_dir = RunDir(self.spec.run_dir)
        try:
            self._run_dir.prepare(keep_data=self.spec.keep_data)
            for attempt in range(1, START_ATTEMPTS + 1):
                try:
                    await self._start_once()
                    break
                except (PortTakenError, ChildCrashedError):
                    if attempt == START_ATTEMPTS:
                        raise
                    await self._drop()
                    self._host = ProcessHost()
        except BaseException:
            await self._stop_all()
            raise
        self._set_phase(Phase.RUNNING)

    async def wait_serving(self, region_id: str | None = None, *, within_s: float = 60.0) -> bool:
        """Wait until a region's services say SERVING (by default all, and the control role); False if not in time."""
        endpoints = self._endpoints(region_id)
        held = await asyncio.gather(*(eventually(partial(grpc_serving, each), within_s=within_s) for each in endpoints))
        return all(held)

    async def _stop_all(self) -> None:
        if self._run_dir is None:
            return
        try:
            if self._roster is not None:
                self._set_phase(Phase.STOPPING)
            await self._drop()
            if self._roster is not None:
                self._set_phase(Phase.STOPPED)
        finally:
            self._ports.close()
            self._run_dir.release()
            self._run_dir = None

    async def _start_once(self) -> None:
        identity = DevIdentity.create(self.spec.run_dir / "identity")
        addresses = Addresses.take(self.spec, self._ports)
        self._site = Site(
            self.spec,
            addresses,
            identity,
            self._host.run_id,
            log_hash_key=secrets.token_hex(16),
            hop_key=secrets.token_hex(16),
        )
        write_tokens(self._site)
        write_decision_keys(self._site)
        self._roster = roster = Roster(self._host, plan_stack(self._site), self._changed)
        self._set_phase(Phase.STARTING)
        self._housekeeping = [
            keep_task(keep_trimmed(self._log_paths, limit_bytes=self.spec.log_limit_bytes), "trim logs"),
            keep_task(keep_tokens_fresh(self._site), "renew tokens"),
        ]
        await roster.start(roster.members)

    async def _drop(self) -> None:
        """End all processes and everything that watches them."""
        try:
            if self._roster is not None:
                await self._roster.stop(self._roster.members)
        finally:
            await end_tasks(*self._housekeeping)
            if self._roster is not None:
                await self._roster.abandon()
            await self._host.close()

    def _changed(self, member: Member) -> None:
        self.state.write()
        if member.state is ProcessState.DEAD and self._on_death is not None:
            self._on_death(member.record())
        if self._phase is Phase.STARTING and self._on_progress is not None:
            members = self._running()[1].members
            ready = sum(each.state is ProcessState.RUNNING for each in members)
            elapsed_s = time.time() - self._started_at_s
            self._on_progress(
                Progress(
                    name=member.plan.name, state=member.state, ready=ready, total=len(members), elapsed_s=elapsed_s
                )
            )

    def _set_phase(self, phase: Phase) -> None:
        self._phase = phase
        self.state.write()

    def _log_paths(self) -> Iterable[Path]:
        return [member.plan.command.log_path for member in self._running()[1].members]

    def _running(self) -> tuple[Site, Roster]:
        if self._site is None or self._roster is None:
            raise LocalError("the stack was not started")
        return self._site, self._roster

    def _free_ports(self) -> PortAllocator:
        return self._ports

    def _endpoints(self, region_id: str | None) -> list[str]:
        site, _ = self._running()
        if region_id is not None:
            self._region(region_id)
        return [seat.listener.endpoint for seat in service_seats(site) if region_id in (None, seat.region_id)]


@asynccontextmanager
async def open_stack(
    spec: StackSpec, *, on_progress: OnProgress | None = None, on_death: OnDeath | None = None
) -> AsyncIterator[LocalStack]:
    """Start a stack for the length of a `with` block and stop it at the end, whatever ends the block.

    Raises what `LocalStack.start` raises.
    """
    stack = LocalStack(spec, on_progress=on_progress, on_death=on_death)
    await stack.start()
    try:
        yield stack
    finally:
        await stack.stop()
