"""Loads the shared fixtures, sets Hypothesis, and keeps what a test puts into context variables to that test.

Laws are tried with 50 examples, others in each run; `pytest --hypothesis-profile=thorough` tries 1,000. How busy the
machine is never decides a test: Hypothesis runs without its clock.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextvars import copy_context
from functools import partial

import pytest
from hypothesis import settings

settings.register_profile("suite", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("suite")

pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.proxy"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let garbage collections look at what tests make, and never at the thousands of tests themselves."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run each test in a context of its own, as a server runs each call: a request entered in one ends with it."""
    function = pyfuncitem.obj
    pyfuncitem.obj = partial(copy_context().run, function)
    try:
        return (yield)
    finally:
        pyfuncitem.obj = function
