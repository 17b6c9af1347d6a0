"""One call on its way over the routers: attempts, their shares of the deadline, and where to go after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Generic, NoReturn

import grpc

from trunkline_client.context import Answer, Context
from trunkline_client.errors import Attempt, ResidencyRefused, error_class
from trunkline_client.failure import Failure, read_failure
from trunkline_client.methods import Method, Repeat, RequestT, ResponseT
from trunkline_client.residency import ROUTER_OUTSIDE, Allowed
from trunkline_client.router import Router, RouterAddress, wait_connected
from trunkline_client.signals import TIMEOUT_KEY, read_signals
from trunkline_client.verdict import TIME_IS_GONE, Verdict, judge

# Less than this is no time in which anything could be answered.
_MIN_LEFT_S: Final = 0.002
_OUTCOME_UNKNOWN: Final = "Whether the change was made is unknown: read the entry back before you repeat it."


class Journey(Generic[RequestT, ResponseT]):
    """Carries one request until an answer, a refusal that a repeat would not change, or the end of its time.

    At most `max_attempts` requests are sent; each repeat is paid from the retry budget. A router that cannot be
    connected has been sent nothing, so passing it over costs neither.
    """

    def __init__(
        self,
        context: Context,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        deadline_s: float,
        request_id: str,
        scope: str,
    ) -> None:
        self._context = context
        self._method = method
        self._request = request
        self._request_id = request_id
        self._scope = scope
        self._ends_s = context.clock() + deadline_s
        self._attempts: list[Attempt] = []
        self._sent = 0
        self._tried: set[Router] = set()
        self._silent_regions: set[str] = set()
        self._useless: set[Router] = set()
        self._not_before_s: dict[Router | None, float] = {}
        self._last: Failure | None = None
        self._said: Failure | None = None
        self._last_share_s = 0.0
        self._next = Verdict(repeat=True, free=True)
        self._expired_token: str | None = None
        self._allowed: Allowed | None = context.memory.recall(scope) if scope else None
        self._answers: dict[Router, Failure] = {}

    async def run(self) -> Answer[ResponseT]:
        """Return the answer. Raises a TrunklineError with every attempt listed."""
        self._context.budget.record_request()
        while True:
            router = await self._choose()
            probing = self._context.pool.begin(router)
            try:
                if await self._connect(router):
                    response = await self._attempt(router)
                    if response is not None:
                        return Answer(response, router.address, tuple(self._attempts))
            finally:
                if probing:
                    self._context.pool.end_probe(router)

    def _left_s(self) -> float:
        return self._ends_s - self._context.clock()

    def _candidates(self) -> Sequence[Router]:
        """Return the routers that may be asked, best first; those not tried yet before the others.

        Behind a router that froze there may be a frozen region, and each further one of it would take a share of the
        time: other regions come first then.
        """
        among = None if self._allowed is None else self._allowed.among(self._context.pool.all())
        ranked = self._context.pool.ordered(self._method.name, among)
        usable = [router for router in ranked if router not in self._useless]
        return sorted(usable, key=lambda each: (each in self._tried, each.address.region in self._silent_regions))

    async def _choose(self) -> Router:
        if self._left_s() < _MIN_LEFT_S:
            self._give_up(self._last or Failure("", "DEADLINE_EXCEEDED", "the time was gone before anything was sent"))
        candidates = self._candidates()
        if not candidates:
            self._give_up(self._last or Failure("", "UNAVAILABLE", "no router is known that may be asked"))
        starts_s = max(self._not_before_s.get(None, 0.0), self._not_before_s.get(candidates[0], 0.0))
        pause_s = starts_s - self._context.clock()
        if pause_s >= self._left_s() - _MIN_LEFT_S:
            self._give_up(self._last or Failure("", "DEADLINE_EXCEEDED", "the pause is longer than the time left"))
        if pause_s > 0.0:
            await asyncio.sleep(pause_s)
        return candidates[0]

    async def _connect(self, router: Router) -> bool:
        """Wait for a connection, so that a router that is gone is passed over before the request leaves."""
        if router.ready:
            return True
        began_s = self._context.clock()
        others = any(other is not router for other in self._candidates())
        cap_s = min(self._context.settings.connect_timeout_s, self._left_s())
        if others:
            cap_s = min(cap_s, self._left_s() * self._context.settings.share)
        if await wait_connected(router.channel, cap_s, stop_at_failure=others):
            return True
        # A router need not be dead to miss a very short time; one that refused the connection is.
        if cap_s >= self._context.settings.min_share_s or router.refuses:
            self._context.pool.failed(router)
        self._useless.add(router)
        self._note(router, "UNREACHABLE", began_s, sent=False)
        if self._last is None or self._last.is_transport:
            self._last = Failure("", "UNAVAILABLE", "no connection")
        return False

    def _share_s(self, router: Router) -> float:
        left_s, settings = self._left_s(), self._context.settings
        others = any(other is not router for other in self._candidates())
        another = others and self._sent + 1 < settings.max_attempts and self._context.budget.available()
        if self._next.whole_rest or not another or self._method.repeat is Repeat.UNSENT:
            return left_s
        return max(left_s * settings.share, min(left_s * 0.8, settings.min_share_s))

    async def _attempt(self, router: Router) -> ResponseT | None:
        token = await self._context.credential.token()
        if not self._next.free and not self._context.budget.try_spend():
            self._give_up(self._last or Failure("", "UNAVAILABLE", "the retry budget is spent"))
        share_s = self._last_share_s = self._share_s(router)
        self._sent += 1
        self._tried.add(router)
        began_s = self._context.clock()
        metadata = (
            ("authorization", f"Bearer {token}"),
            ("trunkline-request-id", self._request_id),
            ("trunkline-attempt", str(self._sent)),
            (TIMEOUT_KEY, str(int(share_s * 1_000_000))),
        )
        waiting = self._context.watch.expect_answer(router, router.latency(self._method.name).usual_s, share_s)
        try:
            call = router.bound(self._method)(self._request, timeout=share_s, metadata=metadata)
            response = await call
            signals = read_signals(await call.trailing_metadata())
        except grpc.aio.AioRpcError as exc:
            failure = read_failure(exc)
            self._note(router, failure.reason or failure.status, began_s)
            if not failure.is_transport:
                self._context.pool.answered(router, read_signals(exc.trailing_metadata()))
            self._after(router, failure, share_s, share_was_part=share_s < self._ends_s - began_s, token=token)
            return None
        finally:
            waiting.cancel()
        now_s = self._context.clock()
        self._context.pool.answered(router, signals)
        router.latency(self._method.name).record(now_s - began_s, now_s)
        self._note(router, "OK", began_s)
        return response

    def _note(self, router: Router, outcome: str, began_s: float, *, sent: bool = True) -> None:
        elapsed_s = self._context.clock() - began_s
        self._attempts.append(Attempt(router.address.region, router.address.target, outcome, elapsed_s, sent))

    def _after(self, router: Router, failure: Failure, share_s: float, *, share_was_part: bool, token: str) -> None:
        """Record what a failure says of its router; return if another attempt shall be made, else raise."""
        self._last = failure
        if not failure.is_transport and failure.reason not in TIME_IS_GONE:
            self._said = failure
        if failure.is_transport:
            self._blame(router, failure, share_s)
        elif failure.reason != ROUTER_OUTSIDE:
            self._answers[router] = failure
        renewed = self._context.credential.renewable and self._expired_token is None
        if failure.reason == "CREDENTIAL_EXPIRED":
            self._expired_token = token
        self._next = judge(failure, repeat=self._method.repeat, share_was_part=share_was_part, renewed_token=renewed)
        if failure.reason == ROUTER_OUTSIDE:
            self._redirect(router, failure)
        if not self._next.repeat or self._sent >= self._context.settings.max_attempts:
            self._give_up(failure)
        if self._next.pause:
            self._not_before_s[None if self._next.everywhere else router] = self._resume_s(failure)
        if self._next.relieve:
            self._context.pool.avoid(router, failure.retry_delay_s or self._context.settings.rest_s)

    def _blame(self, router: Router, failure: Failure, share_s: float) -> None:
        if failure.is_timeout:
            self._useless.add(router)
            if router.address.region:
                self._silent_regions.add(router.address.region)
            # A router need not be dead to miss a very short time.
            if share_s < self._context.settings.min_share_s:
                return
        self._context.pool.failed(router)

    def _redirect(self, router: Router, failure: Failure) -> None:
        """From here on only the routers named by the refusal may see the request."""
        self._useless.add(router)
        allowed = Allowed.read(failure)
        if self._context.settings.follow_named_routers:
            for endpoint in allowed.endpoints:
                _adopt(self._context, endpoint)
        self._allowed = allowed if self._allowed is None else self._allowed.narrowed(allowed)
        if self._scope:
            self._context.memory.learn(self._scope, self._allowed)

    def _resume_s(self, failure: Failure) -> float:
        """Return the moment before which a repeat would come too early: the server's word, or a jittered back-off."""
        backoff_s = self._context.settings.backoff_s * 2.0 ** (self._sent - 1) * self._context.rng.uniform(0.5, 1.0)
        return self._context.clock() + max(failure.retry_delay_s or 0.0, backoff_s)

    def _give_up(self, failure: Failure) -> NoReturn:
        if self._allowed is not None:
            inside = [answer for router, answer in self._answers.items() if self._allowed.permits(router)]
            if not inside:
                raise ResidencyRefused(self._allowed.refusal, request_id=self._request_id, attempts=self._attempts)
            # What an allowed router said counts, also if it said so before another one refused to look.
            failure = inside[-1] if failure.reason == ROUTER_OUTSIDE else failure
        if self._said is not None and self._last_share_s < self._context.settings.min_share_s and _is_late(failure):
            failure = self._said  # an attempt without time to speak of hides no reason that was told before
        advice = (
            _OUTCOME_UNKNOWN if self._sent and failure.is_transport and self._method.repeat is Repeat.UNSENT else None
        )
        if failure.is_transport:
            failure = _in_the_caller_s_terms(failure, time_is_gone=self._left_s() <= _MIN_LEFT_S)
        kind = error_class(failure.reason, failure.status)
        raise kind(failure, request_id=self._request_id, attempts=self._attempts, advice=advice)


def _is_late(failure: Failure) -> bool:
    return failure.is_timeout or failure.reason in TIME_IS_GONE


def _in_the_caller_s_terms(failure: Failure, *, time_is_gone: bool) -> Failure:
    """Return what the last transport error means for the whole call: its time is gone, or nobody answered."""
    if time_is_gone:
        return Failure("", "DEADLINE_EXCEEDED", "the time was gone before a router answered")
    return Failure("", "UNAVAILABLE", f"no router answered ({failure.message.rstrip('. ')})")


def _adopt(context: Context, endpoint: str) -> None:
    try:
        context.pool.add(RouterAddress("", endpoint))
    except ValueError:
        return  # the refusal named something that is no address; the others still count
