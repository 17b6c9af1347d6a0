"""What a map file would change, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.map_entries_of import file_of, live_of

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline_cli.exits import CliError
from trunkline_cli.mapfile.diff import Action, compare
from trunkline_cli.mapfile.live import LiveMap
from trunkline_cli.mapfile.parse import MapFile, problems_found
from trunkline_cli.mapfile.plan import MAX_CHANGES, MAX_KEYS, keys_touched, plan_import, to_proto
from trunkline_cli.mapfile.schema import EntryKind
from trunkline_cli.mapfile.show import diff_data, summary

BASE = """\
version: 1
regions:
- {region_id: eu-west, jurisdiction: eu, state: serving, stores: [{store_id: own, endpoint: "10.0.0.1:6334"}]}
- {region_id: us-east, jurisdiction: us, state: serving}
spaces:
- {space_id: minilm, model_id: m, model_revision: r, dimension: 384}
tenants:
- {tenant_id: acme, tier: pro, jurisdictions: [eu, us], state: active}
collections:
- {tenant_id: acme, collection_id: files, space_id: minilm, placement: [eu-west, us-east], jurisdictions: [eu, us]}
- {tenant_id: acme, collection_id: notes, space_id: minilm, placement: [eu-west], jurisdictions: [eu]}
"""


def _file(tmp_path: Path, *changes: tuple[str, str]) -> MapFile:
    text = BASE
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return file_of(tmp_path / "map.yaml", text)


@pytest.fixture
def live(tmp_path: Path) -> LiveMap:
    return live_of(_file(tmp_path))


def test_nothing_differs_from_itself(tmp_path: Path, live: LiveMap) -> None:
    """The same map, with and without removals."""
    for prune in (False, True):
        diff = compare(_file(tmp_path), live, prune=prune)
        assert (diff.differences, diff.left, plan_import(diff).batches) == ((), 0, ())
    assert summary(diff) == ["nothing to change"]


def test_fields_that_differ_are_told(tmp_path: Path, live: LiveMap) -> None:
    """From what to what, with the revision that must be current."""
    diff = compare(
        _file(tmp_path, ("tier: pro", "tier: free"), ("[eu-west],", "[eu-west], shard: 3,")), live, prune=False
    )

    assert [(each.kind, each.action, each.revision) for each in diff.differences] == [
        (EntryKind.TENANT, Action.CHANGE, 7),
        (EntryKind.COLLECTION, Action.CHANGE, 7),
    ]
    assert [list(each.fields()) for each in diff.differences] == [[("tier", "pro", "free")], [("shard", 0, 3)]]
    assert diff_data(diff)["counts"]["tenants"] == {"add": 0, "change": 1, "remove": 0}


def test_entries_outside_the_file_stay_unless_asked(tmp_path: Path, live: LiveMap) -> None:
    """Without `prune` they are only counted; with it they go, in reverse order."""
    small = file_of(tmp_path / "small.yaml", BASE[: BASE.index("tenants:")])

    kept, pruned = compare(small, live, prune=False), compare(small, live, prune=True)

    assert (kept.differences, kept.left) == ((), 3)
    assert "3 entries of the map are not in the file and stay" in summary(kept)[-1]
    assert [[each.key for each in batch] for batch in plan_import(pruned).batches] == [
        [("acme", "files"), ("acme", "notes")],
        [("acme",)],
    ]
    removal = to_proto(plan_import(pruned).batches[0])[0]
    assert (removal.remove.kind, removal.remove.tenant_id, removal.remove.entry_id, removal.revision) == (
        changes_pb.ENTRY_KIND_COLLECTION,
        "acme",
        "files",
        7,
    )


def test_a_new_map_is_built_from_the_ground(tmp_path: Path) -> None:
    """Regions, spaces, tenants, collections: nothing before what it relies on, each batch of one step."""
    plan = plan_import(compare(_file(tmp_path), LiveMap(), prune=False))

    assert [batch[0].kind for batch in plan.batches] == list(EntryKind)
    assert not plan.another
    assert [change.put.WhichOneof("kind") for change in to_proto(plan.batches[3])] == ["collection"] * 2


def test_what_is_taken_away_goes_last(tmp_path: Path, live: LiveMap) -> None:
    """A region is drained, loses its store, and a tenant a jurisdiction, only after the collections have moved."""
    file = _file(
        tmp_path,
        ("us, state: serving", "us, state: down"),
        ("jurisdictions: [eu, us], state", "jurisdictions: [eu], state"),
        ("[eu-west, us-east], jurisdictions: [eu, us]", "[eu-west], jurisdictions: [eu]"),
    )

    plan = plan_import(compare(file, live, prune=False))

    assert [[each.key for each in batch] for batch in plan.batches] == [[("acme", "files")], [("us-east",), ("acme",)]]
    assert not plan.another


def test_a_change_that_gives_and_takes_is_made_in_two_steps(tmp_path: Path, live: LiveMap) -> None:
    """First the tenant may be in both jurisdictions; the old one is left to a second comparison."""
    file = _file(tmp_path, ("jurisdictions: [eu, us], state", "jurisdictions: [eu, ap], state"))

    plan = plan_import(compare(file, live, prune=False))

    (batch,) = plan.batches
    assert batch[0].after is not None
    assert batch[0].after["jurisdictions"] == ["ap", "eu", "us"]
    assert plan.another


def test_a_collection_without_jurisdictions_has_its_tenants(tmp_path: Path, live: LiveMap) -> None:
    """So leaving them out is no difference where they are the tenant's, and one where they were fewer."""
    same = compare(_file(tmp_path, ("us-east], jurisdictions: [eu, us]", "us-east]")), live, prune=False)
    wider = compare(_file(tmp_path, ("[eu-west], jurisdictions: [eu]", "[eu-west]")), live, prune=False)

    assert same.differences == ()
    assert [list(each.fields()) for each in wider.differences] == [[("jurisdictions", ["eu"], ["eu", "us"])]]


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (("placement: [eu-west],", "placement: [mars],"), "region mars"),
        (("collection_id: notes, space_id: minilm", "collection_id: notes, space_id: none"), "space none"),
        (("acme, collection_id: notes", "umbra, collection_id: notes"), "tenant umbra"),
    ],
)
def test_what_an_entry_relies_on_must_be_there(
    tmp_path: Path, live: LiveMap, change: tuple[str, str], missing: str
) -> None:
    """In the file or in the map; told with the entry's line before anything is sent."""
    file = _file(tmp_path, change)

    problems = compare(file, live, prune=False).problems

    assert [line for line, _ in problems] == [11]
    assert problems[0][1].endswith(f"there is no {missing}")
    with pytest.raises(CliError, match=f"line 11: collection .*there is no {missing}"):
        raise problems_found(file.path, list(problems))


