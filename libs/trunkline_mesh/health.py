"""gRPC health by dependency: polled from cheap checks, watched by callers and load balancers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from grpc_health.v1 import health_pb2

from trunkline_mesh.app import MeshApp
from trunkline_mesh.health_servicer import HealthServicer
from trunkline_mesh.logs import get_logger
from trunkline_mesh.trailers import AnswerTrailers

POLL_S: Final = 0.25

log = get_logger("health")

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthPoller:
    """Turns an application's checks into health states."""

    def __init__(self, app: MeshApp, trailers: AnswerTrailers) -> None:
        """Know nothing before the first poll; `trailers` go with every answer of the servicer."""
        self.servicer = HealthServicer(trailers)
        self._app = app
        self._states: dict[str, bool] = {}

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            self.poll()
            await asyncio.sleep(POLL_S)

    def poll(self) -> None:
        """Ask every check once and publish what changed."""
        hard = {name: _ask(check) for name, check in self._app.checks.items()}
        soft = {name: _ask(check) for name, check in self._app.soft_checks.items()}
        for name, ready in (hard | soft).items():
            self._publish(f"dependency/{name}", ready)
        ready = all(hard.values())
        self._publish("", ready)
        for binding in self._app.bindings:
            check = self._app.service_checks.get(binding.service)
            self._publish(binding.service, ready and (check is None or _ask(check)))

    def drain(self) -> None:
        """Say NOT_SERVING for everything, for good."""
        self.servicer.drain()

    def _publish(self, name: str, ready: bool) -> None:
        if self._states.get(name) is ready:
            return
        self._states[name] = ready
        self.servicer.set(name, _SERVING if ready else _NOT_SERVING)
        log.info(
            "health changed",
            service=self._app.name,  # several applications of one process depend on the map, each with its own names
            name=name or "(whole process)",
            state="SERVING" if ready else "NOT_SERVING",
        )


def _ask(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except Exception as exc:  # noqa: BLE001 - a broken check means not ready, and must not end the poller
        log.warning("health check failed", error_type=type(exc).__name__)
        return False
