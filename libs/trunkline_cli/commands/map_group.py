"""`trunkline map`: the commands of the map as a whole, put together."""

from __future__ import annotations

import typer

from trunkline_cli.commands import collection_map, map_changes, map_file, whole_map
from trunkline_cli.commands.entries import add


def map_group() -> typer.Typer:
    """Return the commands."""
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
    _add_file_commands(group)
    _add_operations(group)
    for name, command, example in (
        ("put-region", map_changes.put_region, "eu-west --state down"),
        ("put-tenant", map_changes.put_tenant, "acme --tier pro --jurisdictions eu,us"),
        ("put-collection", map_changes.put_collection, "notes --tenant acme --placement eu-west"),
        ("put-policy", map_changes.put_policy, "policy.yaml --tenant acme"),
    ):
        add(group, name, command, command.__doc__ or "", f"trunkline map {name} {example}")
    return group


def _add_file_commands(group: typer.Typer) -> None:
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


def _add_operations(group: typer.Typer) -> None:
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
