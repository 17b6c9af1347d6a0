"""Puts the commands together."""

from __future__ import annotations

import typer

from trunkline_cli.commands import collection_map, demo, doctor, ingest, map_changes, search, serve, stack, token

app = typer.Typer(
    name="trunkline",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Takes a tenant's query to the right collections, in the right region, before its deadline. Exit codes: "
    "0 done, 1 failed, 2 wrong usage, 3 refused with a reason, 4 no stack runs.",
)
app.command()(stack.up)
app.command()(stack.down)
app.command()(stack.status)
app.command()(search.search)
app.command()(search.route)
app.command()(ingest.ingest)
app.command()(doctor.doctor)
app.command()(serve.serve)
app.command()(token.token)
app.command()(demo.demo)
app.command()(doctor.version)

map_app = typer.Typer(no_args_is_help=True, help="Read and change the collection map (needs the role operator).")
map_app.command("list")(collection_map.list_entries)
map_app.command("get")(collection_map.get_entry)
map_app.command("put-region")(map_changes.put_region)
map_app.command("put-tenant")(map_changes.put_tenant)
map_app.command("put-collection")(map_changes.put_collection)
map_app.command("put-policy")(map_changes.put_policy)
app.add_typer(map_app, name="map")
