"""Whole stacks on real etcd, Valkey and Triton, with a stand-in for the services' own code."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from trunkline_local._guardian import marked_processes
from trunkline_local.background import read_status, start_background, stop_background
from trunkline_local.errors import (
    ChildDiedError,
    LocalError,
    ProcessUnknownError,
    RegionUnknownError,
    StackNotRunningError,
    StackRunningError,
    StackStartError,
)
from trunkline_local.identity import DevIdentity
from trunkline_local.progress import Progress
from trunkline_local.readiness import Check, eventually, grpc_health, grpc_serving
from trunkline_local.spec import Layout, RegionSpec, Service, StackSpec
from trunkline_local.stack import LocalStack, open_stack
from trunkline_local.state import Phase, ProcessRecord, ProcessState, StackState, read_state

HERE = Path(__file__).parent
EU, US = RegionSpec(region_id="eu-west", jurisdiction="eu"), RegionSpec(region_id="us-east", jurisdiction="us")


def _spec(run_dir: Path, **fields: Any) -> StackSpec:
    return StackSpec(
        run_dir=run_dir,
        model_repository=HERE / "models",
        launcher=(sys.executable, str(HERE / "health_service.py")),
        **({"regions": (EU, US), "layout": Layout.PER_REGION, "learners": False} | fields),
    )


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LocalStack]:
    async with open_stack(_spec(tmp_path / "run")) as stack:
        yield stack


def _states(state: StackState | None, region_id: str | None = None) -> set[ProcessState]:
    assert state is not None
    return {each.state for each in state.processes if region_id in (None, each.region_id)}


def _state_of(stack: LocalStack, name: str) -> ProcessState:
    return next(each.state for each in stack.state.processes if each.name == name)


def _kernel_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def _serving(endpoint: str) -> Check:
    return partial(grpc_serving, endpoint)


def _on_disk(stack: LocalStack) -> StackState:
    state = read_state(stack.spec.run_dir)
    assert state is not None
    assert state == stack.state
    return state


async def test_everything_is_up_and_told(tmp_path: Path) -> None:
    """A start brings up all processes, tells each step, and leaves addresses, process ids and tokens in files."""
    steps: list[Progress] = []
    async with open_stack(
        _spec(tmp_path / "run", layout=Layout.PER_SERVICE, regions=(EU,), learners=True), on_progress=steps.append
    ) as stack:
        state = _on_disk(stack)
        assert _states(state) == {ProcessState.RUNNING}
        assert len(state.processes) == 1 + 1 + 1 + 7
        assert all(each.pid in marked_processes(state.run_id) for each in state.processes)
        assert await stack.wait_serving(within_s=30.0)
        assert await stack.wait_serving("eu-west", within_s=30.0)
        region = state.region("eu-west")
        assert region is not None
        assert set(region.endpoints) == set(Service)
        assert region.learning_endpoint is not None
        assert await grpc_health(region.learning_endpoint) is not None
        async with Redis.from_url(region.valkey_url) as redis:
            assert await redis.ping()
        token = DevIdentity.load(state.identity_dir).folder / "tokens" / "service-eu-west-retrieval.jwt"
        assert state.tokens["operator"].read_text().count(".") == token.read_text().count(".") == 2
        run_id = state.run_id
    assert (steps[-1].ready, steps[-1].total) == (10, 10)
    assert {step.name for step in steps} == {each.name for each in state.processes}
    last = read_state(tmp_path / "run")
    assert last is not None
    assert last.phase is Phase.STOPPED
    assert _states(last) == {ProcessState.STOPPED}
    assert marked_processes(run_id) == []


async def test_run_directory_is_private(stack: LocalStack) -> None:
    """Nobody else can read keys, tokens, logs or state."""
    for path in stack.spec.run_dir.rglob("*"):
        inside = path.relative_to(stack.spec.run_dir).parts
        if path.is_file() and not path.is_symlink() and inside[0] != "data":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(stack.spec.run_dir.stat().st_mode) == 0o700


async def test_killed_region_comes_back_where_it_was(stack: LocalStack) -> None:
    """A killed region is gone with its workers, the other one serves on, and a start takes the same ports."""
    before = _on_disk(stack)
    region, other = before.region("eu-west"), before.region("us-east")
    assert region is not None
    assert other is not None
    marked = set(marked_processes(before.run_id))
    await stack.kill_region("eu-west")
    assert _states(_on_disk(stack), "eu-west") == {ProcessState.KILLED}
    assert _states(_on_disk(stack), "us-east") == {ProcessState.RUNNING}
    assert await eventually(_fewer(before.run_id, len(marked)), within_s=20.0)
    assert await grpc_health(other.endpoints[Service.ROUTING]) is not None
    with pytest.raises(OSError):
        await grpc_health(region.endpoints[Service.ROUTING])
    await stack.start_region("eu-west")
    assert _on_disk(stack).regions == before.regions
    assert await stack.wait_serving("eu-west", within_s=30.0)
    assert _states(_on_disk(stack)) == {ProcessState.RUNNING}


async def test_paused_region_is_silent_until_resumed(stack: LocalStack) -> None:
    """A frozen region accepts connections and answers nothing; resumed, it serves as before."""
    region = stack.state.region("eu-west")
    assert region is not None
    stack.pause_region("eu-west")
    assert _states(_on_disk(stack), "eu-west") == {ProcessState.PAUSED}
    assert await grpc_health(region.endpoints[Service.RETRIEVAL]) is None
    stack.resume_region("eu-west")
    assert await stack.wait_serving("eu-west", within_s=30.0)
    stack.pause_region("eu-west")
    await stack.kill_region("eu-west")
    assert _states(_on_disk(stack), "eu-west") == {ProcessState.KILLED}


async def test_single_processes_are_killed_frozen_and_started(stack: LocalStack) -> None:
    """One process by name, dead or not, as often as one likes; the others of its region run on."""
    valkey, services = stack.names("eu-west")
    assert {valkey, services, "etcd-0", "control", "triton"} < set(stack.names())
    run_id = stack.state.run_id
    for _ in range(2):
        await stack.kill(valkey)
    assert _state_of(stack, valkey) is ProcessState.KILLED
    assert _state_of(stack, services) is ProcessState.RUNNING
    stack.pause(valkey, services)
    stack.pause(services)
    assert _state_of(stack, valkey) is ProcessState.KILLED
    assert _state_of(stack, services) is ProcessState.PAUSED
    frozen = {each.pid for each in stack.state.processes if each.name == services}
    assert {each for each in marked_processes(run_id) if os.getpgid(each) in frozen} == {
        each for each in marked_processes(run_id) if _kernel_state(each) == "T"
    }
    await stack.start(valkey, services)
    assert _state_of(stack, services) is ProcessState.PAUSED
    for _ in range(2):
        stack.resume(services, valkey)
    assert await stack.wait_serving("eu-west", within_s=30.0)
    os.kill(next(each.pid or 0 for each in stack.state.processes if each.name == valkey), signal.SIGKILL)
    await stack.kill(valkey)
    await stack.start(valkey)
    assert _states(_on_disk(stack)) == {ProcessState.RUNNING}
    with pytest.raises(ProcessUnknownError, match="eu-west/redis"):
        await stack.kill(valkey, "eu-west/redis")
    assert _state_of(stack, valkey) is ProcessState.RUNNING


async def test_frozen_processes_are_no_hindrance_to_a_stop(tmp_path: Path) -> None:
    """A stack whose control store, model server and region are frozen stops in order and leaves nothing."""
    async with open_stack(_spec(tmp_path / "run")) as stack:
        stack.pause("etcd-0", "triton", *stack.names("us-east"))
        run_id = stack.state.run_id
    assert marked_processes(run_id) == []
    assert {each.exit_code for each in stack.state.processes if each.region_id} == {0}


async def test_a_further_process_of_a_service_belongs_to_its_region(stack: LocalStack) -> None:
    """A second router is started, told, frozen and killed with its region, and comes back on its port."""
    listener = await stack.add("second", "eu-west", Service.ROUTING)
    assert await eventually(_serving(listener.endpoint), within_s=30.0)
    with pytest.raises(LocalError, match="second"):
        await stack.add("second", "eu-west", Service.ROUTING)
    await stack.stop("second")
    assert [each.exit_code for each in stack.state.processes if each.name == "second"] == [0]
    await stack.start_region("eu-west")
    assert await eventually(_serving(listener.endpoint), within_s=30.0)
    await stack.kill_region("eu-west")
    assert _states(_on_disk(stack), "eu-west") == {ProcessState.KILLED}


async def test_stopped_region_is_no_death(stack: LocalStack) -> None:
    """An orderly stop of a region ends with exit code 0 and is recorded as asked for."""
    await stack.stop_region("us-east")
    ended = [each for each in _on_disk(stack).processes if each.region_id == "us-east"]
    assert {(each.state, each.exit_code) for each in ended} == {(ProcessState.STOPPED, 0)}
    with pytest.raises(RegionUnknownError, match="eu-west, us-east"):
        await stack.stop_region("mars")


async def test_death_is_recorded_and_nothing_is_restarted(tmp_path: Path) -> None:
    """A process that dies by itself is told once and stands in the state as dead."""
    dead: asyncio.Queue[ProcessRecord] = asyncio.Queue()
    async with open_stack(_spec(tmp_path / "run", regions=(EU,)), on_death=dead.put_nowait) as stack:
        victim = next(each for each in stack.state.processes if each.name == "eu-west/valkey")
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        record = await asyncio.wait_for(dead.get(), 20.0)
        assert (record.name, record.state, record.exit_code) == ("eu-west/valkey", ProcessState.DEAD, -signal.SIGKILL)
        assert record in _on_disk(stack).processes
        await stack.start_region("eu-west")
        assert _states(_on_disk(stack)) == {ProcessState.RUNNING}
    assert dead.empty()


async def test_failed_start_shows_the_log_and_leaves_nothing(tmp_path: Path) -> None:
    """A service that refuses its settings fails the whole start with its own words."""
    stack = LocalStack(_spec(tmp_path / "run", settings={"rerank": {"LOG_LEVEL": "error"}}))
    with pytest.raises(ChildDiedError, match="no such tier: gold"):
        await stack.start()
    assert marked_processes(stack.state.run_id) == []
    assert not read_status(tmp_path / "run").running


async def test_one_stack_for_a_run_directory(stack: LocalStack) -> None:
    """A second stack in the same folder is refused and disturbs nothing."""
    with pytest.raises(StackRunningError, match=str(os.getpid())):
        await LocalStack(stack.spec).start()
    with pytest.raises(StackRunningError):
        await start_background(stack.spec)
    assert _states(_on_disk(stack)) == {ProcessState.RUNNING}


async def test_background_stack_lives_until_it_is_stopped(tmp_path: Path) -> None:
    """`up` returns with everything running under a supervisor, a second one is refused, `down` leaves nothing."""
    steps: list[Progress] = []
    run_dir = tmp_path / "run"
    state = await start_background(_spec(run_dir, regions=(EU,)), on_progress=steps.append)
    try:
        assert state.phase is Phase.RUNNING
        assert state.owner.pid != os.getpid()
        assert steps[-1].ready == steps[-1].total == len(state.processes)
        assert read_status(run_dir).running
        with pytest.raises(StackRunningError, match=str(state.owner.pid)):
            await start_background(_spec(run_dir, regions=(EU,)))
    finally:
        await stop_background(run_dir)
    assert marked_processes(state.run_id) == []
    assert not state.owner.alive()
    assert _states(read_state(run_dir)) == {ProcessState.STOPPED}
    with pytest.raises(StackNotRunningError):
        await stop_background(run_dir)


async def test_killed_supervisor_leaves_a_stale_state_and_no_process(tmp_path: Path) -> None:
    """After `kill -9` of the supervisor nothing runs, the state is known to be stale, and a new stack can start."""
    run_dir = tmp_path / "run"
    state = await start_background(_spec(run_dir, regions=(EU,)))
    os.kill(state.owner.pid, signal.SIGKILL)
    assert await eventually(_fewer(state.run_id, 1), within_s=20.0)
    assert read_status(run_dir).stale
    again = await start_background(_spec(run_dir, regions=(EU,)))
    assert again.run_id != state.run_id
    os.kill(again.owner.pid, signal.SIGKILL)
    await stop_background(run_dir)
    assert marked_processes(again.run_id) == []
    assert not read_status(run_dir).stale


async def test_background_failure_is_shown(tmp_path: Path) -> None:
    """Whoever started the stack sees why it did not come up, from the failing service's own log."""
    spec = _spec(tmp_path / "run", regions=(EU,), settings={"admission": {"LOG_LEVEL": "error"}})
    with pytest.raises(StackStartError, match="no such tier: gold"):
        await start_background(spec)
    assert not read_status(spec.run_dir).running


async def test_interrupted_background_start_stops_again(tmp_path: Path) -> None:
    """Ctrl-C during `up` leaves neither supervisor nor processes."""
    started = asyncio.Event()
    spec = _spec(tmp_path / "run", regions=(EU,))
    task = asyncio.create_task(start_background(spec, on_progress=lambda _: started.set()))
    await asyncio.wait_for(started.wait(), 30.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    status = read_status(spec.run_dir)
    assert status.state is not None
    assert not status.running
    assert marked_processes(status.state.run_id) == []


def _fewer(run_id: str, count: int) -> Any:
    async def check() -> bool:
        return len(marked_processes(run_id)) < count

    return check
