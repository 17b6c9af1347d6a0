"""`trunkline serve`: one or several services in this process."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from trunkline_cli.exits import CliError, Exit, guarded


class ServiceName(StrEnum):
    """The five services."""

    ROUTING = "routing"
    RETRIEVAL = "retrieval"
    RERANK = "rerank"
    INFERENCE = "inference"
    ADMISSION = "admission"


class Role(StrEnum):
    """What a routing service does."""

    EDGE = "edge"
    CONTROL = "control"
    LEARNER = "learner"


@guarded
def serve(
    services: Annotated[list[ServiceName], typer.Argument(help="One or several services.")],
    region: Annotated[str | None, typer.Option("--region", help="Region that this process serves.")] = None,
    role: Annotated[
        Role | None, typer.Option("--role", help="Role of routing: front door, writer of the map, or learner.")
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option("--listen", help="SERVICE=HOST:PORT; repeat it for several services."),
    ] = None,
    check_config: Annotated[
        bool, typer.Option("--check-config", help="Read the settings, report what is wrong, and end.")
    ] = False,
) -> None:
    """Run services until SIGTERM or Ctrl-C, then drain them. Settings: `TRUNKLINE_<SERVICE>_*` in the environment."""
    for service in services:
        if region is not None:
            _set(service, "REGION", region)
    for item in listen or ():
        name, equals, address = item.partition("=")
        if not equals or name not in set(services):
            raise CliError(f"--listen needs SERVICE=HOST:PORT of a served service, not {item!r}", code=Exit.USAGE)
        _set(ServiceName(name), "LISTEN", address)
    if role is not None:
        if ServiceName.ROUTING not in services:
            raise CliError("--role is for routing", code=Exit.USAGE)
        _set(ServiceName.ROUTING, "ROLE", role)
    from trunkline_mesh.multi import parts_of
    from trunkline_mesh.server import run

    try:
        parts = parts_of([str(service) for service in services])
    except ValueError as exc:
        raise CliError(str(exc), code=Exit.USAGE) from None
    # The runtime looks for --check-config on the command line itself, after it has read the settings.
    del check_config
    run(parts, "+".join(services))


def _set(service: ServiceName, name: str, value: str) -> None:
    os.environ[f"TRUNKLINE_{service.upper()}_{name}"] = value
