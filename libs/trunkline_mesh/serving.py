"""One server for one application: its stages, health and reflection, and its bounded drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from trunkline_mesh import metrics
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.background import background
from trunkline_mesh.channels import MAX_ANSWER_BYTES, SERVER_OPTIONS
from trunkline_mesh.composition import staged_handlers
from trunkline_mesh.drain import Drain
from trunkline_mesh.health import HealthPoller
from trunkline_mesh.identity import JwksKeys, TokenVerifier
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.logs import get_logger
from trunkline_mesh.method_policy import Access, MethodPolicy
from trunkline_mesh.settings import ServiceSettings
from trunkline_mesh.stage import MethodStages
from trunkline_mesh.trailers import AnswerTrailers

_REFLECTION: Final = "grpc.reflection.v1alpha.ServerReflection"
_HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_DEFAULT_RANK: Final = 0
_CUT_AT: Final = 0.9
"""Part of the grace after which stragglers are told that the server drains; gRPC cuts them bare at its end."""
_PRESSURE = metrics.gauge("limiter_pressure", "Slots held and asked for, as a part of the capacity.", ("service",))
_WAITING = metrics.gauge("limiter_waiting", "Calls that wait for a slot.", ("service",))

StagesOf: TypeAlias = Callable[[str, ServiceBinding], MethodStages]
"""Gives a method, by its full name, its stages."""

log = get_logger("server")


@dataclass(frozen=True, slots=True)
class Running:
    """A server that has begun to serve."""

    app: MeshApp
    port: int
    settings: ServiceSettings
    _server: grpc.aio.Server
    _health: HealthPoller
    _drain: Drain

    async def drain(self) -> None:
        """Stop in order: NOT_SERVING, a short settle in which calls still work, then a bounded grace for running ones.

        Bounded by `drain_settle_s + drain_grace_s`.
        """
        self._health.drain()
        await asyncio.sleep(self.settings.drain_settle_s)  # probes and watchers need this long to look elsewhere
        self._health.servicer.end()
        self._drain.begin()
        grace_s = self.settings.drain_grace_s
        stopping = asyncio.ensure_future(self._server.stop(grace_s))
        try:
            await asyncio.wait((stopping,), timeout=grace_s * _CUT_AT)
            self._drain.cut()  # while there is still time to tell the callers why
        finally:
            await stopping


async def start(app: MeshApp, settings: ServiceSettings, stack: AsyncExitStack) -> Running:
    """Serve an application; what is opened here is closed by `stack`.

    Raises BackendUnavailable if the key set cannot be read, RuntimeError if the port is taken.
    """
    keys = JwksKeys(settings.jwks)
    await keys.refresh()
    limiter = _limiter(app, settings)
    drain, trailers = Drain(), AnswerTrailers(limiter.pressure, app.draining)
    health = HealthPoller(app, trailers)
    server = _server(app, settings, health, _stages(settings, keys, drain, limiter, trailers))
    port = server.add_insecure_port(settings.listen)
    health.poll()
    await server.start()
    stack.push_async_callback(server.stop, 0)
    await stack.enter_async_context(background(health.run()))
    await stack.enter_async_context(background(keys.keep_fresh()))
    log.info("serving", service=app.name, address=settings.listen, port=port, version=grpc.__version__)
    return Running(app, port, settings, server, health, drain)


def _server(app: MeshApp, settings: ServiceSettings, health: HealthPoller, stages_of: StagesOf) -> grpc.aio.Server:
    """Return a server with the application's methods in their stages, health, and reflection where it is on."""
    options = (
        *SERVER_OPTIONS,
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", MAX_ANSWER_BYTES),
    )
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=settings.max_connections_rpcs)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    bindings = [*app.bindings, *_reflection(app, settings)]
    server.add_generic_rpc_handlers(tuple(staged_handlers(binding, stages_of) for binding in bindings))
    return server


def _limiter(app: MeshApp, settings: ServiceSettings) -> CapacityLimiter:
    """Return the limiter that all methods of a server share, shown in the metrics."""
    limiter = CapacityLimiter(
        max_concurrency=settings.max_concurrency,
        max_queue=settings.max_queue,
        max_queue_per_tenant=settings.max_queue_per_tenant,
    )
    _PRESSURE.labels(app.name).set_function(limiter.pressure)
    _WAITING.labels(app.name).set_function(lambda: limiter.waiting)
    return limiter


def _stages(
    settings: ServiceSettings, keys: JwksKeys, drain: Drain, limiter: CapacityLimiter, trailers: AnswerTrailers
) -> StagesOf:
    """Return what gives each method its stages; all methods of a server share verifier, limiter and drain."""
    verifier = TokenVerifier(
        keys,
        issuer=settings.issuer,
        audience=settings.audience,
        leeway_s=settings.clock_leeway_s,
        cache_size=settings.token_cache_size,
    )

    def stages_of(name: str, binding: ServiceBinding) -> MethodStages:
        return MethodStages(
            name=name,
            policy=binding.policy.get(name),
            verifier=verifier,
            limiter=limiter,
            slow_call_s=settings.slow_call_s,
            access_log_ok_every=settings.access_log_ok_every,
            rank_of=lambda _tenant: _DEFAULT_RANK,
            drain=drain,
            trailers=trailers,
        )

    return stages_of


def _reflection(app: MeshApp, settings: ServiceSettings) -> Sequence[ServiceBinding]:
    """Off by default; open only on the loopback of a local stack, for operators elsewhere."""
    if not settings.reflection:
        return ()
    names = [binding.service for binding in app.bindings]
    servicer = ReflectionServicer(
        (*names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    )
    access = Access.PUBLIC if settings.reflection_open else Access.OPERATOR
    method = f"/{_REFLECTION}/ServerReflectionInfo"
    return (
        ServiceBinding(
            service=_REFLECTION,
            servicer=servicer,
            register=reflection_pb2_grpc.add_ServerReflectionServicer_to_server,
            policy={method: MethodPolicy(access, cap_s=60, floor_s=0, weight=0)},
        ),
    )
