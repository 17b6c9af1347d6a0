"""Puts the commands together."""

from __future__ import annotations

import typer

from trunkline_cli.commands import (
    collection_map,
    demo,
    doctor,
    drain,
    ingest,
    map_changes,
    map_file,
    search,
    serve,
    stack,
    token,
    whole_map,
)
from trunkline_cli.commands.approvals import approval_group
from trunkline_cli.commands.collections import collection_group
from trunkline_cli.commands.entries import REGION, SPACE, TENANT, add, add_common

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


def _map_group() -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help="The collection map as a whole (needs the role operator).")
    add(group, "status", whole_map.status, "Tell how the map and its store are.", "trunkline map status --json")
    add(group, "list", collection_map.list_entries, "List entries of one kind.", "trunkline map list region --json")
    add(
        group,
        "get",
        collection_map.get_entry,
        "Read one entry.",
        "trunkline map get collection notes --tenant acme",
    )
    add(
        group,
        "history",
        collection_map.history,
        "Tell who changed what, when, and from what to what.",
        "trunkline map history collection notes --tenant acme",
    )
    add(
        group,
        "watch",
        collection_map.watch,
        "Tell every change of one kind of entries as it happens, until Ctrl-C.",
        "trunkline map watch region --json",
    )
    add(
        group,
        "export",
        map_file.export,
        "Write the whole map, read at one revision, as YAML in a stable order. Policies are not in it.",
        "trunkline map export map.yaml",
    )
    add(
        group,
        "diff",
        map_file.diff,
        "Show what an import of a file would change, field by field.",
        "trunkline map diff map.yaml --prune",
    )
    add(
        group,
        "import",
        map_file.import_map,
        "Bring the map to what a file says: checked as a whole, shown as a difference, asked for, and applied in "
        "batches. An import that was stopped goes on when it is run again.",
        'trunkline map import map.yaml --comment "a new tenant" --yes',
    )
    add(
        group,
        "backup",
        whole_map.backup,
        "Save a snapshot of etcd to a file that is whole or not there.",
        "trunkline map backup map.snapshot --etcd 10.1.0.2:2379",
    )
    add(
        group,
        "renew-epoch",
        whole_map.renew_epoch,
        "Give the map a new epoch, so that tokens from before are refused. For a store that was restored.",
        'trunkline map renew-epoch --comment "restored from the backup of Monday" --yes',
    )
    audit = typer.Typer(no_args_is_help=True, help="The append-only history of the map.")
    add(
        audit,
        "verify",
        whole_map.audit_verify,
        "Check that each change begins where the one before it ended, and that the last ones led to what is live. With "
        "a folder: check that the audit log there is an unbroken chain, and tell the hash of its last line.",
        "trunkline map audit verify /var/log/trunkline-audit",
    )
    group.add_typer(audit, name="audit")
    for name, command, example in (
        ("put-region", map_changes.put_region, "eu-west --state down"),
        ("put-tenant", map_changes.put_tenant, "acme --tier pro --jurisdictions eu,us"),
        ("put-collection", map_changes.put_collection, "notes --tenant acme --placement eu-west"),
        ("put-policy", map_changes.put_policy, "policy.yaml --tenant acme"),
    ):
        add(group, name, command, command.__doc__ or "", f"trunkline map {name} {example}")
    return group


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


def _tenant_group() -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help="Tenants.")
    add_common(group, TENANT)
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
        map_changes.suspend_tenant,
        "Keep a tenant from using the service; its data stays.",
        'trunkline tenant suspend acme --comment "unpaid since May"',
    )
    add(
        group,
        "resume",
        map_changes.resume_tenant,
        "Let a suspended tenant use the service again.",
        "trunkline tenant resume acme",
    )
    return group


app.add_typer(_map_group(), name="map")
app.add_typer(_region_group(), name="region")
app.add_typer(_space_group(), name="space")
app.add_typer(_tenant_group(), name="tenant")
app.add_typer(collection_group(), name="collection")
app.add_typer(approval_group(), name="approval")
