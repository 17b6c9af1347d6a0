"""The map over TLS, client certificates and etcd's users, with real ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import structlog
from aetcd import rpc
from tests.integration.map.secured_etcd import READER, ROOT, Authority, SecuredEtcd, password_of, secured_etcd
from tests.integration.map.writing import EPOCH, put, recovered, seen

from trunkline_map.backup import save_snapshot
from trunkline_map.etcd import open_etcd
from trunkline_map.etcd_access import EtcdAccess
from trunkline_map.etcd_auth import Authenticator
from trunkline_map.etcd_calls import open_caller
from trunkline_map.settings import WatchSettings
from trunkline_map.store import StoreUnavailableError
from trunkline_map.testing import tenant
from trunkline_map.watcher import open_map_watcher
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapUnwritable

QUICK = WatchSettings(catch_up_every_s=0.02, backoff_max_s=0.2)


@pytest.fixture(scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecuredEtcd]:
    """With authentication on, and a map in it."""
    async with secured_etcd(tmp_path_factory.mktemp("secured-etcd")) as server:
        await server.enable_auth()
        async with open_etcd(server.access(ROOT)) as store:
            await put(store, EPOCH)
        yield server


async def is_refused(access: EtcdAccess) -> bool:
    async with open_etcd(access) as store:
        try:
            await store.read([EPOCH.key.encode()], timeout_s=5)
        except StoreUnavailableError:
            return True
    return False


async def test_a_map_is_watched_by_name_with_tls_and_a_user(secured: SecuredEtcd) -> None:
    """A reader's rights are enough for a watcher; a member that is down, and one by its address, do no harm."""
    by_name = secured.access(READER)
    port = by_name.endpoints[0].rpartition(":")[2]
    access = replace(by_name, endpoints=("localhost:1", *by_name.endpoints, f"127.0.0.1:{port}"))
    async with open_etcd(secured.access(ROOT)) as store, open_map_watcher(access, QUICK) as watcher:
        assert await watcher.wait_ready(20)
        await seen(watcher.connected)
        token = await put(store, tenant("acme", "eu"))

        assert (await watcher.at_least(token, Deadline.after(20))).tenant("acme") is not None


async def test_who_does_not_prove_itself_is_not_served(secured: SecuredEtcd, tmp_path: Path) -> None:
    """No TLS, no certificate, no user, a wrong password; and we do not take an etcd of another authority."""
    right = secured.access(READER)
    assert not await is_refused(right)

    assert await is_refused(EtcdAccess(right.endpoints))
    assert await is_refused(replace(right, cert_path=None, key_path=None))
    assert await is_refused(secured.plain_access)
    assert await is_refused(replace(right, ca_path=Authority(tmp_path, "other").path))
    assert await is_refused(secured.access(READER, "wrong"))


async def test_a_reader_cannot_write_and_nothing_is_left_in_doubt(secured: SecuredEtcd) -> None:
    """etcd's refusal says that nothing was changed."""
    async with open_etcd(secured.access(READER)) as store:
        with pytest.raises(MapUnwritable) as refused:
            await put(store, tenant("acme", "eu"))

    assert refused.value.metadata["outcome"] == "NONE"


async def test_a_token_that_etcd_forgot_is_renewed(tmp_path: Path) -> None:
    """Tokens die with etcd's restart, and with a change of its users; reads, changes and watches go on."""
    async with secured_etcd(tmp_path) as server:
        await server.enable_auth()
        async with (
            open_etcd(server.access(ROOT)) as store,
            open_map_watcher(server.access(READER), QUICK) as watcher,
        ):
            await put(store, EPOCH)
            assert await watcher.wait_ready(20)
            await server.kill()
            await server.start()
            await recovered(store)
            token = await put(store, tenant("restarted", "eu"))
            assert (await watcher.at_least(token, Deadline.after(20))).tenant("restarted") is not None

            async with open_caller(server.access(ROOT)) as caller:
                metadata = await caller.token_for(caller.ring.members[0], 5)
                change = rpc.AuthUserChangePasswordRequest(name=ROOT, password="changed")
                await caller.ring.members[0].auth.UserChangePassword(change, metadata=metadata)
            server.access(ROOT, "changed")  # the same file, as an operator would rewrite it
            token = await put(store, tenant("changed", "eu"))
            assert (await watcher.at_least(token, Deadline.after(20))).tenant("changed") is not None


async def test_one_token_serves_all_calls_and_is_asked_for_once(secured: SecuredEtcd) -> None:
    """etcd spends a tenth of a second on each password."""
    async with open_caller(secured.access(READER)) as caller:
        member = caller.ring.members[0]
        first = await caller.token_for(member, 5)
        request = rpc.RangeRequest(key=EPOCH.key.encode())
        await caller.read(lambda each: each.kv.Range, request, Deadline.after(5))

        assert await caller.token_for(member, 5) == first
        caller.auth.forget(())  # metadata of another token
        assert await caller.token_for(member, 5) == first


async def test_a_snapshot_is_taken_as_root(secured: SecuredEtcd, tmp_path: Path) -> None:
    """Over TLS and with a token, as everything else."""
    saved = await save_snapshot(secured.access(ROOT), tmp_path / "map.db")

    assert saved.size_bytes > 0


async def test_no_secret_is_told(secured: SecuredEtcd) -> None:
    """Neither password nor token stands in logs, errors or descriptions of the access."""
    access = secured.access(ROOT)
    with structlog.testing.capture_logs() as lines:
        async with open_caller(access) as caller:
            _, (_, token) = await caller.token_for(caller.ring.members[0], 5)
        async with open_etcd(secured.access(READER, "wrong-secret")) as store:
            with pytest.raises(StoreUnavailableError) as refused:
                await store.read([EPOCH.key.encode()], timeout_s=5)

    told = json.dumps(lines, default=str) + repr(access) + repr(refused.value) + repr(refused.value.__cause__)
    assert "the control store refuses our user or password" in told
    assert not any(secret in told for secret in (token, password_of(ROOT), "wrong-secret"))


async def test_without_authentication_a_user_does_no_harm(tmp_path: Path) -> None:
    """Users may be given to services before etcd asks for them."""
    async with secured_etcd(tmp_path) as server, open_etcd(server.access(ROOT)) as store:
        await put(store, EPOCH)
        await server.enable_auth()

        await put(store, tenant("acme", "eu"))


async def test_a_password_that_cannot_be_read_is_no_token(tmp_path: Path) -> None:
    """The file may come later: the store is away until then."""
    access = EtcdAccess(("127.0.0.1:1",), username="map", password_path=tmp_path / "none")
    async with open_caller(access) as caller:
        auth = Authenticator("map", access.password_path)

        with pytest.raises(StoreUnavailableError):
            await auth.metadata(caller.ring.members[0], timeout_s=1)


def test_a_stale_token_is_told_from_other_refusals() -> None:
    """Two of them come as INVALID_ARGUMENT, which says nothing by itself."""

    def refusal(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)

    auth = Authenticator("map", Path("password"))

    assert auth.is_stale(refusal(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token"))
    assert auth.is_stale(refusal(grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: revision of auth store is old"))
    assert not auth.is_stale(refusal(grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: key is not provided"))
    assert not Authenticator().is_stale(refusal(grpc.StatusCode.UNAUTHENTICATED, "any"))
