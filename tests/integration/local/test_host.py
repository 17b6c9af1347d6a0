"""Supervision: children are waited for, stopped in bounded time, and never outlive their owner."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from trunkline_local._guardian import RUN_VARIABLE, marked_processes
from trunkline_local.child import Child, Command
from trunkline_local.errors import ChildCrashedError, ChildDiedError, NotReadyError, PortTakenError, WrongThreadError
from trunkline_local.host import ProcessHost
from trunkline_local.proc import ProcessMark
from trunkline_local.readiness import eventually, tcp_open, wait_ready
from trunkline_local.retry import on_free_ports

SLEEPER = ["/bin/sh", "-c", "sleep 600 & sleep 600"]
"""A process with a child of its own."""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


@pytest.fixture
async def host() -> AsyncIterator[ProcessHost]:
    async with ProcessHost() as host:
        yield host


def _spawn(host: ProcessHost, folder: Path, argv: list[str], name: str = "child") -> Child:
    return host.spawn(Command(name, argv, folder / f"{name}.log"))


def _letter(pid: int) -> str:
    """Return the kernel's letter for the state of a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def _never() -> bool:
    return False


async def _always() -> bool:
    return True


async def _wrote(child: Child, text: str) -> None:
    async def check() -> bool:
        return text in child.log_tail()

    await wait_ready(child, check, within_s=20.0)


async def _grown(run_id: str, count: int) -> None:
    async def check() -> bool:
        return len(marked_processes(run_id)) == count

    assert await eventually(check, within_s=20.0)


async def _gone(run_id: str) -> bool:
    async def check() -> bool:
        return not marked_processes(run_id)

    return await eventually(check, within_s=20.0)


async def test_death_before_ready_is_told_at_once_with_the_log(host: ProcessHost, tmp_path: Path) -> None:
    """A child that dies early fails the wait long before its time limit, and the error shows why."""
    child = _spawn(host, tmp_path, ["/bin/sh", "-c", "echo no such flag >&2; exit 7"])
    with pytest.raises(ChildDiedError, match="no such flag") as caught:
        await wait_ready(child, _never, within_s=100.0)
    assert (caught.value.exit_code, caught.value.name) == (7, "child")


async def test_answer_of_another_is_not_taken_for_a_dead_child(host: ProcessHost, tmp_path: Path) -> None:
    """A check that holds does not hide that the child itself has died."""
    child = _spawn(host, tmp_path, ["/bin/false"])
    await child.wait()
    with pytest.raises(ChildDiedError):
        await wait_ready(child, _always, within_s=10.0)


async def test_missing_program_is_told(host: ProcessHost, tmp_path: Path) -> None:
    """A program that cannot be executed is an early death whose log names it."""
    child = _spawn(host, tmp_path, ["/no/such/program"])
    with pytest.raises(ChildDiedError, match="/no/such/program"):
        await wait_ready(child, _never, within_s=100.0)


async def test_slow_start_is_given_up(host: ProcessHost, tmp_path: Path) -> None:
    """A child that lives but is never ready ends the wait at its limit."""
    child = _spawn(host, tmp_path, ["/bin/sleep", "600"])
    with pytest.raises(NotReadyError):
        await wait_ready(child, _never, within_s=0.1)


async def test_taken_port_is_tried_again_with_another(host: ProcessHost, tmp_path: Path) -> None:
    """A child that lost its port to somebody else is started again; the failed attempt leaves nothing."""

    async def attempt(number: int) -> Child:
        program = "sleep 600" if number == 3 else "sleep 600 & echo 'bind: Address already in use'; exit 1"
        child = _spawn(host, tmp_path, ["/bin/sh", "-c", program], f"try-{number}")
        await wait_ready(child, _always if number == 3 else _never, within_s=20.0)
        return child

    child = await on_free_ports(host, attempt)
    assert host.children == (child,)


