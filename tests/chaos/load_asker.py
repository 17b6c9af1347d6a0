"""One stream's client: asks, and compares every answer with what is known to be right."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Iterable
from itertools import accumulate
from types import TracebackType
from typing import Final, Self

from tests.chaos.load_answer import NOT_SENT, OK, Answer
from tests.chaos.load_spec import Question, Stream
from trunkline_client import RouteResult, SearchResult, Trail, TrunklineClient, TrunklineError
from trunkline_map import token as tokens

_STANDS_BY: Final = "NOT_NEEDED"
_DETAIL_CHARS: Final = 400


class Asker:
    """The client of one stream. Use it as an async context manager."""

    def __init__(self, stream: Stream, deadline_s: float) -> None:
        self.stream: Final = stream
        self._deadline_s = deadline_s
        self._client = TrunklineClient(stream.routers, stream.token)
        self._weights = list(accumulate(each.weight for each in stream.questions))
        self._fresh = 0
        self._mark: Final = secrets.token_hex(4)
        self._asked_revision = 0

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    def read_after(self, map_token: bytes) -> None:
        """Send a map token along from now on; empty for none. Raises MapTokenInvalid."""
        self._asked_revision = tokens.decode(map_token).revision if map_token else 0
        self._client.read_after(map_token)

    def choose(self, rng: random.Random) -> Question:
        """Return a question by weight."""
        return rng.choices(self.stream.questions, cum_weights=self._weights)[0]

    def not_sent(self, question: Question, at_s: float) -> Answer:
        """Return the account of an arrival that found too many in flight."""
        return self._answer(question, at_s, time.monotonic(), NOT_SENT, "too many in flight")

    async def ask(self, question: Question, at_s: float) -> Answer:
        """Ask, and return what came of it. Whatever the client raises is an outcome."""
        began_s, asked_revision = time.monotonic(), self._asked_revision
        try:
            result = await self._send(question)
        except TrunklineError as exc:
            outcome = exc.reason or exc.status
            answer = self._answer(question, at_s, began_s, outcome, str(exc))
            tries = tuple(_try(each.region, each.outcome, each.elapsed_s) for each in exc.attempts)
            return answer._replace(tries=tries, asked_revision=asked_revision)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001  # a caller of the client sees it, so it is counted as what it is
            return self._answer(question, at_s, began_s, type(exc).__name__, str(exc))
        wrong = self._wrong(question, result)
        answer = self._answer(question, at_s, began_s, OK, wrong)
        return answer._replace(
            right=not wrong,
            router=result.router.region,
            regions=tuple(sorted({each.served_region for each in result.trail.collections} - {""})),
            tries=tuple(_try(each.region, each.outcome, each.elapsed_s) for each in result.attempts),
            inside=tuple(_inside(result.trail)),
            degraded=tuple(map(str, result.trail.degradations)),
            revision=tokens.decode(result.trail.map_token).revision if result.trail.map_token else 0,
            map_age_s=round(result.trail.map_age_s, 3),
            asked_revision=asked_revision,
        )

    async def _send(self, question: Question) -> SearchResult | RouteResult:
        text = question.text
        if question.fresh:
            self._fresh += 1
            text = f"{text} ({self._mark} {self._fresh})"
        if question.kind == "route":
            return await self._client.route(text, collections=question.collections, deadline_s=self._deadline_s)
        return await self._client.search(
            text,
            collections=question.collections,
            top_k=question.top_k,
            rerank=question.rerank,
            deadline_s=self._deadline_s,
        )

    def _wrong(self, question: Question, result: SearchResult | RouteResult) -> str:
        """Return what is wrong with an answer; empty if nothing is."""
        if self._asked_revision and tokens.decode(result.trail.map_token).revision < self._asked_revision:
            return "the map is older than the token that was sent along"
        if result.router.region not in self.stream.regions:
            return f"answered by the router of {result.router.region}"
        if isinstance(result, RouteResult):
            return ""
        for hit in result.hits:
            if hit.region not in self.stream.regions:
                return f"a document came from {hit.region}"
            if not hit.document_id.startswith(self.stream.owner):
                return f"a document of somebody else's: {hit.document_id}"
        if question.top and (not result.hits or result.hits[0].document_id != question.top):
            return f"not {question.top} first but {[hit.document_id for hit in result.hits]}"
        if question.text_of_top and result.hits[0].text != question.text_of_top:
            return f"{question.top} has another text"
        return ""

    def _answer(self, question: Question, at_s: float, began_s: float, outcome: str, detail: str) -> Answer:
        return Answer(
            at_s=at_s,
            late_ms=round((began_s - at_s) * 1000, 3),
            ms=round((time.monotonic() - at_s) * 1000, 3),
            stream=self.stream.name,
            question=question.name,
            outcome=outcome,
            right=None,
            router="",
            regions=(),
            tries=(),
            inside=(),
            degraded=(),
            revision=0,
            map_age_s=0.0,
            asked_revision=self._asked_revision,
            detail=detail[:_DETAIL_CHARS],
        )


def _try(region: str, outcome: str, elapsed_s: float) -> str:
    return f"{region} {outcome} {elapsed_s * 1000:.0f}"


def _inside(trail: Trail) -> Iterable[str]:
    for collection in trail.collections:
        for each in collection.attempts:
            if each.outcome != _STANDS_BY:
                yield f"{each.region} {each.outcome} {each.error}".rstrip()