def test_what_would_be_pruned_cannot_be_relied_on(tmp_path: Path, live: LiveMap) -> None:
    """A file of collections alone needs what is live, and so no `prune`."""
    alone = file_of(tmp_path / "alone.yaml", "version: 1\n" + BASE[BASE.index("collections:") :])

    assert compare(alone, live, prune=False).problems == ()
    assert len(compare(alone, live, prune=True).problems) > 0


def test_batches_fit_into_one_transaction(tmp_path: Path) -> None:
    """However many regions and tenants their entries rely on."""
    lines = "".join(
        f"- {{tenant_id: t{number}, collection_id: c, space_id: s, "
        f"placement: [{', '.join(f'r{(number * 3 + offset) % 40}' for offset in range(8))}]}}\n"
        for number in range(60)
    )
    file = file_of(tmp_path / "wide.yaml", f"version: 1\ncollections:\n{lines}")

    plan = plan_import(compare(file, LiveMap(), prune=False))

    touched = [set().union(*map(keys_touched, batch)) for batch in plan.batches]
    assert plan.count == 60
    assert max(map(len, plan.batches)) <= MAX_CHANGES
    assert max(map(len, touched)) <= MAX_KEYS
    assert [each.key for batch in plan.batches for each in batch] == sorted((f"t{n}", "c") for n in range(60))


def test_what_this_program_does_not_know_survives(tmp_path: Path, live: LiveMap) -> None:
    """A change is written upon the live entry, with its revision and a newer server's fields."""
    message = live.entries[EntryKind.TENANT]["acme",]
    message.MergeFromString(b"\xfa\x07\x03new")  # field 127, a text

    (batch,) = plan_import(compare(_file(tmp_path, ("tier: pro", "tier: free")), live, prune=False)).batches

    sent = to_proto(batch)[0].put.tenant
    assert (sent.tier, sent.revision) == ("free", 7)
    assert b"\xfa\x07\x03new" in sent.SerializeToString()
