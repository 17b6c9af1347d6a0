"""The order of the stages, and what composing leaves out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from trunkline_mesh.app import never
from trunkline_mesh.drain import Drain
from trunkline_mesh.identity import JwksKeys, TokenVerifier
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.method_policy import Access, MethodPolicy
from trunkline_mesh.stage import Context, Handler, MethodStages
from trunkline_mesh.stages import STAGES, compose
from trunkline_mesh.trailers import AnswerTrailers


def method(policy: MethodPolicy | None) -> MethodStages:
    """Return the stages' view of a method."""
    return MethodStages(
        name="/trunkline.test.v1.ProbeService/Unary",
        policy=policy,
        verifier=TokenVerifier(JwksKeys(""), issuer="issuer", audience="trunkline"),
        limiter=CapacityLimiter(max_concurrency=1, max_queue=0, max_queue_per_tenant=0),
        slow_call_s=1.0,
        access_log_ok_every=0,
        rank_of=None,
        lowest_rank=0,
        drain=Drain(),
        trailers=AnswerTrailers(lambda: 0.0, never),
    )


def test_the_order_is_fixed() -> None:
    """Observers stand outside `errors` and see the final code; whatever may refuse stands inside it."""
    names = [name for name, _ in STAGES]
    observers = ["scope", "tracing", "metrics", "access_log"]
    assert names == [*observers, "errors", "auth", "rank", "deadline", "drain", "open_calls", "capacity"]


def test_identity_comes_before_anything_that_costs() -> None:
    """A stranger takes no slot, and is told nothing of deadlines."""
    names = [name for name, _ in STAGES]
    assert names.index("errors") < names.index("auth") < names.index("deadline") < names.index("capacity")
    assert names.index("auth") < names.index("rank") < names.index("capacity"), "who asks decides how it waits"


async def handler(request: Any, _context: Context) -> Any:
    return request


@contextmanager
def noted(order: list[str]) -> Iterator[None]:
    """Note which stage wraps which while composing."""
    with pytest.MonkeyPatch.context() as patch:

        def named(name: str) -> Any:
            def stage(_method: MethodStages, inner: Handler) -> Handler:
                async def wrapped(request: Any, context: Context) -> Any:
                    order.append(name)
                    return await inner(request, context)

                return wrapped

            return stage

        patch.setattr("trunkline_mesh.stages.STAGES", tuple((name, named(name)) for name, _ in STAGES))
        yield


async def test_the_first_stage_is_the_outermost() -> None:
    """Composing keeps the table's order."""
    order: list[str] = []
    with noted(order):
        composed = compose(method(None), handler)
    assert await composed("request", cast("Context", None)) == "request"
    assert order == [name for name, _ in STAGES]


def test_stages_without_work_are_composed_away() -> None:
    """A public method without weight pays for neither identity nor capacity, and nobody for traces that are off."""
    stages = dict(STAGES)
    public = method(MethodPolicy(Access.PUBLIC, cap_s=1, floor_s=0, weight=0))
    for name in ("auth", "rank", "capacity", "open_calls", "tracing"):
        assert stages[name](public, handler) is handler
    assert stages["auth"](method(None), handler) is not handler, "an unlisted method asks for identity, then denies"


def test_every_stage_is_made_without_a_running_loop() -> None:
    """Composing is pure wiring."""
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    compose(method(MethodPolicy(Access.TENANT, cap_s=1, floor_s=0)), handler)
