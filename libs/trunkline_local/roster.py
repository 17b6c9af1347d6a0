"""The processes of a stack while it lives: start each after what it needs, watch them, signal a group of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass

from trunkline_local.child import Child
from trunkline_local.host import ProcessHost
from trunkline_local.plan import ProcessPlan
from trunkline_local.readiness import wait_ready
from trunkline_local.state import ProcessRecord, ProcessState
from trunkline_local.tasks import end_tasks, keep_task


@dataclass(slots=True)
class Member:
    """One process and what is known of it."""

    plan: ProcessPlan
    child: Child | None = None
    state: ProcessState = ProcessState.PLANNED
    exit_code: int | None = None
    watcher: asyncio.Task[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether it does not run: never started, ended, or a zombie that nobody has reaped yet."""
        return self.child is None or self.child.poll() is not None

    def record(self) -> ProcessRecord:
        """Return it as it stands in `stack.json`."""
        return ProcessRecord(
            name=self.plan.name,
            region_id=self.plan.region_id,
            state=self.state,
            pid=self.child.pid if self.child and self.exit_code is None else None,
            exit_code=self.exit_code,
            log_path=self.plan.command.log_path,
        )


class Roster:
    """All processes of a stack by name. `changed` is called after every change of a state."""

    def __init__(self, host: ProcessHost, plans: Iterable[ProcessPlan], changed: Callable[[Member], None]) -> None:
        self._host = host
        self._members = {plan.name: Member(plan) for plan in plans}
        self._changed = changed

    @property
    def members(self) -> tuple[Member, ...]:
        """All of them, in the order of the plan."""
        return tuple(self._members.values())

    def of_region(self, region_id: str) -> tuple[Member, ...]:
        """Return a region's processes."""
        return tuple(member for member in self.members if member.plan.region_id == region_id)

    def add(self, plan: ProcessPlan) -> Member:
        """Take in a further process, to be started. Its name must be new."""
        member = self._members[plan.name] = Member(plan)
        return member

    async def start_ended(self, members: Iterable[Member]) -> None:
        """Start those that do not run. One that fails is ended for good, so that nothing half started is left.

        Raises what `start` raises.
        """
        members = [member for member in members if member.ended or member.state is ProcessState.STARTING]
        try:
            await self.start(members)
        except BaseException:
            await self.kill(member for member in members if member.state is ProcessState.STARTING)
            raise

    async def start(self, members: Iterable[Member]) -> None:
        """Start processes, each as soon as what it needs is ready, and wait until all are.

        Of those that need others, at most twice as many as there are processors come up at once: more would only share
        the processors' time out so thinly that time limits lose their meaning. On the first failure the others are left
        as they are and the error is raised: ChildDiedError, PortTakenError or NotReadyError.
        """
        members = tuple(members)
        ready = {member.plan.name: asyncio.Event() for member in members}
        slots = asyncio.Semaphore(2 * max(2, os.cpu_count() or 1))
        try:
            async with asyncio.TaskGroup() as group:
                for member in members:
                    group.create_task(self._start(member, ready, slots))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _start(self, member: Member, ready: dict[str, asyncio.Event], slots: asyncio.Semaphore) -> None:
        for name in member.plan.needs & ready.keys():
            await ready[name].wait()
        async with slots if member.plan.needs else nullcontext():
            if member.child is None or member.ended:
                member.exit_code = None
                member.child = self._host.spawn(member.plan.command)
                self._set(member, ProcessState.STARTING)
            await wait_ready(member.child, member.plan.ready, within_s=member.plan.ready_within_s)
        member.watcher = keep_task(self._watch(member, member.child), f"watch {member.plan.name}")
        self._set(member, ProcessState.RUNNING)
        ready[member.plan.name].set()

    async def kill(self, members: Iterable[Member]) -> None:
        """Kill the groups of all of them at one moment (SIGKILL), then reap them."""
        await self._end(members, ProcessState.KILLED, Child.kill, Child.wait)

    async def stop(self, members: Iterable[Member]) -> None:
        """Stop all of them together, each bounded by its plan."""
        await self._end(members, ProcessState.STOPPED, _nothing, Child.stop)

    def pause(self, members: Iterable[Member]) -> None:
        """Freeze all that run (SIGSTOP)."""
        for member in members:
            if member.child and member.state is ProcessState.RUNNING:
                member.child.pause()
                self._set(member, ProcessState.PAUSED)

    def resume(self, members: Iterable[Member]) -> None:
        """Let all that are frozen go on (SIGCONT)."""
        for member in members:
            if member.child and member.state is ProcessState.PAUSED:
                member.child.resume()
                self._set(member, ProcessState.RUNNING)

    async def abandon(self) -> None:
        """Stop watching; what still runs is the host's to end."""
        await end_tasks(*(member.watcher for member in self.members))

    async def _end(
        self,
        members: Iterable[Member],
        state: ProcessState,
        signal: Callable[[Child], None],
        wait: Callable[[Child], Awaitable[int]],
    ) -> None:
        running = [(member, member.child) for member in members if member.child and member.exit_code is None]
        for member, child in running:
            self._set(member, state)  # before the signal, so that the watcher knows that it was asked for
            signal(child)
        codes = await asyncio.gather(*(wait(child) for _, child in running))
        for (member, _), code in zip(running, codes, strict=True):
            member.exit_code = code
            self._changed(member)

    async def _watch(self, member: Member, child: Child) -> None:
        code = await child.wait()
        if member.child is child and member.state not in (ProcessState.STOPPED, ProcessState.KILLED):
            member.exit_code = code
            self._set(member, ProcessState.DEAD)

    def _set(self, member: Member, state: ProcessState) -> None:
        member.state = state
        self._changed(member)


def _nothing(_: Child) -> None:
    """`Child.stop` sends its signal itself."""
