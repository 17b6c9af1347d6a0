"""Stages that watch: traces, metrics, access log. They stand outside `errors` and read the final code."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any, Final

import grpc
from opentelemetry import trace

from trunkline_mesh import tallies, tracing
from trunkline_mesh.logs import get_logger
from trunkline_mesh.stage import Context, Handler, MethodStages

log = get_logger("call")

_CALLS = tallies.counter("calls", "Calls by method and final gRPC code.", ("method", "code"))
_SECONDS = tallies.histogram("call_seconds", "Time of calls, queueing included.", ("method",))
_IN_FLIGHT = tallies.gauge("calls_in_flight", "Calls that have begun and not ended.", ("method",))
_CODE_NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}


def tracing_stage(method: MethodStages, inner: Handler) -> Handler:
    """Make a server span for each call; composed away when tracing is off."""
    tracer = tracing.tracer()
    if tracer is None:
        return inner
    name = method.name.lstrip("/")

    async def traced(request: Any, context: Context) -> Any:
        parent: Any = tracing.context_from(tuple(context.invocation_metadata() or ()))
        with tracer.start_as_current_span(
            name,
            context=parent,
            kind=trace.SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            code = "CANCELLED"
            try:
                response = await inner(request, context)
                code = _final_code(context)
            except grpc.aio.AbortError:
                code = _final_code(context)
                raise
            finally:
                span.set_attribute("rpc.grpc.status_name", code)
                if code != "OK":
                    span.set_status(trace.StatusCode.ERROR)
            return response

    return traced


def metrics_stage(method: MethodStages, inner: Handler) -> Handler:
    """Count calls by final code, and observe their time."""
    seconds = _SECONDS.labels(method.name)
    in_flight = _IN_FLIGHT.labels(method.name)
    ok = _CALLS.labels(method.name, "OK")
    cancelled = _CALLS.labels(method.name, "CANCELLED")

    async def measured(request: Any, context: Context) -> Any:
        began_s = time.perf_counter()
        in_flight.inc()
        try:
            response = await inner(request, context)
            ok.inc()
        except grpc.aio.AbortError:
            _CALLS.labels(method.name, _final_code(context)).inc()
            raise
        except asyncio.CancelledError:
            cancelled.inc()
            raise
        finally:
            in_flight.dec()
            seconds.observe(time.perf_counter() - began_s)
        return response

    return measured


def access_log_stage(method: MethodStages, inner: Handler) -> Handler:
    """Log refusals and slow calls, and one in N of the others."""
    every, slow_s = method.access_log_ok_every, method.slow_call_s
    if method.policy is not None and method.policy.ends_at_drain:
        slow_s = math.inf  # a stream that lives long is what it should be
    seen = 0

    async def logged(request: Any, context: Context) -> Any:
        nonlocal seen
        began_s = time.perf_counter()
        response = await inner(request, context)
        elapsed_s = time.perf_counter() - began_s
        seen += 1
        if elapsed_s >= slow_s:
            log.warning("slow call", code="OK", elapsed_ms=round(elapsed_s * 1000, 1))
        elif every and seen >= every:
            seen = 0
            log.info("call", code="OK", elapsed_ms=round(elapsed_s * 1000, 1))
        return response

    return logged


def _final_code(context: Context) -> str:
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return _CODE_NAMES.get(code, "OK") if code else "OK"
