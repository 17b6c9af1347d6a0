"""In which batches a difference is applied.

Order: regions, spaces, tenants, collections as far as they add; then what goes, in reverse. A batch has changes of one
step alone, few enough for one transaction of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_service_pb2 as map_pb
from trunkline_cli.mapfile.diff import Action, Diff, Difference, opening
from trunkline_cli.mapfile.messages import entry_with
from trunkline_cli.mapfile.schema import EntryKind

MAX_CHANGES: Final = 16
"""In one batch; the contract takes 24, the store's transactions set the narrower bound below."""

MAX_KEYS: Final = 56
"""That one batch may touch: 64 in a transaction, less the epoch, the import's own record and some to spare."""

Batch = tuple[Difference, ...]

_KIND_OF_ENTRY: Final = {
    EntryKind.REGION: changes_pb.ENTRY_KIND_REGION,
    EntryKind.SPACE: changes_pb.ENTRY_KIND_SPACE,
    EntryKind.TENANT: changes_pb.ENTRY_KIND_TENANT,
    EntryKind.COLLECTION: changes_pb.ENTRY_KIND_COLLECTION,
}


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Batches in their order."""

    batches: tuple[Batch, ...]
    another: bool
    """True if some entry changes in two steps, the second of which needs another comparison."""

    @property
    def count(self) -> int:
        """Changes in all."""
        return sum(map(len, self.batches))


def plan_import(diff: Diff) -> ImportPlan:
    """Return the batches that bring the live map to what the file says."""
    opened = [opening(each) for each in diff.differences]
    first = [each for each in opened if each is not None]
    later = [each for each, step in zip(diff.differences, opened, strict=True) if step is None]
    steps = [
        *([each for each in first if each.kind is kind] for kind in EntryKind),
        [each for each in later if each.kind is EntryKind.COLLECTION],
        [each for each in later if each.action is Action.CHANGE],
        *(
            [each for each in later if each.kind is kind and each.action is Action.REMOVE]
            for kind in (EntryKind.TENANT, EntryKind.SPACE, EntryKind.REGION)
        ),
    ]
    batches = tuple(batch for step in steps for batch in _batches(step))
    another = any(step is not None and step is not each for each, step in zip(diff.differences, opened, strict=True))
    return ImportPlan(batches, another)


def _batches(step: Iterable[Difference]) -> Iterator[Batch]:
    batch: list[Difference] = []
    keys: set[str] = set()
    for each in step:
        more = keys_touched(each)
        if batch and (len(batch) >= MAX_CHANGES or len(keys | more) > MAX_KEYS):
            yield tuple(batch)
            batch, keys = [], set()
        batch.append(each)
        keys |= more
    if batch:
        yield tuple(batch)


def keys_touched(difference: Difference) -> set[str]:
    """Return names for the keys that a change compares, writes or looks under."""
    own = f"{difference.kind}/{'/'.join(difference.key)}"
    keys = {own, f"history/{own}", "collections/" + difference.key[0]}
    values = difference.after or difference.before or {}
    if difference.kind is EntryKind.TENANT:
        keys |= {f"policy/{own}", f"history/policy/{own}"}
    elif difference.kind is EntryKind.COLLECTION:
        keys |= {f"tenant/{values['tenant_id']}", f"space/{values['space_id']}"}
        keys |= {f"region/{region}" for region in values["placement"]}
    return keys


def to_proto(batch: Batch) -> list[map_pb.ImportChange]:
    """Return a batch as the contract has it."""
    return [_change(each) for each in batch]


def _change(difference: Difference) -> map_pb.ImportChange:
    if difference.after is not None:
        return map_pb.ImportChange(put=entry_with(difference.kind, difference.after, difference.live))
    tenant = difference.kind in (EntryKind.TENANT, EntryKind.COLLECTION)
    name = changes_pb.EntryName(
        kind=_KIND_OF_ENTRY[difference.kind],
        tenant_id=difference.key[0] if tenant else "",
        entry_id="" if difference.kind is EntryKind.TENANT else difference.key[-1],
    )
    return map_pb.ImportChange(remove=name, revision=difference.revision)
