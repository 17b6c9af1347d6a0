"""What a map file would change: entry by entry, field by field, and in which order it can be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from trunkline_cli.mapfile.live import LiveMap
from trunkline_cli.mapfile.messages import Message, values_of
from trunkline_cli.mapfile.parse import FileEntry, MapFile
from trunkline_cli.mapfile.schema import FIELDS, EntryKind, Key, Values, shown_name


class Action(StrEnum):
    """What happens to an entry."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry that the file would change."""

    kind: EntryKind
    key: Key
    before: Values | None
    """As it is live; None for a new one."""
    after: Values | None
    """As the file has it; None for one that goes."""
    live: Message | None

    @property
    def action(self) -> Action:
        """What happens to it."""
        if self.before is None:
            return Action.ADD
        return Action.REMOVE if self.after is None else Action.CHANGE

    @property
    def revision(self) -> int:
        """Revision that must be current; 0 where there must be none."""
        return 0 if self.live is None else self.live.revision

    def fields(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield the fields of a changed entry that differ: name, before, after."""
        if self.before is None or self.after is None:
            return
        for field in FIELDS[self.kind]:
            if self.before[field.name] != self.after[field.name]:
                yield field.name, self.before[field.name], self.after[field.name]


@dataclass(frozen=True, slots=True)
class Diff:
    """Everything that the file would change."""

    differences: tuple[Difference, ...]
    left: int
    """Live entries that are not in the file and stay, because removals were not asked for."""
    problems: tuple[tuple[int, str], ...] = ()
    """Lines of entries that rely on what would not be there."""

    def counts(self) -> Mapping[tuple[EntryKind, Action], int]:
        """Return how many entries of each kind are added, changed and removed."""
        return Counter((each.kind, each.action) for each in self.differences)


def compare(file: MapFile, live: LiveMap, *, prune: bool) -> Diff:
    """Return what the file would change; entries that are not in it are removed only with `prune`."""
    found: list[Difference] = []
    problems: list[tuple[int, str]] = []
    left = 0
    for kind in EntryKind:
        there = live.entries[kind]
        for key, wanted in file.entries[kind].items():
            after = _settled(kind, wanted, file, live)
            problems += ((wanted.line, text) for text in _missing(kind, after, file, live, prune=prune))
            message = there.get(key)
            before = None if message is None else values_of(message)
            if before != after:
                found.append(Difference(kind, key, before, after, message))
        gone = [(key, message) for key, message in there.items() if key not in file.entries[kind]]
        if prune:
            found += (Difference(kind, key, values_of(message), None, message) for key, message in gone)
        else:
            left += len(gone)
    return Diff(tuple(sorted(found, key=_order)), left, tuple(problems))


def _order(difference: Difference) -> tuple[int, Key]:
    return list(EntryKind).index(difference.kind), difference.key


def _settled(kind: EntryKind, wanted: FileEntry, file: MapFile, live: LiveMap) -> Values:
    """Return what an entry will say: a collection without jurisdictions has its tenant's."""
    if kind is not EntryKind.COLLECTION or wanted.values["jurisdictions"]:
        return wanted.values
    owner = _found(EntryKind.TENANT, (wanted.values["tenant_id"],), file, live)
    return wanted.values if owner is None else {**wanted.values, "jurisdictions": owner["jurisdictions"]}


def _found(kind: EntryKind, key: Key, file: MapFile, live: LiveMap) -> Values | None:
    given = file.entries[kind].get(key)
    if given is not None:
        return given.values
    message = live.entries[kind].get(key)
    return None if message is None else values_of(message)


def _missing(kind: EntryKind, values: Values, file: MapFile, live: LiveMap, *, prune: bool) -> Iterator[str]:
    """Yield what an entry relies on and the map would not have, and places outside its jurisdictions."""
    if kind is not EntryKind.COLLECTION:
        return
    needs = [(EntryKind.TENANT, values["tenant_id"]), (EntryKind.SPACE, values["space_id"])]
    needs += ((EntryKind.REGION, region) for region in values["placement"])
    key = (values["tenant_id"], values["collection_id"])
    for needed, name in needs:
        given = (name,) in file.entries[needed]
        if not given and (prune or (name,) not in live.entries[needed]):
            yield f"{shown_name(kind, key)}: there is no {shown_name(needed, (name,))}"


def opening(difference: Difference) -> Difference | None:
    """Return the part of a change that takes nothing away on which others may still rely; None if there is none.

    Regions that stop serving or lose stores, and tenants that lose jurisdictions, do so after the collections moved.
    """
    before, after = difference.before, difference.after
    if before is None or after is None:
        return difference if after is not None else None
    first = dict(after)
    if difference.kind is EntryKind.TENANT:
        first["jurisdictions"] = sorted({*before["jurisdictions"], *after["jurisdictions"]})
    elif difference.kind is EntryKind.REGION:
        kept = {store["store_id"]: store for store in (*before["stores"], *after["stores"])}
        first["stores"] = [kept[name] for name in sorted(kept)]
        if before["state"] == "serving":
            first["state"] = "serving"
    if first == after:
        return difference
    return None if first == before else replace(difference, after=first)
