"""What the clients stand on: routers, a credential, a budget, and the way a call takes over them."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import grpc

from trunkline_client.budget import RetryBudget
from trunkline_client.context import Answer, Context
from trunkline_client.credential import Credential, TokenSource
from trunkline_client.journey import Journey
from trunkline_client.methods import Method, RequestT, ResponseT
from trunkline_client.pool import RouterPool
from trunkline_client.requests import new_request_id
from trunkline_client.residency import ResidencyMemory
from trunkline_client.router import RouterAddress
from trunkline_client.settings import ClientSettings
from trunkline_client.watch import RouterWatch


class Session:
    """Base of the clients: an async context manager that owns the connections. One event loop, one credential."""

    def __init__(
        self,
        routers: Sequence[RouterAddress | str],
        token: TokenSource,
        *,
        settings: ClientSettings | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._settings = settings or ClientSettings()
        addresses = [RouterAddress.parse(item) if isinstance(item, str) else item for item in routers]
        pool = RouterPool(addresses, self._settings, credentials)
        self._context = Context(
            pool,
            RouterWatch(pool, self._settings),
            RetryBudget(self._settings.retry_ratio, self._settings.retry_floor),
            Credential(token),
            ResidencyMemory(self._settings.residency_memory_s),
            self._settings,
        )

    async def __aenter__(self) -> Self:
        self._context.pool.warm()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; calls under way are cancelled."""
        await self._context.watch.close()
        await self._context.pool.close()

    async def _call(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        deadline_s: float,
        request_id: str | None = None,
        scope: str = "",
    ) -> Answer[ResponseT]:
        journey = Journey(
            self._context,
            method,
            request,
            deadline_s=deadline_s,
            request_id=new_request_id(request_id),
            scope=scope,
        )
        return await journey.run()
