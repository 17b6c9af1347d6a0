"""Refusals of the control role whose wording several use cases share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trunkline_mesh.errors import EntryInUse, MapUnwritable

RETRY_DELAY_S: Final = 1.0
"""Told when the control store is away: an election or a restart takes about that long."""


def unreachable() -> MapUnwritable:
    """Nothing was sent: the store could not even be read."""
    return MapUnwritable(retry_delay_s=RETRY_DELAY_S, metadata={"outcome": "NONE"})


def in_use(users: Sequence[str]) -> EntryInUse:
    """The entry is used by collections, named `tenant/collection`; a few stand for all."""
    return EntryInUse(metadata={"usedBy": ",".join(users)})
