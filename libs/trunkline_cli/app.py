"""Puts the commands together; a command's module is imported when the command is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import typer

from trunkline_cli.lazy import Adder, lazy_group

_COMMANDS: Final = {
    "up": "stack",
    "down": "stack",
    "status": "stack",
    "search": "search",
    "route": "search",
    "feedback": "feedback",
    "ingest": "ingest",
    "doctor": "doctor",
    "serve": "serve",
    "token": "token",
    "demo": "demo",
    "version": "doctor",
}
"""Commands by name, with the module of `trunkline_cli.commands` in which a function has that name."""

_GROUPS: Final = {
    "map": "map_group",
    "region": "place_groups",
    "space": "place_groups",
    "tenant": "tenant_group",
    "stage": "stages",
    "tiers": "tiers",
    "collection": "collections",
    "policy": "policy_group",
    "approval": "approvals",
    "usage": "usage_group",
    "audit": "usage_group",
}
"""Groups by name, with the module in which `NAME_group` returns the group."""


def _command(name: str, module: str) -> Adder:
    def add(app: typer.Typer) -> None:
        app.command(name)(getattr(import_module(f"trunkline_cli.commands.{module}"), name))

    return add


def _group(name: str, module: str) -> Adder:
    def add(app: typer.Typer) -> None:
        app.add_typer(getattr(import_module(f"trunkline_cli.commands.{module}"), f"{name}_group")(), name=name)

    return add


def _levels(app: typer.Typer) -> None:
    from trunkline_cli.commands.entries import add
    from trunkline_cli.commands.tenant_account import levels

    add(
        app,
        "levels",
        levels,
        "Tell how much each region leaves out for each tier now (NORMAL, REDUCED, EMERGENCY), and why.",
        "trunkline levels --json",
    )


_ADDERS: Final = {
    **{name: _command(name, module) for name, module in _COMMANDS.items()},
    "levels": _levels,
    **{name: _group(name, module) for name, module in _GROUPS.items()},
}

app = typer.Typer(
    name="trunkline",
    cls=lazy_group(_ADDERS),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Takes a tenant's query to the right collections, in the right region, before its deadline. Exit codes: "
    "0 done, 1 failed, 2 wrong usage, 3 refused with a reason, 4 no stack runs.",
)


@app.callback()
def _root() -> None:
    """Make `app` a group; what it takes and says stands above."""
