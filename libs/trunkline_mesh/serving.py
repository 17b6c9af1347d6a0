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

from trunkline_mesh import limiter_metrics
from trunkline_mesh.adaptive import AdaptiveLimit
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.background import background
from trunkline_mesh.channels import MAX_ANSWER_BYTES, SERVER_OPTIONS
from trunkline_mesh.composition import staged_handlers
from trunkline_mesh.drain import Drain
from trunkline_mesh.health import HealthPoller
from trunkline_mesh.hop_ticket import HopTickets, keys_of
from trunkline_mesh.identity import JwksKeys, TokenVerifier
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.logs import get_logger
from trunkline_mesh.method_policy import Access, MethodPolicy
from trunkline_mesh.settings import ServiceSettings
from trunkline_mesh.stage import MethodStages
from trunkline_mesh.trailers import AnswerTrailers
from trunkline_tiers import RankTable, rank_table, read_tiers

_REFLECTION: Final = "grpc.reflection.v1alpha.ServerReflection"
_HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_CUT_AT: Final = 0.9
"""Part of the grace after which stragglers are told that the server drains; gRPC cuts them bare at its end."""

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

    Raises BackendUnavailable if the key set cannot be read, RuntimeError if the port is taken, TierFileError or OSError
    if the tier file cannot be read.
    """
    keys = JwksKeys(settings.jwks)
    await keys.refresh()
    table = rank_table(read_tiers(settings.tiers_path), app.rank_use)
    limiter = _limiter(app, settings, table)
    drain, trailers = Drain(), AnswerTrailers(limiter.pressure, app.draining)
    health = HealthPoller(app, trailers)
    stages_of = _stages(app, settings, keys, drain, limiter, trailers, rank_by(app.rank_of, table))
    server = _server(app, settings, health, stages_of)
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


def _limiter(app: MeshApp, settings: ServiceSettings, table: RankTable) -> CapacityLimiter:
    """Return the limiter that all methods of a server share, shown in the metrics."""
    most = settings.max_concurrency
    limiter = CapacityLimiter(
        max_concurrency=most,
        max_queue=settings.max_queue,
        max_queue_per_tenant=settings.max_queue_per_tenant,
        table=table,
        adaptive=AdaptiveLimit(min(settings.min_concurrency, most), most) if settings.adaptive_concurrency else None,
        reserved_slots=min(settings.reserved_slots, most - 1),
    )
    limiter_metrics.show(limiter, app.name)
    if app.on_limiter is not None:
        app.on_limiter(limiter)
    return limiter


def rank_by(rank_of: Callable[[str], int] | None, table: RankTable) -> Callable[[str], int] | None:
    """Return what finds the rank of a call's tenant; None where the caller's word is taken for it.

    Operators, and services on their own behalf, name no tenant: they rank highest, so that a flood of tenants' calls
    does not lock out who must end it.
    """
    if rank_of is None:
        return None
    known, highest = rank_of, table.shares[-1].rank
    return lambda tenant_id: known(tenant_id) if tenant_id else highest


def _stages(
    app: MeshApp,
    settings: ServiceSettings,
    keys: JwksKeys,
    drain: Drain,
    limiter: CapacityLimiter,
    trailers: AnswerTrailers,
    rank_of: Callable[[str], int] | None,
) -> StagesOf:
    """Return what gives each method its stages; all methods of a server share verifier, limiter and drain."""
    verifier = TokenVerifier(
        keys,
        issuer=settings.issuer,
        audience=settings.audience,
        leeway_s=settings.clock_leeway_s,
        cache_size=settings.token_cache_size,
    )
    hop_keys = keys_of(settings.hop_keys.get_secret_value())
    tickets = HopTickets(hop_keys) if hop_keys else None

    def stages_of(name: str, binding: ServiceBinding) -> MethodStages:
        return MethodStages(
            name=name,
            policy=binding.policy.get(name),
            verifier=verifier,
            limiter=limiter,
            slow_call_s=settings.slow_call_s,
            access_log_ok_every=settings.access_log_ok_every,
            rank_of=rank_of,
            lowest_rank=limiter.lanes[0].rank,
            drain=drain,
            trailers=trailers,
            on_refusal=app.on_refusal,
            tickets=tickets,
            standing_of=app.standing_of,
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
