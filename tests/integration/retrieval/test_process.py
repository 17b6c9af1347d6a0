"""The service as a process of its own: it starts, reports its health, drains on SIGTERM and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.integration.mesh.credentials import AUDIENCE, ISSUER, Issuer
from tests.integration.retrieval.test_engine_failures import eventually
from tests.integration.retrieval.test_worker_lifetime import alive


def children_of(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def port_of(process: asyncio.subprocess.Process) -> int:
    """Return the port that the process logs when it serves."""
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while True:
            line = json.loads(await process.stderr.readline())
            if line["event"] == "serving":
                return int(line["port"])


async def test_process_serves_and_drains(etcd_endpoint: str, tmp_path: Path) -> None:
    """With its store up and its map not yet set up it says which is which; SIGTERM ends it with code 0."""
    issuer = Issuer(tmp_path)
    settings = {
        "ETCD_ENDPOINTS": etcd_endpoint, "REGION": "eu-west", "DATA_DIR": str(tmp_path / "data"),
        "ENGINE_WORKERS": "2", "ENGINE_MIN_FREE_BYTES": "0", "JWKS": str(issuer.jwks_path), "ISSUER": ISSUER,
        "AUDIENCE": AUDIENCE, "DRAIN_SETTLE_S": "0",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trunkline_retrieval", stderr=asyncio.subprocess.PIPE,
        env=os.environ | {f"TRUNKLINE_RETRIEVAL_{name}": value for name, value in settings.items()},
    )  # fmt: skip
    try:
        port = await port_of(process)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            store = await check(health_pb2.HealthCheckRequest(service="dependency/store"), timeout=10)
            whole = await check(health_pb2.HealthCheckRequest(), timeout=10)
        workers = children_of(process.pid)

        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await process.communicate()

        assert store.status == health_pb2.HealthCheckResponse.SERVING
        assert whole.status in (health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING)
        assert process.returncode == 0
        assert len(workers) == 2
        await eventually(lambda: not any(alive(pid) for pid in workers))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_misspelt_setting_ends_the_process(tmp_path: Path) -> None:
    """An environment variable that names no setting is a typed exit, not a setting that is silently ignored."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trunkline_retrieval", stderr=asyncio.subprocess.PIPE, cwd=tmp_path,
        env=os.environ | {"TRUNKLINE_RETRIEVAL_ENGINE_WORKER": "2"},
    )  # fmt: skip

    _, stderr = await process.communicate()

    assert process.returncode == 2
    assert b"TRUNKLINE_RETRIEVAL_ENGINE_WORKER" in stderr
