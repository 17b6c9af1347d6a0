"""`trunkline collection`: collections, which belong to a tenant."""

from __future__ import annotations

from typing import Annotated

import typer

from trunkline_cli.change_view import show_changes
from trunkline_cli.commands.entries import AfterOption, LimitOption, add, show_removed, tell, token_of
from trunkline_cli.commands.map_changes import TenantName, put_collection
from trunkline_cli.groups import At, How, YesOption, confirm
from trunkline_cli.map_view import show_entries, show_entry

CollectionName = Annotated[str, typer.Argument(help="The collection's name.")]


def list_them(tenant: TenantName, at: At) -> None:
    """List a tenant's collections."""
    show_entries(at.out(), at.ask(lambda client: client.collections(tenant)))


def get(name: CollectionName, tenant: TenantName, at: At) -> None:
    """Read one collection."""
    show_entry(at.out(), at.ask(lambda client: client.collection(tenant, name)))


def delete(name: CollectionName, tenant: TenantName, at: At, how: How, yes: YesOption = False) -> None:
    """Remove a collection from the map."""
    options = how.to_client()
    if not how.dry_run:
        confirm(
            f"Remove the collection {tenant}/{name} from the map? Its documents stay in the stores.", yes=yes, at=at
        )
    map_token = at.ask(lambda client: client.delete_collection(tenant, name, how=options))
    show_removed(at, f"collection {tenant}/{name}", map_token, how)


def history(
    tenant: TenantName,
    at: At,
    name: Annotated[str, typer.Argument(help="The collection; all of the tenant's without.")] = "",
    limit: LimitOption = 20,
) -> None:
    """Tell who changed a collection."""
    show_changes(at.out(), at.ask(lambda client: client.collection_changes(tenant, name, limit=limit)))


def watch(tenant: TenantName, at: At, after: AfterOption = "") -> None:
    """Tell changes as they happen."""
    map_token = token_of(after)
    tell(at, lambda client: client.watch_collections(tenant, map_token))


def collection_group() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="Collections: where a tenant's documents lie.")
    add(group, "list", list_them, "List a tenant's collections.", "trunkline collection list --tenant acme")
    add(group, "get", get, "Read one collection.", "trunkline collection get notes --tenant acme --json")
    add(
        group,
        "put",
        put_collection,
        "Create a collection's entry, or change what is named here of one; its documents are not moved.",
        "trunkline collection put notes --tenant acme --placement eu-west,us-east --preference nearest",
    )
    add(
        group,
        "delete",
        delete,
        "Remove a collection from the map; its documents stay in the stores.",
        'trunkline collection delete notes --tenant acme --comment "closed" --yes',
    )
    add(
        group,
        "history",
        history,
        "Tell who changed a collection, when, and from what to what.",
        "trunkline collection history notes --tenant acme --limit 5",
    )
    add(
        group,
        "watch",
        watch,
        "Tell every change of a tenant's collections as it happens, until Ctrl-C.",
        "trunkline collection watch --tenant acme --json",
    )
    return group
