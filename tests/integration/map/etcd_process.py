"""A real etcd that a test may kill, freeze and restart, and a TCP proxy that cuts its streams."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ETCD = Path(sys.executable).parent / "etcd"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EtcdProcess:
    """One etcd member over a data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.endpoint = f"127.0.0.1:{free_port()}"
        self._peer = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, within_s: float = 20.0) -> None:
        """Start it and wait until it leads: it listens before it can answer."""
        client, peer = f"http://{self.endpoint}", f"http://{self._peer}"
        command = [str(ETCD), "--data-dir", str(self.folder / "data"), "--logger", "zap", "--log-outputs", "/dev/null"]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer]
        command += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
        # Tests measure behaviour, not disks: without fsync a shared machine stays usable. A kill -9 loses nothing then.
        command += ["--unsafe-no-fsync"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + within_s
        while not self._healthy():
            assert self._process.poll() is None, "etcd ended at start"
            assert time.monotonic() < limit, "etcd has no leader"
            time.sleep(0.02)

    def kill(self) -> None:
        """End it without notice."""
        if self._process is not None:
            self.resume()
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.endpoint}/health", timeout=1) as answer:
                return json.load(answer).get("health") == "true"
        except OSError:
            return False


@contextmanager
def running_etcd(folder: Path) -> Iterator[EtcdProcess]:
    etcd = EtcdProcess(folder)
    try:
        etcd.start()
        yield etcd
    finally:
        etcd.kill()


class CuttingProxy:
    """Forwards TCP to a server and cuts each connection after a random number of bytes from it."""

    def __init__(self, target: str, *, seed: int, cut_after: tuple[int, int]) -> None:
        self._target = target
        self._rng = random.Random(seed)
        self._cut_after = cut_after
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.cuts = 0
        self.endpoint = ""

    async def __aenter__(self) -> CuttingProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.endpoint = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut_all()

    def cut_all(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        try:
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, up_writer}
        limit = self._rng.randint(*self._cut_after)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, up_writer, None))
                group.create_task(_pump(up_reader, writer, limit))
        except* (OSError, _CutError) as broken:
            self.cuts += broken.subgroup(_CutError) is not None
        finally:
            writer.transport.abort()
            up_writer.transport.abort()
            self._writers -= {writer, up_writer}


class _CutError(Exception):
    """The byte limit is reached."""


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
    passed = 0
    while data := await reader.read(4096):
        passed += len(data)
        if limit is not None and passed > limit:
            raise _CutError
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError
