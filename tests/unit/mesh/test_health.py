"""Checks to health states: of the process, of each service, of each dependency."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from grpc_health.v1 import health_pb2

from trunkline_mesh.app import MeshApp, ServiceBinding, never
from trunkline_mesh.health import HealthPoller
from trunkline_mesh.health_servicer import HealthServicer
from trunkline_mesh.trailers import AnswerTrailers

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
TRAILERS = AnswerTrailers(lambda: 0.0, never)
Checks = Mapping[str, Callable[[], bool]]


class Context:
    """A caller of the health service: what it was written, and nothing else."""

    def __init__(self) -> None:
        self.written: asyncio.Queue[int] = asyncio.Queue()

    def trailing_metadata(self) -> None:
        return None

    def set_trailing_metadata(self, _metadata: object) -> None:
        return None

    async def write(self, response: health_pb2.HealthCheckResponse) -> None:
        self.written.put_nowait(response.status)


def app(checks: Checks | None = None, soft: Checks | None = None, of_service: Checks | None = None) -> MeshApp:
    """Return an application of the services `a.A` and `b.B`."""
    bindings = [ServiceBinding(name, object(), lambda _servicer, _server: None, {}) for name in ("a.A", "b.B")]
    return MeshApp("test", bindings, checks or {}, soft or {}, of_service or {})


async def states(poller: HealthPoller, *names: str) -> list[int]:
    context = cast("Any", Context())
    answers = [await poller.servicer.Check(health_pb2.HealthCheckRequest(service=name), context) for name in names]
    return [answer.status for answer in answers]


async def test_a_services_own_check_touches_that_service_alone() -> None:
    """The process and the other service stay SERVING."""
    open_ = {"a": False}
    poller = HealthPoller(app({"map": lambda: True}, of_service={"a.A": lambda: open_["a"]}), TRAILERS)
    poller.poll()
    assert await states(poller, "", "a.A", "b.B", "dependency/map") == [SERVING, NOT_SERVING, SERVING, SERVING]
    open_["a"] = True
    poller.poll()
    assert await states(poller, "a.A") == [SERVING]


async def test_a_services_own_check_does_not_save_it_from_the_processs() -> None:
    """SERVING needs both."""
    poller = HealthPoller(app({"map": lambda: False}, of_service={"a.A": lambda: True}), TRAILERS)
    poller.poll()
    assert await states(poller, "", "a.A", "b.B") == [NOT_SERVING] * 3


async def test_a_check_that_breaks_is_not_ready() -> None:
    """And does not end the poller."""

    def broken() -> bool:
        raise RuntimeError

    poller = HealthPoller(app(of_service={"a.A": broken}), TRAILERS)
    poller.poll()
    assert await states(poller, "", "a.A") == [SERVING, NOT_SERVING]


def test_names_that_health_could_not_tell_apart_are_refused() -> None:
    """`dependency/map` can say one thing only; a check of a service that is not there would say nothing."""
    with pytest.raises(ValueError, match="map"):
        app({"map": lambda: True}, {"map": lambda: True})
    with pytest.raises(ValueError, match=r"c\.C"):
        app(of_service={"c.C": lambda: True})


async def test_draining_is_for_good() -> None:
    """Whatever is set afterwards."""
    servicer = HealthServicer(TRAILERS)
    servicer.set("a.A", SERVING)
    servicer.drain()
    servicer.set("a.A", SERVING)
    answer = await servicer.Check(health_pb2.HealthCheckRequest(service="a.A"), cast("Any", Context()))
    assert answer.status == NOT_SERVING


async def test_a_watcher_that_leaves_takes_no_other_with_it() -> None:
    """Two watch one name, one leaves, the other still hears of the change."""
    servicer = HealthServicer(TRAILERS)
    request = health_pb2.HealthCheckRequest(service="a.A")
    leaver, stayer = Context(), Context()
    watches = [asyncio.ensure_future(servicer.Watch(request, cast("Any", one))) for one in (leaver, stayer)]
    assert [await one.written.get() for one in (leaver, stayer)] == [UNKNOWN, UNKNOWN]
    watches[0].cancel()
    await asyncio.wait(watches[:1])
    servicer.set("a.A", SERVING)
    assert await asyncio.wait_for(stayer.written.get(), 5) == SERVING
    watches[1].cancel()
    await asyncio.wait(watches)