async def test_taken_port_is_given_up_after_three_tries(host: ProcessHost, tmp_path: Path) -> None:
    """Retries are bounded."""
    tries = []

    async def attempt(number: int) -> None:
        tries.append(number)
        child = _spawn(host, tmp_path, ["/bin/sh", "-c", "echo address already in use; exit 1"], f"try-{number}")
        await wait_ready(child, _never, within_s=20.0)

    with pytest.raises(PortTakenError):
        await on_free_ports(host, attempt)
    assert tries == [1, 2, 3]


@pytest.mark.parametrize(("end", "kind"), [("kill -ABRT $$", ChildCrashedError), ("exit 7", ChildDiedError)])
async def test_a_crash_is_told_from_an_exit(
    host: ProcessHost, tmp_path: Path, end: str, kind: type[ChildDiedError]
) -> None:
    """A program that was aborted may start when it is tried again; one that gave up will not."""
    child = _spawn(host, tmp_path, ["/bin/sh", "-c", f"echo starting; {end}"])

    with pytest.raises(ChildDiedError) as died:
        await wait_ready(child, _never, within_s=20.0)

    assert type(died.value) is kind


async def test_stop_is_polite_first(host: ProcessHost, tmp_path: Path) -> None:
    """SIGTERM lets a child end by itself, and its own children go with it."""
    child = _spawn(host, tmp_path, ["/bin/sh", "-c", "trap 'exit 3' TERM; echo up; sleep 600 & wait"])
    await _wrote(child, "up")
    assert await child.stop(within_s=100.0) == 3
    assert await _gone(host.run_id)


@pytest.mark.parametrize("paused", [False, True])
async def test_stop_is_bounded(host: ProcessHost, tmp_path: Path, paused: bool) -> None:
    """A child that ignores SIGTERM, frozen or not, is killed when its time is up."""
    child = _spawn(host, tmp_path, [sys.executable, "-c", DEAF])
    await _wrote(child, "deaf")
    if paused:
        child.pause()
    assert await child.stop(within_s=0.2) == -signal.SIGKILL


async def test_cancelled_stop_kills(host: ProcessHost, tmp_path: Path) -> None:
    """Whoever gives up waiting for a stop leaves no child behind."""
    child = _spawn(host, tmp_path, [sys.executable, "-c", DEAF])
    await _wrote(child, "deaf")
    stopping = asyncio.create_task(child.stop(within_s=600.0))
    await asyncio.sleep(0)  # let it send its signal
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert await child.wait() == -signal.SIGKILL


async def test_kill_takes_the_whole_group(host: ProcessHost, tmp_path: Path) -> None:
    """A killed child's own children die with it."""
    child = _spawn(host, tmp_path, SLEEPER)
    await _grown(host.run_id, 3)  # the shell and both sleeps
    child.kill()
    assert await child.wait() == -signal.SIGKILL
    assert await _gone(host.run_id)


async def test_pause_freezes_and_resume_goes_on(host: ProcessHost, tmp_path: Path) -> None:
    """A paused child is stopped in the kernel's sense, and runs again after it is resumed."""

    async def state(wanted: str) -> bool:
        async def check() -> bool:
            return _letter(child.pid) == wanted

        return await eventually(check, within_s=20.0)

    child = _spawn(host, tmp_path, ["/bin/sleep", "600"])
    assert await state("S")
    child.pause()
    assert child.paused
    assert await state("T")
    child.resume()
    assert not child.paused
    assert await state("S")


async def test_several_may_wait(host: ProcessHost, tmp_path: Path) -> None:
    """Every waiter gets the exit code."""
    child = _spawn(host, tmp_path, ["/bin/sh", "-c", "exit 5"])
    assert set(await asyncio.gather(child.wait(), child.wait(), child.wait())) == {5}


