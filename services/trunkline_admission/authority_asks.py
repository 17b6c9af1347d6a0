"""A lease holder's asks, answered in this process: no stream between the holder and the authority."""

from __future__ import annotations

import asyncio
from typing import Final

from trunkline_admission.granting import Tenants, grant_of
from trunkline_admission.notes import notes_of, refused_of
from trunkline_admission.quota import QuotaAuthority, QuotaSource
from trunkline_lease.asks import Answer, Ask, AskKeeper
from trunkline_lease.spent import Spent, TokenSource
from trunkline_mesh.errors import DomainError
from trunkline_mesh.logs import get_logger

_LOG: Final = get_logger("admission.authority_asks")


class AuthorityAsks:
    """`trunkline_lease.Asks` over a `QuotaAuthority`: a bounded queue and a few workers, each busy with one ask.

    Give it to a holder: `LeaseHolder(lambda keeper: AuthorityAsks(keeper, tenants, quotas, valid_s=5), options)`. It
    reads no clock: all times are the holder's. Asks of one tenant may be answered in any order.
    """

    def __init__(
        self,
        keeper: AskKeeper,
        tenants: Tenants,
        quotas: QuotaAuthority,
        *,
        valid_s: float,
        workers: int = 8,
        max_waiting: int = 20_000,
    ) -> None:
        """Grant what may be spent for `valid_s` seconds. `workers` ask at a time; `max_waiting` asks may wait."""
        self._keeper = keeper
        self._tenants = tenants
        self._quotas = quotas
        self._valid_s = valid_s
        self._workers = workers
        self._waiting: asyncio.Queue[Ask] = asyncio.Queue(max_waiting)
        self._closing = asyncio.Event()
        self._healthy = True

    @property
    def healthy(self) -> bool:
        """True unless the last answer took too long."""
        return self._healthy

    @property
    def connected(self) -> bool:
        """True until `finish`."""
        return not self._closing.is_set()

    def send(self, ask: Ask) -> bool:
        """As `Asks.send`."""
        if self._closing.is_set() or self._waiting.full():
            return False
        self._waiting.put_nowait(ask)
        return True

    def doubt(self) -> None:
        """As `Asks.doubt`."""
        self._healthy = False

    def give_up_if_stuck(self) -> None:
        """Do nothing: the authority's own time limits end every ask."""

    def finish(self) -> None:
        """As `Asks.finish`."""
        self._closing.set()

    async def run(self) -> None:
        """As `Asks.run`."""
        workers = [asyncio.ensure_future(self._work()) for _ in range(self._workers)]
        try:
            await self._closing.wait()
            await self._waiting.join()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            ask = await self._waiting.get()
            try:
                answer = await self._answer(ask)
            except DomainError as exc:
                _LOG.info("ask was not answered", error_type=type(exc).__name__)
                self._keeper.lost((ask,))
            except Exception as exc:  # noqa: BLE001 - one bad answer must not end the worker for all tenants
                _LOG.error("ask failed", error_type=type(exc).__name__, exc_info=exc)
                self._keeper.lost((ask,))
            else:
                self._healthy = True
                self._keeper.answered(ask, answer)
            finally:
                self._waiting.task_done()

    async def _answer(self, ask: Ask) -> Answer:
        leased = await grant_of(
            self._tenants,
            self._quotas,
            ask.tenant_id,
            ask.wanted,
            ask.returned,
            key=ask.key,
            advanced=ask.advanced,
        )
        grant = leased.grant
        source = TokenSource.LOCAL if grant.source is QuotaSource.LOCAL else TokenSource.AUTHORITY
        spent = Spent(leased.rank, source, notes_of(grant.warnings))
        return Answer(grant.granted, self._valid_s, spent, None if grant.granted else refused_of(grant.refusal))
