"""Reads and shows what the control role knows of a tenant's policies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.map_view import plain
from trunkline_cli.output import Output, one_line
from trunkline_cli.policy.files import PolicyText, parsed
from trunkline_client import Conflict, ControlClient, NotFound, Versioned

STATES: Final[Mapping[str, policies_pb.RolloutState.ValueType]] = {
    "proposed": policies_pb.ROLLOUT_STATE_PROPOSED,
    "shadow": policies_pb.ROLLOUT_STATE_SHADOW,
    "canary": policies_pb.ROLLOUT_STATE_CANARY,
}
_DIGEST_CHARS: Final = 12
_TRIES: Final = 4


async def live_policy(client: ControlClient, tenant: str) -> Versioned[policies_pb.Policy] | None:
    """Return a tenant's live policy, None without one. Raises TrunklineError, for an unknown tenant too."""
    try:
        return await client.policy(tenant)
    except NotFound as exc:
        if exc.reason != "POLICY_UNKNOWN":
            raise
        return None


async def upon_version(
    client: ControlClient,
    tenant: str,
    version: int,
    write: Callable[[policies_pb.Policy], Awaitable[Versioned[policies_pb.Policy]]],
) -> Versioned[policies_pb.Policy]:
    """Write upon a version of the live policy, 0 for none, whatever learners note of it meanwhile.

    A head that is noted changes the entry's revision and not its version, so a conflict is looked at again, three times
    at most. `write` gets the entry as it is. Raises CliError if another version is live, TrunklineError.
    """
    for tries_left in reversed(range(_TRIES)):
        found = await live_policy(client, tenant)
        entry = policies_pb.Policy(tenant_id=tenant) if found is None else found.value
        if entry.version != version:
            raise CliError(
                f"version {entry.version} of {tenant} was put meanwhile",
                advice="look at it with `trunkline policy diff`, then repeat",
                code=Exit.REFUSED,
                reason="REVISION_CONFLICT",
            )
        try:
            return await write(entry)
        except Conflict as exc:
            if exc.reason != "REVISION_CONFLICT" or not tries_left:
                raise
    raise AssertionError("the loop returns or raises")


def text_of(entry: policies_pb.Policy, name: str) -> PolicyText:
    """Return an entry's text and policy; `name` says which it is. Raises CliError."""
    return PolicyText(name, entry.yaml, parsed(entry.yaml, name))


async def rollout_of(client: ControlClient, tenant: str) -> policies_pb.Rollout:
    """Return the rollout under way. Raises CliError if there is none."""
    found = await live_policy(client, tenant)
    if found is None or not found.value.HasField("rollout"):
        raise CliError(f"{tenant} has no rollout under way", advice="`trunkline policy rollout start FILE` begins one")
    return found.value.rollout


def show_policy(out: Output, found: Versioned[policies_pb.Policy], *, text: bool) -> None:
    """Print a policy's version, heads and rollout, and its text where that is wanted."""
    entry = found.value
    out.line(f"tenant    {entry.tenant_id}")
    out.line(f"version   {entry.version}, digest {entry.digest[:_DIGEST_CHARS]}, revision {entry.revision}")
    for head in entry.heads:
        fits = "this text" if head.policy_digest == entry.digest else "the rollout's text"
        out.line(
            f"head      {head.digest[:_DIGEST_CHARS]}, {head.size_bytes:,} bytes, space {head.space_id}, for {fits}"
        )
    if not entry.heads:
        out.line("head      none: routers use prototypes that they make of the examples")
    if entry.HasField("rollout"):
        for line in rollout_lines(entry.rollout):
            out.line(line)
    if text:
        out.line()
        out.line(entry.yaml.rstrip("\n"))
    out.data({"policy": plain(entry), "map_token": found.map_token.hex()})


def rollout_lines(rollout: policies_pb.Rollout) -> list[str]:
    """Return a rollout as lines."""
    state = state_name(rollout.state)
    share = "" if state == "proposed" else f" of {rollout.share:.0%}"
    upon = f"upon version {rollout.base_version}, by {rollout.actor}, since {_when(rollout.change_time)}"
    lines = [f"rollout   {rollout.rollout_id}: {state}{share}, {upon}"]
    if rollout.comment:
        lines.append(f"          {one_line(rollout.comment, 200)}")
    if rollout.evaluation:
        figures = ", ".join(f"{name} {value:g}" for name, value in sorted(rollout.evaluation.items()))
        lines.append(f"          {figures}")
    return lines


def state_name(state: policies_pb.RolloutState.ValueType) -> str:
    """Return a rollout's state in words."""
    return next((name for name, value in STATES.items() if value == state), f"unknown {state}")


def show_versions(out: Output, tenant: str, versions: Sequence[policies_pb.PolicyVersion]) -> None:
    """Print a table of versions, newest first."""
    rows = [
        (
            str(item.version),
            _when(item.change_time),
            item.actor,
            item.digest[:_DIGEST_CHARS],
            f"text of {item.restored_version}" if item.restored_version else "",
            one_line(item.comment, 80),
        )
        for item in versions
    ]
    out.table(("version", "when", "who", "digest", "restored", "comment"), rows)
    out.data({"tenant": tenant, "versions": [plain(item) for item in versions]})


def written_data(found: Versioned[policies_pb.Policy], **more: Any) -> Mapping[str, Any]:
    """Return a change of the live policy as plain data."""
    entry = found.value
    return {
        "tenant": entry.tenant_id,
        "version": entry.version,
        "digest": entry.digest,
        "map_token": found.map_token.hex(),
        **more,
    }


def _when(stamp: Timestamp) -> str:
    return stamp.ToDatetime().isoformat(sep=" ", timespec="seconds")
