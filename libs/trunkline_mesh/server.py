"""The process around the servers: settings, logs, signals, exit codes. The same bootstrap for every service."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final, TypeVar

from trunkline_mesh.app import MeshApp
from trunkline_mesh.background import background
from trunkline_mesh.errors import BackendUnavailable
from trunkline_mesh.logs import configure_logs, get_logger
from trunkline_mesh.loop_lag import watch_loop_lag
from trunkline_mesh.metrics import serve_metrics
from trunkline_mesh.serving import Running, start
from trunkline_mesh.settings import ServiceSettings, SettingsError
from trunkline_mesh.tracing import configure_tracing, shutdown_tracing
from trunkline_tiers import TierFileError

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)
OpenApp = Callable[[SettingsT], AbstractAsyncContextManager[MeshApp]]

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 2

log = get_logger("server")


def settle_heap() -> None:
    """Exempt all that is alive from later garbage collections: modules, descriptors and servers live as long as we do.

    A full collection would look at these 100,000 objects and more again and again, and stop the event loop for 40 ms
    and more each time (docs/adr/0016).
    """
    gc.collect()
    gc.freeze()


async def serve_all(parts: Sequence[tuple[ServiceSettings, OpenApp[Any]]], stop: asyncio.Event) -> None:
    """Serve one or several services in this process until `stop` is set, then drain them together."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(background(watch_loop_lag()))
        running: list[Running] = []
        for settings, open_app in parts:
            app = await stack.enter_async_context(open_app(settings))
            running.append(await start(app, settings, stack))
        settle_heap()
        await stop.wait()
        log.info("draining", count=len(running))
        await asyncio.gather(*(one.drain() for one in running))


def run(parts: Sequence[tuple[type[ServiceSettings], OpenApp[Any]]], name: str) -> None:
    """Run services until SIGTERM or SIGINT; exit 0 after a drain, 2 for bad settings, 1 for anything else."""
    try:
        loaded = [(settings_type.load(), open_app) for settings_type, open_app in parts]
    except SettingsError as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(EXIT_SETTINGS)
    if "--check-config" in sys.argv[1:]:
        sys.exit(EXIT_OK)
    first = loaded[0][0]
    configure_logs(
        service=name, region=first.region, level=first.log_level, hash_key=first.log_hash_key.get_secret_value()
    )
    if first.otlp_endpoint:
        configure_tracing(service=name, region=first.region, endpoint=first.otlp_endpoint, insecure=first.otlp_insecure)
    if first.metrics_port:
        serve_metrics(first.metrics_port)
    for settings, _ in loaded:
        log.info("settings", name=type(settings).__module__, settings=settings.redacted())
    try:
        asyncio.run(_until_signal(loaded))
    except (BackendUnavailable, RuntimeError, OSError, TierFileError) as exc:
        log.exception("could not serve", error_type=type(exc).__name__)
        sys.stderr.write(f"{name}: {exc}\n")
        sys.exit(EXIT_FAILED)
    finally:
        shutdown_tracing()


async def _until_signal(parts: Sequence[tuple[ServiceSettings, OpenApp[Any]]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve_all(parts, stop)


def run_service(settings_type: type[SettingsT], open_app: OpenApp[SettingsT], name: str) -> None:
    """Run one service; what its `__main__` calls."""
    run([(settings_type, open_app)], name)
