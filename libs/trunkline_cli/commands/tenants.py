"""`trunkline tenant create`, `set`, `suspend`, `resume` and `show`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Final

import typer

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.change_view import show_change
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At, How
from trunkline_cli.map_entries import DEFAULT_TIER
from trunkline_cli.map_view import plain
from trunkline_cli.tenant.change import Made, rewrite
from trunkline_cli.tenant.options import TenantOptions
from trunkline_cli.tenant.view import tenant_lines
from trunkline_client import ControlClient, if_known

TenantArgument = Annotated[str, typer.Argument(help="Tenant.")]

_ADVICE: Final = "`trunkline tenant set --help` says what can be changed"


def create(name: TenantArgument, at: At, how: How, options: TenantOptions) -> None:
    """Create a tenant."""
    wish, how_to = options.wish(), how.to_client()
    if not options.jurisdiction:
        raise CliError("a new tenant needs --jurisdiction, for example --jurisdiction eu", code=Exit.USAGE)
    new = entries_pb.Tenant(tenant_id=name, tier=DEFAULT_TIER, state=entries_pb.TENANT_STATE_ACTIVE)
    entry = wish.changed(new, time.time())

    async def make(client: ControlClient) -> Made[entries_pb.Tenant]:
        if await if_known(client.tenant(name)) is not None:
            raise CliError(f"there is a tenant {name} already", advice="change it with `trunkline tenant set`")
        return Made(None, await client.put_tenant(entry, how_to))

    _show(at, name, at.ask(make), how)


def set_(name: TenantArgument, at: At, how: How, options: TenantOptions) -> None:
    """Change what is named here of a tenant; the rest stays."""
    wish = options.wish()
    if not options.given():
        raise CliError("nothing to change was named", advice=_ADVICE, code=Exit.USAGE)
    _change(name, at, how, lambda entry: wish.changed(entry, time.time()))


def suspend(name: TenantArgument, at: At, how: How) -> None:
    """Keep a tenant from using the service; its data stays."""
    _change(name, at, how, lambda entry: _with_state(entry, entries_pb.TENANT_STATE_SUSPENDED))


def resume(name: TenantArgument, at: At, how: How) -> None:
    """Let a suspended tenant use the service again."""
    _change(name, at, how, lambda entry: _with_state(entry, entries_pb.TENANT_STATE_ACTIVE))


def show(name: TenantArgument, at: At) -> None:
    """Tell everything that the map says of a tenant."""
    found = at.ask(lambda client: client.tenant(name))
    out = at.out()
    for number, line in enumerate(tenant_lines(found.value, time.time())):
        out.line(line, style="" if number else "bold")
    out.data({"entry": plain(found.value), "map_token": found.map_token.hex()})


def _with_state(entry: entries_pb.Tenant, state: entries_pb.TenantState.ValueType) -> entries_pb.Tenant:
    changed = entries_pb.Tenant()
    changed.CopyFrom(entry)
    changed.state = state
    return changed


def _change(name: str, at: At, how: How, change: Callable[[entries_pb.Tenant], entries_pb.Tenant]) -> None:
    how_to = how.to_client()

    async def work(client: ControlClient) -> Made[entries_pb.Tenant]:
        return await rewrite(lambda: client.tenant(name), change, lambda wanted: client.put_tenant(wanted, how_to))

    _show(at, name, at.ask(work), how)


def _show(at: At, name: str, made: Made[entries_pb.Tenant], how: How) -> None:
    show_change(at.out(), f"tenant {name}", made.before, made.after, dry_run=how.dry_run)
