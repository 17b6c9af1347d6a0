"""The real servers from their wheels."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import numpy as np
import pytest
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError
from tritonclient.grpc.aio import InferenceServerClient, InferInput

from trunkline_local._guardian import shm_prefix
from trunkline_local.doctor import diagnose
from trunkline_local.errors import ChildDiedError, ModelRepositoryMissingError
from trunkline_local.etcd import EtcdMember, etcd_command, etcd_ready, start_etcd
from trunkline_local.host import ProcessHost
from trunkline_local.ports import HOST, PortAllocator
from trunkline_local.readiness import eventually, wait_ready
from trunkline_local.triton import start_triton
from trunkline_local.valkey import start_valkey

MODELS = Path(__file__).parent / "models"


@pytest.fixture
async def host() -> AsyncIterator[ProcessHost]:
    async with ProcessHost() as host:
        yield host


async def _put(endpoint: str, key: bytes, value: bytes) -> None:
    async with grpc.aio.insecure_channel(endpoint) as channel:
        await rpc_pb2_grpc.KVStub(channel).Put(rpc_pb2.PutRequest(key=key, value=value), timeout=10)


async def _get(endpoint: str, key: bytes) -> bytes:
    async with grpc.aio.insecure_channel(endpoint) as channel:
        answer = await rpc_pb2_grpc.KVStub(channel).Range(rpc_pb2.RangeRequest(key=key), timeout=10)
        return bytes(answer.kvs[0].value)


async def test_single_etcd_keeps_its_data_on_other_ports(
    host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path
) -> None:
    """A single member that was killed goes on with its data, also when its ports have changed."""
    for round_number in range(2):
        member = EtcdMember("etcd-0", tmp_path / "data", port_allocator.take(), port_allocator.take())
        child = host.spawn(etcd_command(member, [member], tmp_path / "etcd.log"))
        await wait_ready(child, etcd_ready(member.endpoint), within_s=30.0)
        if round_number == 0:
            await _put(member.endpoint, b"key", b"value")
        assert await _get(member.endpoint, b"key") == b"value"
        child.kill()
        await child.wait()


async def test_three_etcd_members_outlive_one(host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path) -> None:
    """Three members form a quorum: with one killed the others serve what was written, and writes."""
    etcd = await start_etcd(host, port_allocator, tmp_path, members=3)
    await _put(etcd.endpoints[0], b"key", b"value")
    etcd.children[0].kill()
    await etcd.children[0].wait()
    assert await eventually(etcd_ready(etcd.endpoints[1]), within_s=30.0)
    assert await _get(etcd.endpoints[1], b"key") == b"value"
    await _put(etcd.endpoints[2], b"key", b"other")


async def test_etcd_has_two_sizes(host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path) -> None:
    """Two members would be worse than one and are refused."""
    with pytest.raises(ValueError, match="1 or 3"):
        await start_etcd(host, port_allocator, tmp_path, members=2)


async def test_valkey_keeps_nothing_and_no_more_than_its_share(
    host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path
) -> None:
    """By default nothing is written to disk; when memory is used up, keys that expire go before any that do not."""
    valkey = await start_valkey(host, port_allocator, tmp_path, max_memory_bytes=8 << 20)
    async with Redis.from_url(valkey.url) as redis:
        await redis.set("quota", "kept")
        block = b"x" * (1 << 20)
        for number in range(20):
            await redis.set(f"cache-{number}", block, ex=600)
        assert await redis.get("quota") == b"kept"
        assert 1 < await redis.dbsize() < 10
        with pytest.raises(OutOfMemoryError):
            await asyncio.gather(*(redis.set(f"forever-{number}", block) for number in range(20)))
    assert await valkey.child.stop() == 0
    assert _names(tmp_path) == ["valkey.log"]


async def test_valkey_can_keep_what_it_was_told(
    host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path
) -> None:
    """With an append-only file a killed server comes back with its data."""
    first = await start_valkey(host, port_allocator, tmp_path, appendonly=True)
    async with Redis.from_url(first.url) as redis:
        await redis.set("key", "value")
    first.child.kill()
    await first.child.wait()
    second = await start_valkey(host, port_allocator, tmp_path, appendonly=True)
    async with Redis.from_url(second.url) as redis:
        assert await redis.get("key") == b"value"


async def test_server_on_a_taken_port_moves(
    host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that somebody takes after it was chosen costs a second start and nothing else."""
    with socket.create_server((HOST, 0)) as rude:
        stolen = rude.getsockname()[1]
        given = [stolen]
        take = port_allocator.take
        monkeypatch.setattr(port_allocator, "take", lambda: given.pop() if given else take())
        valkey = await start_valkey(host, port_allocator, tmp_path / "valkey")
        given.append(stolen)
        etcd = await start_etcd(host, port_allocator, tmp_path / "etcd")
    assert str(stolen) not in valkey.url + etcd.endpoints[0]
    assert len(host.children) == 2


