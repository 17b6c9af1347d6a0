"""Long calls are counted: they hold no slot, so nothing else would bound them."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from contextlib import ExitStack
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.mesh.test_stages import handler, method

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Overloaded
from trunkline_mesh.method_policy import Access, MethodPolicy
from trunkline_mesh.open_calls import OpenCalls, open_calls_stage
from trunkline_mesh.request import Principal, RequestScope, enter_request


def test_one_too_many_is_refused_at_once_and_told_when_to_come_back() -> None:
    """And finds room when another has ended."""
    calls = OpenCalls(2, 0)
    with calls.one("a"):
        with calls.one("a"), pytest.raises(Overloaded) as caught, calls.one("b"):
            pass
        assert caught.value.retry_delay_s
        with calls.one("b"):
            assert len(calls) == 2


def test_one_caller_leaves_room_for_others() -> None:
    """Its own bound comes first."""
    calls = OpenCalls(10, 1)
    with calls.one("a"), calls.one("b"), pytest.raises(Overloaded), calls.one("a"):
        pass


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 6), st.integers(1, 3))
def test_neither_bound_is_ever_passed_and_nothing_is_left(callers: list[str], most: int, each: int) -> None:
    """Whoever comes, in whatever order."""
    calls = OpenCalls(most, each)
    with ExitStack() as stack:
        admitted: Counter[str] = Counter()
        for caller in callers:
            full = admitted.total() >= most or admitted[caller] >= each
            try:
                stack.enter_context(calls.one(caller))
            except Overloaded:
                assert full
            else:
                assert not full
                admitted[caller] += 1
    assert len(calls) == 0
    with calls.one("a"):
        pass


async def test_the_stage_counts_by_tenant_and_by_subject_where_there_is_none() -> None:
    """Two of one tenant's people share its bound; an operator has one of their own. What ends makes room."""
    policy = MethodPolicy(Access.AUTHENTICATED, cap_s=3600, floor_s=0, weight=0, max_open=9, max_open_per_caller=1)
    release = asyncio.Event()

    async def held(_request: Any, _context: Any) -> str:
        await release.wait()
        return "ended"

    staged = open_calls_stage(method(policy), held)

    async def call(subject: str, tenant_id: str | None) -> Any:
        scope = RequestScope("r", 1, "/x.Y/Watch", Deadline.after(60), deadline_capped=True)
        scope.principal = Principal(subject, tenant_id, frozenset(), "token", math.inf)
        enter_request(scope)
        return await staged("request", cast("Any", None))

    open_ = [asyncio.ensure_future(call(*who)) for who in (("ann", "acme"), ("ann", "globex"), ("op", None))]
    await asyncio.sleep(0)
    for subject, tenant_id in (("bob", "acme"), ("op", None)):
        with pytest.raises(Overloaded):
            await asyncio.ensure_future(call(subject, tenant_id))
    release.set()
    assert await asyncio.gather(*open_) == ["ended"] * 3
    assert await asyncio.ensure_future(call("bob", "acme")) == "ended"


def test_methods_without_such_a_bound_do_not_pay_for_it() -> None:
    """The stage is composed away."""
    assert open_calls_stage(method(MethodPolicy(Access.TENANT, cap_s=1, floor_s=0)), handler) is handler
