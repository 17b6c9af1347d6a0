"""Puts the commands together."""

from __future__ import annotations

import typer

from trunkline_cli.commands import collection_map, demo, doctor, ingest, search, serve, stack, token

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
app.add_typer(collection_map.map_app, name="map")
