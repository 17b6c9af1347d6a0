"""`trunkline map status`, `backup`, `renew-epoch` and `audit verify`: the map as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_service_pb2 as map_pb
from trunkline_cli.audit import Audit, verify_history
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At, How, YesOption, confirm
from trunkline_cli.map_view import plain
from trunkline_cli.output import Output, progress

if TYPE_CHECKING:
    from trunkline_map.backup import Snapshot
    from trunkline_map.etcd_access import EtcdAccess

_PLURALS: Final = {
    changes_pb.ENTRY_KIND_REGION: "regions",
    changes_pb.ENTRY_KIND_TENANT: "tenants",
    changes_pb.ENTRY_KIND_SPACE: "spaces",
    changes_pb.ENTRY_KIND_COLLECTION: "collections",
    changes_pb.ENTRY_KIND_POLICY: "policies",
}


def status(at: At) -> None:
    """Tell how the map and its store are."""
    found = at.ask(lambda client: client.map_status())
    out = at.out()
    _show_status(out, found)
    out.data({**plain(found), "map_token": found.map_token.hex()})


def _show_status(out: Output, found: map_pb.GetMapStatusResponse) -> None:
    age_s = found.age.ToNanoseconds() / 1e9
    out.line(f"revision {found.revision}, confirmed {age_s:.1f} s ago, listed anew {found.relist_count} times")
    counts = (f"{_PLURALS.get(each.kind, 'others')} {each.count:,}" for each in found.counts)
    out.line(f"entries: {', '.join(counts)}")
    if found.malformed_count:
        out.line(
            f"{found.malformed_count} keys cannot be read; the last good entries serve in their place:", style="red"
        )
        for key in found.malformed_keys:
            out.line(f"    {key}", style="red")
    rows = []
    for each in found.members:
        role = ("leads" if each.leader else "follows") if each.reachable else "does not answer"
        size = f"{each.size_bytes / (1 << 20):.1f} MiB" if each.reachable else ""
        rows.append((each.endpoint, role, each.version, str(each.revision or ""), size))
    out.table(("member", "role", "version", "revision", "size"), rows)


def renew_epoch(at: At, how: How, yes: YesOption = False) -> None:
    """Give the map a new epoch."""
    options = how.to_client()
    if not how.dry_run:
        confirm("Give the map a new epoch? Every map token from before is refused from then on.", yes=yes, at=at)
    map_token = at.ask(lambda client: client.renew_epoch(options))
    out = at.out()
    out.line("the epoch would be renewed" if how.dry_run else f"the map has a new epoch; token {map_token.hex()}")
    out.data({"dry_run": how.dry_run, "map_token": map_token.hex()})


def backup(
    file: Annotated[Path, typer.Argument(help="File to write; one of that name is replaced.", dir_okay=False)],
    at: At,
    etcd: Annotated[
        list[str] | None, typer.Option("--etcd", help="etcd member as host:port; repeat it. By default the stack's.")
    ] = None,
    etcd_ca: Annotated[Path | None, typer.Option("--etcd-ca", help="PEM file of etcd's authorities, for TLS.")] = None,
    etcd_cert: Annotated[Path | None, typer.Option("--etcd-cert", help="PEM file of our certificate.")] = None,
    etcd_key: Annotated[Path | None, typer.Option("--etcd-key", help="PEM file of its key.")] = None,
    etcd_user: Annotated[str, typer.Option("--etcd-user", help="etcd user, of the role root.")] = "",
    etcd_password_file: Annotated[
        Path | None, typer.Option("--etcd-password-file", help="File with that user's password.")
    ] = None,
) -> None:
    """Save a snapshot of etcd."""
    from trunkline_map.etcd_access import EtcdAccess

    try:
        access = EtcdAccess(
            endpoints=tuple(etcd or at.target().stack().etcd_endpoints),
            ca_path=etcd_ca,
            cert_path=etcd_cert,
            key_path=etcd_key,
            username=etcd_user,
            password_path=etcd_password_file,
        )
    except ValueError as exc:
        raise CliError(str(exc), code=Exit.USAGE) from None
    saved = _save(access, file)
    out = at.out()
    out.line(f"{saved.size_bytes:,} bytes of revision {saved.revision} saved to {file} from {saved.endpoint}")
    out.line("restore it with `etcdutl snapshot restore`, then `trunkline map renew-epoch`")
    out.data(
        {
            "file": str(file),
            "size_bytes": saved.size_bytes,
            "revision": saved.revision,
            "sha256": saved.digest,
            "endpoint": saved.endpoint,
            "etcd_version": saved.version,
        }
    )


def _save(access: EtcdAccess, file: Path) -> Snapshot:
    import asyncio

    from trunkline_map.backup import BackupError, save_snapshot

    with progress("saving") as view:
        try:
            return asyncio.run(save_snapshot(access, file, progress=view.update))
        except BackupError as exc:
            raise CliError(str(exc), advice="nothing was left behind; an earlier file is as it was") from None


def audit_verify(
    at: At,
    log: Annotated[
        Path | None, typer.Argument(help="Folder of the control role's audit log, or one of its files.", exists=True)
    ] = None,
) -> None:
    """Check the history."""
    if log is not None:
        _verify_log(at, log)
        return
    with progress("reading the history") as view:
        found = at.ask(lambda client: verify_history(client, view.update))
    out = at.out()
    for problem in found.problems:
        out.line(problem, style="red")
    out.line(_audit_line(found))
    out.data({"entries": found.entries, "changes": found.changes, "problems": found.problems})
    if found.problems:
        raise typer.Exit(Exit.FAILED)


def _verify_log(at: At, log: Path) -> None:
    from trunkline_map import audit

    found = audit.verify(log)
    out = at.out()
    problem = found.problem
    if problem is not None:
        out.line(f"{problem.path}, line {problem.line}: {problem.reason}", style="red")
    elif found.begins_with != audit.GENESIS:
        out.line("older files were taken away: the chain is followed from the first line that is there", style="yellow")
    out.line(f"{found.lines:,} lines in {found.files} files, the last of revision {found.last_revision}")
    out.line(f"hash of the last line: {found.last_hash}")
    out.data(
        {
            "files": found.files,
            "lines": found.lines,
            "last_revision": found.last_revision,
            "begins_with": found.begins_with,
            "last_hash": found.last_hash,
            "problem": None if problem is None else f"{problem.path}, line {problem.line}: {problem.reason}",
        }
    )
    if problem is not None:
        raise typer.Exit(Exit.FAILED)


def _audit_line(found: Audit) -> str:
    judged = f"{len(found.problems)} problems" if found.problems else "each follows from the one before it"
    return f"{found.changes:,} changes of {found.entries:,} entries: {judged}"
