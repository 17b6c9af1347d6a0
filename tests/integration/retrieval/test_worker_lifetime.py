"""Workers never outlive their service, however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.contract.store_samples import dense, ids, new_ref, soon
from tests.integration.retrieval.conftest import OpenStore
from tests.integration.retrieval.test_engine_failures import eventually

_OWNER = """
import asyncio, sys
from trunkline_retrieval.embedded_store import EmbeddedStore
from trunkline_retrieval.engine.config import EngineConfig
from tests.contract.store_samples import document, fill, new_ref

async def main():
    store = await EmbeddedStore.open(EngineConfig(sys.argv[1], min_free_bytes=0), 2)
    await fill(store, new_ref(physical="c_acme_docs"), document("a"))
    print(*store.worker_pids(), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def alive(pid: int) -> bool:
    """Return True while a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_workers_end_with_a_killed_service(tmp_path: Path, open_store: OpenStore) -> None:
    """After kill -9 of the service its workers end by themselves, and a new service finds the data."""
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OWNER, str(tmp_path / "data"),
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert owner.stdout is not None
    line = await owner.stdout.readline()
    pids = [int(word) for word in line.split()]
    assert len(pids) == 2

    owner.send_signal(signal.SIGKILL)
    await owner.wait()

    reopened = await open_store()  # without waiting: the lock of the old workers is tried again
    assert ids(await reopened.search(new_ref(physical="c_acme_docs"), dense(), soon())) == ["a"]
    await eventually(lambda: not any(alive(pid) for pid in pids))


async def test_signals_to_the_group_do_not_end_workers(open_store: OpenStore) -> None:
    """Ctrl-C and SIGTERM reach workers too; they stay until the service, which drains first, closes them."""
    store = await open_store()
    (pid,) = store.worker_pids()
    assert pid is not None

    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)

    assert list(await store.search(new_ref(), dense(), soon())) == []
    assert store.worker_pids() == [pid]
    await store.close()
    assert not alive(pid)
