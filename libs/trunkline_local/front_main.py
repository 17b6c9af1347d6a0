"""Writes a front door's configuration: `python -m trunkline_local.front_main`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trunkline_local.front_cluster import FrontRegion
from trunkline_local.front_config import front_config, to_yaml

USAGE = "usage: python -m trunkline_local.front_main LISTEN ADMIN REGION=JURISDICTION@HOST:PORT[,HOST:PORT] ..."


def main(arguments: Sequence[str]) -> str:
    """Return the configuration for the arguments of `USAGE`, regions nearest first; raise ValueError for others."""
    if len(arguments) < 3:
        raise ValueError(USAGE)
    listen, admin, *named = arguments
    return to_yaml(front_config([_region(text) for text in named], listen=listen, admin=admin))


def _region(text: str) -> FrontRegion:
    region_id, _, rest = text.partition("=")
    jurisdiction, _, routers = rest.partition("@")
    return FrontRegion(region_id=region_id, jurisdiction=jurisdiction, routers=tuple(routers.split(",")))


if __name__ == "__main__":
    try:
        sys.stdout.write(main(sys.argv[1:]))
    except ValueError as exc:
        sys.exit(str(exc))
