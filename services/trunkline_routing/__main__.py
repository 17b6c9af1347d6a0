"""Runs the routing service: `python -m trunkline_routing`, settings from `TRUNKLINE_ROUTING_*`."""

from __future__ import annotations

from trunkline_mesh.server import run_service
from trunkline_routing.app import open_app
from trunkline_routing.settings import RoutingSettings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    run_service(RoutingSettings, open_app, "routing")


if __name__ == "__main__":
    main()
