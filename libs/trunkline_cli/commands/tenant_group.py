"""`trunkline tenant`: the commands of tenants, put together."""

from __future__ import annotations

import typer

from trunkline_cli.commands import map_changes, tenant_account, tenants
from trunkline_cli.commands.entries import TENANT, add, add_common


def tenant_group() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="Tenants: who they are, what they may use, and what they used.")
    add_common(group, TENANT)
    _add_changes(group)
    _add_account(group)
    return group


def _add_changes(group: typer.Typer) -> None:
    add(
        group,
        "create",
        tenants.create,
        "Create a tenant.",
        "trunkline tenant create acme --tier pro --jurisdiction eu --time-zone Europe/Berlin --label team=search",
    )
    add(
        group,
        "set",
        tenants.set_,
        "Change what is named here of a tenant; the rest stays. Limits are the tenant's own in place of its tier's; "
        "with --shadow they are on trial, with --override-until they hold for a time. Every service follows within a "
        "second.",
        'trunkline tenant set acme --requests-per-day 50000 --budget 900/month --comment "new contract"\n\n'
        "Example: trunkline tenant set acme --override-until 2026-12-31T00:00Z --requests-per-day 9000 --note fair\n\n"
        "Example: trunkline tenant set acme --shadow --requests-per-minute 100\n\n"
        "Example: trunkline tenant set acme --key ci=30/2000",
    )
    add(
        group,
        "put",
        map_changes.put_tenant,
        "Create a tenant, or change what is named here of one.",
        "trunkline tenant put acme --tier pro --jurisdictions eu,us",
    )
    add(
        group,
        "suspend",
        tenants.suspend,
        "Keep a tenant from using the service; its data stays. Refused with TENANT_SUSPENDED within a second.",
        'trunkline tenant suspend acme --comment "unpaid since May"',
    )
    add(
        group,
        "resume",
        tenants.resume,
        "Let a suspended tenant use the service again.",
        "trunkline tenant resume acme",
    )


def _add_account(group: typer.Typer) -> None:
    add(
        group,
        "show",
        tenants.show,
        "Tell everything that the map says of a tenant: tier, limits, overrides, keys, labels, switches.",
        "trunkline tenant show acme",
    )
    add(
        group,
        "limits",
        tenant_account.limits,
        "Tell every limit that holds for a tenant now, and how much of it is used, as the regions' admission has it.",
        "trunkline tenant limits acme --key ci",
    )
    add(
        group,
        "usage",
        tenant_account.usage,
        "Sum up what a tenant used and what it cost, by day, stage and collection, over all regions that it may use.",
        "trunkline tenant usage acme --from 2026-05-01 --to 2026-05-31 --label team",
    )
    add(
        group,
        "objectives",
        tenant_account.objectives,
        "Tell what tiers, or a tenant, were promised, and what is left of their error budgets.",
        "trunkline tenant objectives acme",
    )