async def test_environment_is_clean(host: ProcessHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting in the user's shell does not reach a child; what the command names does; SIGPIPE is not ignored."""
    monkeypatch.setenv("TRUNKLINE_ROUTING_LISTEN", "0.0.0.0:1")
    code = "import os, subprocess; print(sorted(n for n in os.environ if n.startswith('TRUNKLINE_')))"
    command = Command("env", [sys.executable, "-c", code], tmp_path / "env.log", env={"TRUNKLINE_X": "1"})
    child = host.spawn(command)
    assert await child.wait() == 0
    assert child.log_tail() == str([RUN_VARIABLE, "TRUNKLINE_X"])
    pipe = _spawn(host, tmp_path, ["/bin/sh", "-c", "yes | head -1; grep SigIgn /proc/$$/status"], "pipe")
    assert await pipe.wait() == 0
    ignored = int(pipe.log_tail().split()[-1], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1))


async def test_other_threads_may_not_start_children(host: ProcessHost, tmp_path: Path) -> None:
    """A child would die with the thread that started it, so only the lasting one may."""
    with pytest.raises(WrongThreadError):
        await asyncio.to_thread(_spawn, host, tmp_path, ["/bin/true"])


async def test_close_leaves_nothing(tmp_path: Path) -> None:
    """Neither children nor what they detached into sessions of their own are left, nor the guardian."""
    async with ProcessHost() as host:
        child = _spawn(host, tmp_path, ["/bin/sh", "-c", "setsid sleep 600 & echo up; sleep 600"])
        await _wrote(child, "up")
        guardian = host._guardian
        assert guardian is not None
    assert marked_processes(host.run_id) == []
    assert guardian.returncode == 0
    await host.close()


OWNER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from trunkline_local.child import Command
    from trunkline_local.host import ProcessHost

    async def main():
        async with ProcessHost() as host:
            for number in range(3):
                argv = ["/bin/sh", "-c", "setsid sleep 600 & sleep 600"]
                host.spawn(Command(f"c{number}", argv, Path(sys.argv[1]) / f"c{number}.log"))
            Path(sys.argv[1], "up").write_text(f"{host.run_id} {host._guardian.pid}")
            await asyncio.Event().wait()

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGSEGV])
async def test_death_of_the_owner_leaves_nothing(host: ProcessHost, tmp_path: Path, number: signal.Signals) -> None:
    """However the owner ends, `kill -9` and a crash included, its children, theirs and the guardian are gone."""
    owner = _spawn(host, tmp_path, [sys.executable, "-c", OWNER, str(tmp_path)], "owner")

    async def up() -> bool:
        return len((tmp_path / "up").read_text().split()) == 2

    await wait_ready(owner, up, within_s=30.0)
    run_id, guardian_pid = (tmp_path / "up").read_text().split()
    guardian = ProcessMark.of(int(guardian_pid))
    assert guardian is not None
    await _grown(run_id, 9)  # three shells, each with two sleeps
    os.kill(owner.pid, number)
    await owner.wait()
    assert await _gone(run_id)

    async def ended() -> bool:
        return not guardian.alive()

    assert await eventually(ended, within_s=20.0)


async def test_child_dies_with_its_owner_even_without_the_guardian(host: ProcessHost, tmp_path: Path) -> None:
    """The kernel's signal needs nobody else: direct children die although the guardian was killed before."""
    owner = _spawn(host, tmp_path, [sys.executable, "-c", OWNER.replace("setsid sleep 600 & ", "exec "), str(tmp_path)])

    async def up() -> bool:
        return len((tmp_path / "up").read_text().split()) == 2

    await wait_ready(owner, up, within_s=30.0)
    run_id, guardian_pid = (tmp_path / "up").read_text().split()
    os.kill(int(guardian_pid), signal.SIGKILL)
    await _grown(run_id, 3)
    os.kill(owner.pid, signal.SIGKILL)
    assert await _gone(run_id)


async def test_tcp_check_needs_a_listener() -> None:
    """The plainest of the checks tells a listener from a closed port."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        assert await tcp_open(f"{host}:{port}")
    with pytest.raises(OSError):
        await tcp_open(f"{host}:{port}")
