"""The load generator itself: its schedule, its judgement, and the process as its owner sees it."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.load_answer import NOT_SENT, Answer
from tests.chaos.load_asker import Asker
from tests.chaos.load_figures import between, latency_ms, outcomes, quantile
from tests.chaos.load_loop import schedule
from tests.chaos.load_process import LoadProcess
from tests.chaos.load_spec import LoadSpec, Question, Stream
from tests.integration.client.fake_router import Cut, FakeRouter, Hang, ServicerContext, start_server
from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_map import token as tokens

EPOCH = b"8 bytes."
EU = "eu-west"
LIGHT = Question(name="light", text="What warns ships?", collections=("atlas",), top="acme-light", text_of_top="Ships.")
ANSWER = Answer(1.0, 0.5, 20.0, "s", "q", "OK", True, EU, (EU,), ("eu-west OK 3",), (), (), 7, 0.25, 0, "")


class KnownRouter(FakeRouter):
    """Answers with hits that the test chose, from a map of a revision that it chose."""

    def __init__(self) -> None:
        super().__init__(EU)
        self.hits = [("acme-light", "Ships.", EU), ("acme-other", "Trains.", EU)]
        self.revision = 7

    async def Search(  # noqa: N802  # the contract's name
        self, request: routing_pb.SearchRequest, context: ServicerContext
    ) -> routing_pb.SearchResponse:
        response = await super().Search(request, context)
        del response.hits[:]
        for document_id, text, region in self.hits:
            document = document_pb.Document(document_id=document_id, text=text)
            response.hits.append(routing_pb.SearchHit(document=document, region=region))
        response.trail.map.map_token = tokens.encode(EPOCH, self.revision)
        return response


@pytest.fixture
async def router() -> AsyncIterator[KnownRouter]:
    known = KnownRouter()
    server = await start_server(known)
    yield known
    await server.stop(None)


def _stream(target: str, **fields: Any) -> Stream:
    values = {"name": "acme", "tenant": "acme", "token": "jwt", "routers": (f"{EU}={target}",), "rps": 40.0}
    return Stream(**{**values, "questions": (LIGHT,), "regions": {EU}, "owner": "acme-", **fields})


@given(
    seed=st.integers(),
    rates=st.lists(st.floats(0.5, 200.0), min_size=1, max_size=4),
    arrivals=st.sampled_from(["poisson", "regular"]),
)
def test_the_same_seed_gives_the_same_schedule_in_order(seed: int, rates: list[float], arrivals: Any) -> None:
    """Moments never go back, every stream has its turn, and a run can be repeated."""
    streams = tuple(_stream("h:1", name=f"s{index}", rps=rps) for index, rps in enumerate(rates))
    spec = LoadSpec(streams=streams, seed=seed, arrivals=arrivals)
    first, again = (list(itertools.islice(schedule(spec, start_s=5.0), 64)) for _ in range(2))
    assert first == again
    moments = [at_s for at_s, _ in first]
    assert moments == sorted(moments)
    assert moments[0] > 5.0


@pytest.mark.parametrize("arrivals", ["poisson", "regular"])
def test_the_schedule_keeps_its_rate(arrivals: Any) -> None:
    """Over many arrivals the streams come as often as they shall, each by itself and together."""
    streams = (_stream("h:1", name="a", rps=30.0), _stream("h:1", name="b", rps=10.0))
    spec = LoadSpec(streams=streams, seed=3, arrivals=arrivals)
    seen = list(itertools.islice(schedule(spec, start_s=0.0), 8_000))
    assert seen[-1][0] == pytest.approx(8_000 / spec.offered_rps, rel=0.05)
    assert sum(index == 0 for _, index in seen) == pytest.approx(6_000, rel=0.05)


def test_an_answer_survives_its_line() -> None:
    """What is written is what is read."""
    assert Answer.from_values(json.loads(ANSWER.to_line())) == ANSWER


def test_figures_are_of_what_was_asked_in_a_span() -> None:
    """Failures count into latencies, quantiles are values that were measured, and none at all is zero."""
    slow = ANSWER._replace(at_s=2.0, ms=900.0, outcome="UNAVAILABLE", right=None)
    answers = [ANSWER._replace(at_s=1.0 + index / 100) for index in range(99)] + [slow]
    assert latency_ms(answers, 0.5) == 20.0
    assert latency_ms(answers, 0.99) == 900.0
    assert latency_ms([], 0.99) == quantile([], 0.5) == 0.0
    assert outcomes(answers) == {"UNAVAILABLE": 1}
    assert between(answers, 1.985, 3.0) == [slow]
    assert (slow.good, slow.failed, ANSWER.good, ANSWER.failed) == (False, True, True, False)


@pytest.mark.parametrize(
    ("hits", "wrong"),
    [
        ([("acme-light", "Ships.", EU)], ""),
        ([("acme-other", "Trains.", EU), ("acme-light", "Ships.", EU)], "not acme-light first"),
        ([], "not acme-light first"),
        ([("acme-light", "Cars.", EU)], "another text"),
        ([("acme-light", "Ships.", EU), ("globex-light", "Ships.", EU)], "somebody else's"),
        ([("acme-light", "Ships.", "us-east")], "came from us-east"),
    ],
)
async def test_answers_are_compared_with_the_known_one(
    router: KnownRouter, hits: list[tuple[str, str, str]], wrong: str
) -> None:
    """Another document, order, text, tenant or region than the known one is a wrong answer, and it says why."""
    router.hits = hits
    async with Asker(_stream(router.target), 2.0) as asker:
        answer = await asker.ask(LIGHT, 0.0)
    assert (answer.outcome, answer.right) == ("OK", not wrong)
    assert wrong in answer.detail
    assert answer.good is not bool(wrong)


async def test_a_map_older_than_the_token_is_a_wrong_answer(router: KnownRouter) -> None:
    """An answer names the revision that was asked for and the one that it rests on, and may not be older."""
    async with Asker(_stream(router.target), 2.0) as asker:
        asker.read_after(tokens.encode(EPOCH, 8))
        stale = await asker.ask(LIGHT, 0.0)
        router.revision = 9
        fresh = await asker.ask(LIGHT, 0.0)
    assert (stale.right, stale.revision, stale.asked_revision) == (False, 7, 8)
    assert (fresh.right, fresh.revision, fresh.asked_revision) == (True, 9, 8)


async def test_a_router_of_a_region_that_may_not_answer_is_wrong(router: KnownRouter) -> None:
    """Where the answer came from is judged as well as what it says."""
    async with Asker(_stream(router.target, regions={"us-east"}), 2.0) as asker:
        answer = await asker.ask(LIGHT, 0.0)
    assert "router of eu-west" in answer.detail
    assert answer.right is False


async def test_the_process_reports_every_arrival_and_itself(router: KnownRouter) -> None:
    """Answers come while it runs, errors with their attempts, tokens on command; at the end it accounts for all."""
    spec = LoadSpec(streams=(_stream(router.target),), seed=1)
    async with LoadProcess(spec) as load:
        assert await load.until(lambda answer: answer.good, within_s=30.0)
        router.act = lambda _: Cut()
        failed = await load.until(lambda answer: answer.failed, within_s=30.0)
        router.act = None
        await load.send_token(tokens.encode(EPOCH, 7), streams=["acme"])
        assert await load.until(lambda answer: answer.good and answer.asked_revision == 7, within_s=30.0)
        account = await load.stop()
    assert failed is not None
    assert failed.outcome == "UNAVAILABLE"
    assert failed.tries
    assert account.arrivals == account.answered == len(load.answers)
    assert account.not_sent == 0
    assert account.generator_lag_ms_max >= account.generator_lag_ms_p99 >= account.generator_lag_ms_p50 >= 0.0


async def test_arrivals_wait_for_nobody(router: KnownRouter) -> None:
    """While the server hangs arrivals go on; those beyond the bound are not sent and are errors."""
    router.act = lambda _: Hang()
    spec = LoadSpec(streams=(_stream(router.target),), seed=1, deadline_s=1.0, max_in_flight=3)
    async with LoadProcess(spec) as load:
        assert await load.until(lambda answer: answer.outcome == NOT_SENT, within_s=30.0)
        account = await load.stop()
    assert len(router.seen) <= account.arrivals - account.not_sent
    assert {answer.outcome for answer in load.answers} == {NOT_SENT, "DEADLINE_EXCEEDED"}


async def test_a_closed_loop_measures_what_can_be_answered(router: KnownRouter) -> None:
    """Callers that wait for each answer end by themselves and tell the rate."""
    spec = LoadSpec(streams=(_stream(router.target),), seed=1, closed_in_flight=4, seconds=0.5)
    async with LoadProcess(spec) as load:
        account = await load.account()
    assert account.arrivals == len(load.answers)
    assert account.full_rps == account.done_rps > 0.0


async def test_the_generator_does_not_outlive_its_owner(router: KnownRouter) -> None:
    """Leaving the context ends the process, also while requests hang."""
    router.act = lambda _: Hang()
    async with LoadProcess(LoadSpec(streams=(_stream(router.target),), seed=1)) as load:
        process = load._process
        assert process is not None
        await router.called.wait()
    assert process.returncode is not None
