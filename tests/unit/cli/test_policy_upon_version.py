"""A policy is written upon the version that was looked at, whatever learners note of it meanwhile."""

from __future__ import annotations

import pytest

from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.policy.live import upon_version
from trunkline_client import Conflict, ControlClient, Failure, NotFound, Versioned

CONFLICT = Failure("REVISION_CONFLICT", "ABORTED", "the entry changed")


class _Control(ControlClient):
    """A policy whose revision changes under the writer's hands so many times."""

    def __init__(self, version: int, conflicts: int) -> None:
        super().__init__(["127.0.0.1:1"], "token")
        self.version = version
        self.conflicts = conflicts
        self.revisions: list[int] = []

    async def policy(
        self, tenant_id: str = "", *, version: int = 0, rollout: bool = False
    ) -> Versioned[policies_pb.Policy]:
        if not self.version:
            raise NotFound(Failure("POLICY_UNKNOWN", "NOT_FOUND", "none"))
        entry = policies_pb.Policy(tenant_id=tenant_id, version=self.version, revision=10 + len(self.revisions))
        return Versioned(entry, b"")

    async def write(self, entry: policies_pb.Policy) -> Versioned[policies_pb.Policy]:
        self.revisions.append(entry.revision)
        if len(self.revisions) <= self.conflicts:
            raise Conflict(CONFLICT)
        return Versioned(entry, b"token")


@pytest.mark.parametrize("conflicts", [0, 1, 3])
async def test_a_head_that_is_noted_meanwhile_is_no_conflict(conflicts: int) -> None:
    """The write is repeated upon the new revision."""
    control = _Control(3, conflicts)

    written = await upon_version(control, "acme", 3, control.write)

    assert written.map_token == b"token"
    assert control.revisions == list(range(10, 11 + conflicts))


async def test_a_first_policy_is_written_upon_nothing() -> None:
    """Revision 0 says that there must be none."""
    control = _Control(0, 0)

    await upon_version(control, "acme", 0, control.write)

    assert control.revisions == [0]


async def test_another_version_is_not_overwritten() -> None:
    """Nothing is written, and the code says that it was refused."""
    control = _Control(4, 0)

    with pytest.raises(CliError, match="version 4 of acme was put meanwhile") as caught:
        await upon_version(control, "acme", 3, control.write)

    assert (caught.value.code, control.revisions) == (Exit.REFUSED, [])


async def test_endless_conflicts_end() -> None:
    """After four tries the refusal is told as it is."""
    control = _Control(3, 99)

    with pytest.raises(Conflict):
        await upon_version(control, "acme", 3, control.write)

    assert len(control.revisions) == 4
