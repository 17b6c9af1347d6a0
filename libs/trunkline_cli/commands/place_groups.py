"""`trunkline region` and `trunkline space`: the commands of each, put together."""

from __future__ import annotations

import typer

from trunkline_cli.commands import drain, map_changes
from trunkline_cli.commands.entries import REGION, SPACE, add, add_common


def region_group() -> typer.Typer:
    """Return the commands of regions."""
    group = typer.Typer(no_args_is_help=True, help="Regions, and taking them out of traffic and back.")
    add_common(group, REGION)
    add(
        group,
        "put",
        map_changes.put_region,
        "Change what is named here of a region, or create one.",
        "trunkline region put ap-south --jurisdiction ap --endpoint routing=10.3.0.2:7101 --state down",
    )
    add(
        group,
        "drain",
        drain.drain,
        "Move searches away from a region: each service that watches the map hears of it at once, and the region's own "
        "routers ask to be left. Waits for that, and says which do not. Writes still reach the region.",
        'trunkline region drain eu-west --comment "new kernel"',
    )
    add(
        group,
        "undrain",
        drain.undrain,
        "Bring searches back to a region, gradually.",
        "trunkline region undrain eu-west --ramp-s 120",
    )
    return group


def space_group() -> typer.Typer:
    """Return the commands of embedding spaces."""
    group = typer.Typer(no_args_is_help=True, help="Embedding spaces.")
    add_common(group, SPACE)
    add(
        group,
        "put",
        map_changes.put_space,
        "Create an embedding space, or change one that no collection uses.",
        "trunkline space put minilm --model all-MiniLM-L6-v2 --model-revision 1 --dimension 384",
    )
    return group
