"""Removes old changes from the history, once they are in the audit log: the last ones of an entry always stay."""

from __future__ import annotations

from typing import Final

from trunkline_map.keys import MapKey, history_folder
from trunkline_map.store import MAX_TRANSACTION_KEYS, Transaction
from trunkline_routing.control.map_store import CALL_TIMEOUT_S, MapStore

KEPT: Final = 32
"""Changes of an entry that are kept at least, also after its removal."""

SLACK: Final = 16
"""An entry is trimmed when it has so many more, not at each change."""


async def trim(maps: MapStore, entry: MapKey, written_revision: int) -> int:
    """Remove all but the last `KEPT` changes of an entry if there are many more; return how many were removed.

    Only changes up to `written_revision` are removed. Works off one page; more than that is trimmed the next time.
    Raises StoreUnavailableError and MapUnwritable.
    """
    prefix = history_folder(entry)
    page = await maps.kv.list_page(prefix, keys_only=True, timeout_s=CALL_TIMEOUT_S)
    if len(page.items) <= KEPT + SLACK and not page.more:
        return 0
    kept = KEPT  # where more follow on another page, more than these stay for now
    old = [item.key for item in page.items[: len(page.items) - kept] if item.mod_revision <= written_revision]
    for start in range(0, len(old), MAX_TRANSACTION_KEYS):
        transaction = Transaction(deletes=old[start : start + MAX_TRANSACTION_KEYS])
        await maps.kv.commit(transaction, timeout_s=CALL_TIMEOUT_S)
    return len(old)
