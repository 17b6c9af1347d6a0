"""A client that tells exactly what came back, for any shape and any bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tests.integration.mesh.probe import SERVICE, Text

M = TypeVar("M", bound=Message)
Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """What a caller got."""

    code: grpc.StatusCode
    text: str = ""
    """Value of the response, or the status message."""
    reason: str = ""
    """Reason of the ErrorInfo; empty without details."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Metadata of the ErrorInfo."""
    infos: int = 0
    """How many ErrorInfo came; the contract says one."""
    details_bytes: int = 0
    retry_delay_s: float = 0.0
    """From RetryInfo; 0 without one."""
    took_s: float = 0.0

    @property
    def everything(self) -> str:
        """All that the caller can read."""
        return f"{self.text} {self.reason} {self.metadata}"


@dataclass
class Caller:
    """Calls the probe service over one channel, by default with one credential."""

    channel: grpc.aio.Channel
    token: str | None = None

    async def call(
        self,
        text: str = "hello",
        *,
        shape: str = "Unary",
        timeout_s: float | None = 5.0,
        token: str | None = None,
        metadata: Metadata = (),
        raw: bytes | None = None,
        path: str | None = None,
    ) -> Answer:
        """Make one call; `raw` replaces the serialized message, `path` the method that `shape` names."""
        payload = Text(value=text).SerializeToString() if raw is None else raw
        credential = self.token if token is None else token
        head = (("authorization", f"Bearer {credential}"),) if credential else ()
        options: dict[str, Any] = {"timeout": timeout_s, "metadata": (*head, *metadata)}
        began_s = time.monotonic()
        try:
            response = await _invoke(self.channel, path or f"/{SERVICE}/{shape}", shape, payload, options)
        except grpc.aio.AioRpcError as error:
            return _failure(error, time.monotonic() - began_s)
        text_back = Text.FromString(response).value if path is None else ""
        return Answer(grpc.StatusCode.OK, text_back, took_s=time.monotonic() - began_s)


async def _invoke(channel: grpc.aio.Channel, path: str, shape: str, payload: bytes, options: dict[str, Any]) -> bytes:
    async def requests() -> AsyncIterator[bytes]:
        yield payload

    responses: Any
    if shape == "ClientStream":
        client_stream: Any = channel.stream_unary(path)
        return bytes(await client_stream(requests(), **options))
    if shape == "ServerStream":
        server_stream: Any = channel.unary_stream(path)
        responses = server_stream(payload, **options)
    elif shape == "Bidi":
        bidi: Any = channel.stream_stream(path)
        responses = bidi(requests(), **options)
    else:
        unary: Any = channel.unary_unary(path)
        return bytes(await unary(payload, **options))
    received = [bytes(response) async for response in responses]
    return received[-1] if received else b""


def _failure(error: grpc.aio.AioRpcError, took_s: float) -> Answer:
    status: Any = rpc_status.from_call(error)
    infos = _details(status, error_details_pb2.ErrorInfo)
    retries = _details(status, error_details_pb2.RetryInfo)
    first = infos[0] if infos else error_details_pb2.ErrorInfo()
    return Answer(
        error.code(),
        error.details() or "",
        first.reason,
        dict(first.metadata),
        infos=len(infos),
        details_bytes=status.ByteSize() if status is not None else 0,
        retry_delay_s=retries[0].retry_delay.ToTimedelta().total_seconds() if retries else 0.0,
        took_s=took_s,
    )


def _details(status: Any, kind: type[M]) -> list[M]:
    found = []
    for detail in status.details if status is not None else ():
        if detail.Is(kind.DESCRIPTOR):
            message = kind()
            detail.Unpack(message)
            found.append(message)
    return found


async def eventually(condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Wait until a condition of this process holds; raises TimeoutError if it does not."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the condition is another library's, which has no event to wait for
            await asyncio.sleep(0.005)
