"""Loads the shared fixtures, and keeps what a test puts into context variables to that test."""

from __future__ import annotations

from collections.abc import Generator
from contextvars import copy_context
from functools import partial

import pytest

pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.proxy"]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run each test in a context of its own, as a server runs each call: a request entered in one ends with it."""
    function = pyfuncitem.obj
    pyfuncitem.obj = partial(copy_context().run, function)
    try:
        return (yield)
    finally:
        pyfuncitem.obj = function
