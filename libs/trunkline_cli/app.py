"""Puts the commands together."""

from __future__ import annotations

import typer

from trunkline_cli.commands import (
    demo,
    doctor,
    drain,
    feedback,
    ingest,
    map_changes,
    search,
    serve,
    stack,
    tenant_account,
    token,
)
from trunkline_cli.commands.approvals import approval_group
from trunkline_cli.commands.collections import collection_group
from trunkline_cli.commands.entries import REGION, SPACE, add, add_common
from trunkline_cli.commands.map_group import map_group
from trunkline_cli.commands.policy_group import policy_group
from trunkline_cli.commands.stages import stage_group
from trunkline_cli.commands.tenant_group import tenant_group
from trunkline_cli.commands.tiers import tiers_group
from trunkline_cli.commands.usage_group import audit_group, usage_group

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
app.command()(feedback.feedback)
app.command()(ingest.ingest)
app.command()(doctor.doctor)
app.command()(serve.serve)
app.command()(token.token)
app.command()(demo.demo)
app.command()(doctor.version)
add(
    app,
    "levels",
    tenant_account.levels,
    "Tell how much each region leaves out for each tier now (NORMAL, REDUCED, EMERGENCY), and why.",
    "trunkline levels --json",
)


def _region_group() -> typer.Typer:
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


def _space_group() -> typer.Typer:
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


app.add_typer(map_group(), name="map")
app.add_typer(_region_group(), name="region")
app.add_typer(_space_group(), name="space")
app.add_typer(tenant_group(), name="tenant")
app.add_typer(stage_group(), name="stage")
app.add_typer(tiers_group(), name="tiers")
app.add_typer(collection_group(), name="collection")
app.add_typer(policy_group(), name="policy")
app.add_typer(approval_group(), name="approval")
app.add_typer(usage_group(), name="usage")
app.add_typer(audit_group(), name="audit")