async def test_triton_serves_a_model(host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path) -> None:
    """Triton answers over its gRPC once it is ready, and leaves no shared memory, even when it is killed."""
    triton = await start_triton(host, port_allocator, tmp_path, model_repository=MODELS)
    async with InferenceServerClient(triton.grpc_endpoint) as client:
        given = InferInput("X", [1, 1], "FP32")
        given.set_data_from_numpy(np.array([[2.5]], dtype=np.float32))
        answer = await client.infer("echo", [given])
    assert answer.as_numpy("Y").tolist() == [[2.5]]
    assert _shared_memory(host)
    triton.child.kill()
    await host.close()
    assert not _shared_memory(host)


async def test_triton_tells_why_a_model_does_not_load(
    host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path
) -> None:
    """A broken model fails the start at once, with the reason."""
    version = tmp_path / "models" / "broken" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text("raise RuntimeError('no weights here')\n")
    (version.parent / "config.pbtxt").write_text(
        'backend: "python"\ninput [{name: "X" data_type: TYPE_FP32 dims: [1]}]\n'
    )
    with pytest.raises(ChildDiedError, match="no weights here"):
        await start_triton(host, port_allocator, tmp_path / "run", model_repository=tmp_path / "models")


async def test_triton_needs_a_model_repository(
    host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path
) -> None:
    """A folder that is not there is told before anything starts."""
    with pytest.raises(ModelRepositoryMissingError):
        await start_triton(host, port_allocator, tmp_path, model_repository=tmp_path / "missing")


async def test_session_servers_answer(etcd_endpoint: str, valkey_url: str) -> None:
    """The session's fixtures are real servers."""
    await _put(etcd_endpoint, b"/test-local/key", b"value")
    assert await _get(etcd_endpoint, b"/test-local/key") == b"value"
    async with Redis.from_url(valkey_url) as redis:
        assert await redis.ping()


async def test_session_triton_serves_the_projects_models(triton_endpoint: str) -> None:
    """All models of the project load in the wheel's Triton."""
    async with InferenceServerClient(triton_endpoint) as client:
        models = (await client.get_model_repository_index()).models
    assert models
    assert {model.state for model in models} == {"READY"}


async def test_doctor_finds_the_servers_of_this_environment(tmp_path: Path) -> None:
    """Where the tests can run, the doctor says so, and looks at a folder that is not there yet."""
    findings = {finding.name: finding for finding in await diagnose(tmp_path / "not" / "yet")}
    for name in (
        "python",
        "system",
        "wheels",
        "etcd",
        "valkey-server",
        "tritonserver",
        "grpcurl",
        "libpython",
        "ports",
    ):
        assert findings[name].ok, findings[name]
        assert not findings[name].advice


def _shared_memory(host: ProcessHost) -> list[str]:
    return [name for name in _names(Path("/dev/shm")) if name.startswith(shm_prefix(host.run_id))]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
