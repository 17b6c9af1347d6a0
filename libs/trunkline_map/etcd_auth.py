"""etcd's authentication: a token for a user's password, sent with every call and renewed when etcd no longer takes it.

Neither password nor token is ever logged or part of an exception's text.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, TypeAlias

import grpc
from aetcd import rpc

from trunkline_map.etcd_members import Member
from trunkline_map.store import StoreUnavailableError
from trunkline_mesh.logs import get_logger

_log = get_logger(__name__)

Metadata: TypeAlias = tuple[tuple[str, str], ...]

HAS_LEADER: Final[Metadata] = (("hasleader", "true"),)
"""Makes a member without a leader refuse at once instead of staying silent."""

_STALE_DETAILS: Final = frozenset(
    {
        "etcdserver: invalid auth token",
        "etcdserver: revision of auth store is old",
        "etcdserver: user name is empty",
    }
)
"""What etcd says of a token that it does not know (any more), was issued before users changed, or is missing.

Source: etcd api/v3rpc/rpctypes/error.go. Two of them come as INVALID_ARGUMENT, which says nothing by itself.
"""


class Authenticator:
    """Gives the metadata for calls. Without a user that is only the wish for a leader."""

    def __init__(self, username: str = "", password_path: Path | None = None) -> None:
        """The password is read anew for every token, so a changed one takes effect at once."""
        self._username = username
        self._password_path = password_path
        self._token: str | None = None
        self._renewing = asyncio.Lock()

    async def metadata(self, member: Member, *, timeout_s: float) -> Metadata:
        """Return the metadata for a call; asks `member` for a token if there is none.

        Raises StoreUnavailableError if none is to be had.
        """
        if self._password_path is None:
            return HAS_LEADER
        async with asyncio.timeout(timeout_s), self._renewing:  # one asks, all who wait use its answer
            if self._token is None:
                self._token = await self._authenticate(member, self._password_path, timeout_s)
            return (*HAS_LEADER, ("token", self._token)) if self._token else HAS_LEADER

    def is_stale(self, exc: grpc.aio.AioRpcError) -> bool:
        """Return True if the call was refused, and not done, because its token is no longer good."""
        if self._password_path is None:
            return False
        if exc.code() is grpc.StatusCode.PERMISSION_DENIED:
            return not self._token  # authentication was switched on since, and our certificate's name taken for a user
        return exc.code() is grpc.StatusCode.UNAUTHENTICATED or exc.details() in _STALE_DETAILS

    def forget(self, used: Metadata) -> None:
        """Have a new token asked for, unless that was done since `used` was given out."""
        if self._token is not None and dict(used).get("token", "") == self._token:
            self._token = None

    async def _authenticate(self, member: Member, password_path: Path, timeout_s: float) -> str:
        try:
            password = (await asyncio.to_thread(password_path.read_text, "utf-8")).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            _log.error("the password for the control store cannot be read", dependency="etcd")
            raise StoreUnavailableError("the password for the control store cannot be read") from exc
        request = rpc.AuthenticateRequest(name=self._username, password=password)
        try:
            answer = await member.auth.Authenticate(request, timeout=timeout_s, metadata=HAS_LEADER)
        except grpc.aio.AioRpcError as exc:
            if exc.code() is grpc.StatusCode.FAILED_PRECONDITION:
                _log.warning("the control store asks for no authentication; going on without", dependency="etcd")
                return ""
            if exc.code() is grpc.StatusCode.INVALID_ARGUMENT:
                _log.error("the control store refuses our user or password", dependency="etcd")
            # `from None`: what gRPC says of a call may show parts of it.
            raise StoreUnavailableError("the control store gave no token") from None
        return str(answer.token)
