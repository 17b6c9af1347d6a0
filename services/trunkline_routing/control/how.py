"""Who makes a change, and how: what every use case that changes the map is told besides the change itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Approved:
    """An approval that a second person gave for this very change; it is used up in the change's own transaction."""

    approval_id: str
    approver: str
    key: bytes
    """Where it lies."""
    revision: int
    """As it was when it was checked; it must still be the same at the write."""


@dataclass(frozen=True, slots=True)
class How:
    """The author of a change and the caller's options."""

    actor: str
    """Subject of the credential."""
    roles: tuple[str, ...] = ()
    """Its roles, sorted."""
    operator: bool = True
    """False for a tenant's own admin, whom its tier binds."""
    request_id: str = ""
    method: str = ""
    """The method's full name."""
    comment: str = ""
    """Why, at most 256 bytes."""
    dry_run: bool = False
    """True to check everything and write nothing."""
    urgent: bool = False
    """True to make it although an error budget is nearly spent."""
    approval_id: str = ""
    """As the caller gave it; not checked yet."""
    approved: Approved | None = None
    """The same after it was checked; None where there is none."""
