"""Calls to etcd: which member, with which token, and what a failure means. Reads are repeated on another member; a
change never is, unless etcd said that it did nothing for want of a good token.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import grpc

from trunkline_map.etcd_access import EtcdAccess
from trunkline_map.etcd_auth import Authenticator, Metadata
from trunkline_map.etcd_channel import open_channel
from trunkline_map.etcd_members import Member, MemberRing
from trunkline_map.store import StoreCompactedError, StoreUnavailableError
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapUnwritable
from trunkline_mesh.logs import get_logger

_log = get_logger(__name__)

Method: TypeAlias = Callable[[Member], Any]
"""Picks a stub's method of a member."""

_RETRY_DELAY_S: Final = 1.0
"""Told to callers of a refused change: an election takes about that long."""

_DENIED: Final = frozenset({grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED})
_NOT_APPLIED: Final = _DENIED | {
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # the backend's quota is full: reads and deletes still work
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
}
"""Codes by which etcd says that it did nothing. Any other failure leaves the outcome of a change unknown, and speaks
against the member."""

_FIRST_SHARE: Final = 0.5
"""A member gets this share of a read's time while another one is left to ask."""


class EtcdCaller:
    """Makes calls to the members of one cluster."""

    def __init__(self, ring: MemberRing, auth: Authenticator) -> None:
        """Use `ring`, which whoever made it closes."""
        self.ring: Final = ring
        self.auth: Final = auth

    async def read(self, method: Method, request: Any, until: Deadline) -> Any:
        """Return the answer of the first member that gives one.

        Raises StoreCompactedError, and StoreUnavailableError when every member was asked or the time is up.
        """
        tried: list[Member] = []
        while True:
            member = self.ring.pick(tried)
            tried.append(member)
            last = len(tried) >= len(self.ring)
            share_s = until.remaining_s() * (1.0 if last else _FIRST_SHARE)
            try:
                return await self.ask(member, method, request, timeout_s=share_s)
            except StoreUnavailableError:
                if last or until.expired():
                    raise

    async def ask(self, member: Member, method: Method, request: Any, *, timeout_s: float) -> Any:
        """Return one member's answer to a read. Raises as `read`."""
        until = Deadline.after(timeout_s)
        try:
            return await self._with_token(member, method, request, until)
        except grpc.aio.AioRpcError as exc:
            if exc.code() is grpc.StatusCode.OUT_OF_RANGE:
                raise StoreCompactedError("the revision is compacted") from exc
            self._note(member, exc)
            raise StoreUnavailableError("the control store cannot be read") from exc

    async def change(self, method: Method, request: Any, until: Deadline) -> Any:
        """Return the answer to a change, which is sent to one member only. Raises MapUnwritable."""
        member = await self.ring.pick_connected(until.remaining_s() * _FIRST_SHARE)
        if member is None:
            raise _not_reached()
        try:
            return await self._with_token(member, method, request, until)
        except StoreUnavailableError as exc:
            raise _not_reached() from exc
        except grpc.aio.AioRpcError as exc:
            self._note(member, exc)
            raise _failed(exc.code()) from exc

    async def token_for(self, member: Member, timeout_s: float) -> Metadata:
        """Return the metadata for a call to `member`. Raises StoreUnavailableError if it gives no token."""
        try:
            return await self.auth.metadata(member, timeout_s=timeout_s)
        except (StoreUnavailableError, TimeoutError) as exc:
            self.ring.shun(member)
            raise StoreUnavailableError("the control store gave no token") from exc

    async def _with_token(self, member: Member, method: Method, request: Any, until: Deadline) -> Any:
        for repeated in (False, True):
            metadata = await self.token_for(member, until.remaining_s())
            try:
                return await method(member)(request, timeout=until.remaining_s(), metadata=metadata)
            except grpc.aio.AioRpcError as exc:
                if repeated or not self.auth.is_stale(exc):
                    raise
                self.auth.forget(metadata)
        raise AssertionError("unreachable")

    def _note(self, member: Member, exc: grpc.aio.AioRpcError) -> None:
        if exc.code() in _DENIED:
            _log.error("the control store denies us what we asked for", dependency="etcd", code=exc.code().name)
        elif exc.code() not in _NOT_APPLIED:
            self.ring.shun(member)


@asynccontextmanager
async def open_caller(access: EtcdAccess) -> AsyncIterator[EtcdCaller]:
    """Open channels to every member of a cluster; waits for no connection. Raises OSError for unreadable TLS files."""
    credentials = access.credentials()
    if access.username and credentials is None:
        _log.warning("the password for the control store is sent without TLS", dependency="etcd")
    ring = MemberRing([Member(endpoint, open_channel(endpoint, credentials)) for endpoint in access.endpoints])
    try:
        yield EtcdCaller(ring, Authenticator(access.username, access.password_path))
    finally:
        await ring.close()


def _not_reached() -> MapUnwritable:
    return MapUnwritable(
        "the control store cannot be reached; nothing was changed",
        retry_delay_s=_RETRY_DELAY_S,
        metadata={"outcome": "NONE"},
    )


def _failed(code: grpc.StatusCode) -> MapUnwritable:
    if code in _NOT_APPLIED:
        return MapUnwritable("the control store refused the change; nothing was changed", metadata={"outcome": "NONE"})
    return MapUnwritable(
        "the control store did not confirm the change; its outcome is unknown: read it back",
        retry_delay_s=_RETRY_DELAY_S,
        metadata={"outcome": "UNKNOWN"},
    )
