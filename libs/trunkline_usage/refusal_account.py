"""The account of a service's refusals, in the form of the audit of searches, for services that keep no other."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from trunkline_mesh.errors import DomainError
from trunkline_usage.audit_settings import AuditSettings
from trunkline_usage.search_audit import open_search_audit
from trunkline_usage.turned_away import TurnedAway

MAX_NAME_CHARS: Final = 63


@dataclass(frozen=True, slots=True)
class RefusalAccount:
    """What a service gives to its runtime: see `MeshApp`."""

    on_refusal: Callable[[DomainError], None] | None = None
    """None where nothing is to be noted."""
    soft_checks: Mapping[str, Callable[[], bool]] = field(default_factory=lambda: MappingProxyType({}))


NO_ACCOUNT: Final = RefusalAccount()


@asynccontextmanager
async def open_refusal_account(
    settings: AuditSettings, service: str, *, region: str, jurisdiction_of: Callable[[], str] = str
) -> AsyncIterator[RefusalAccount]:
    """Open the account of a process in the folder that the settings name, and close it at the end.

    Its part of the folder is called by `service` and the host. `jurisdiction_of` tells the region's, empty where it is
    not known. Lines wait for no disk, and no refusal waits for them. Raises OSError for a folder that cannot be used.
    """
    if settings.search_audit_dir is None:
        yield NO_ACCOUNT
        return
    async with open_search_audit(
        settings.search_audit_dir,
        host_name(f"{service}-"),
        region=region,
        keep_salt_days=settings.search_audit_salt_days,
        keep_days=settings.search_audit_days,
    ) as audit:
        yield RefusalAccount(TurnedAway(audit, region, jurisdiction_of), {"search-audit": lambda: audit.healthy})


def host_name(prefix: str = "") -> str:
    """Return the host's name, after `prefix`, as that of a folder: at most MAX_NAME_CHARS characters."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", prefix + socket.gethostname()).lstrip("_.-")[:MAX_NAME_CHARS] or "host"
