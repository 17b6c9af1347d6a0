"""Policies: versions that count up and can be gone back to, heads that follow their text, dry runs without traces."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import ADMIN, OPERATOR, MemoryBlobs, furnish, new_collection, new_tenant, soon, use_cases

from trunkline_map import records
from trunkline_map.blob import digest_of
from trunkline_map.entries import HeadPointer, PolicyPointer
from trunkline_map.keys import Kind, MapKey, policy_versions
from trunkline_map.store import Transaction
from trunkline_mesh.errors import (
    CollectionUnknown,
    FieldInvalid,
    PageExpired,
    PolicyUnknown,
    PolicyVersionUnknown,
    ResidencyViolation,
    RevisionConflict,
    TenantUnknown,
)
from trunkline_routing.control import policy_versions as versions_module
from trunkline_routing.control.bindings import ControlUseCases
from trunkline_routing.control.paging import parse_page
from trunkline_routing.control.policies import StoredPolicy


class Place:
    """A control role with the tenant `acme` of `eu`, which has the collection `docs`."""

    def __init__(self) -> None:
        self.store, self.blobs = MemoryStore(), MemoryBlobs()
        self.side: ControlUseCases = use_cases(self.store, blobs=self.blobs)
        self.policies, self.heads = self.side.policies.policies, self.side.policies.heads

    async def put(self, text: str, revision: int | None = None) -> StoredPolicy:
        given = self.revision() if revision is None else revision
        return await self.policies.put("acme", text, given, OPERATOR, soon())

    async def listed(self) -> list[int]:
        page = await self.policies.versions("acme", parse_page(0, ""), soon())
        return [record.version for record in page.versions]

    async def note(self, text: str, space_id: str = "minilm", *, content: bytes = b"head") -> StoredPolicy:
        """Note a head for a text, whose blob lies in `eu`."""
        await self.blobs.put("eu", content)
        return await self.heads.put("acme", head(text, space_id, content=content), OPERATOR, soon())

    def revision(self) -> int:
        item = self.store.state().get(MapKey(Kind.POLICY, "acme").encode())
        return item.mod_revision if item is not None else 0

    def pointer(self) -> PolicyPointer:
        key = MapKey(Kind.POLICY, "acme")
        entry = records.decode(key, self.store.state()[key.encode()].value, 1)
        assert isinstance(entry, PolicyPointer)
        return entry


def _put(entry: PolicyPointer) -> Transaction:
    return Transaction(puts={entry.key.encode(): records.encode(entry)})


def head(text: str, space_id: str = "minilm", *, content: bytes = b"head") -> HeadPointer:
    return HeadPointer(digest_of(text.encode()), digest_of(content), 4, space_id, "minilm", "1", "0" * 64)


@pytest.fixture
async def place() -> Place:
    found = Place()
    await furnish(found.side, "eu-a")
    await found.side.collections.put(new_collection("docs", "eu-a"), OPERATOR, soon())
    return found


async def test_each_version_can_be_read(place: Place) -> None:
    """With who wrote it and why; the live one's heads are told with its text alone."""
    await place.put("docs")
    told = replace(ADMIN, comment="better words")
    await place.policies.put("acme", "docs docs", place.revision(), told, soon())

    first = await place.policies.get_version("acme", 1, soon())
    page = await place.policies.versions("acme", parse_page(0, ""), soon())

    assert (first.yaml, first.version, first.digest) == ("docs", 1, digest_of(b"docs"))
    assert first.pointer.version == 2
    assert [(record.version, record.actor, record.comment) for record in page.versions] == [
        (2, "anna", "better words"),
        (1, "olga", ""),
    ]
    assert page.versions[0].form_digest == digest_of(b"form of docs docs")
    assert page.versions[0].change_time.seconds == 1_700_000_000


async def test_the_form_lies_beside_the_text(place: Place) -> None:
    """Both by their digests, in each jurisdiction, before the map points to them."""
    written = await place.put("docs")

    assert written.pointer.form_digest == digest_of(b"form of docs")
    assert set(place.blobs.kept["eu"].values()) == {b"docs", b"form of docs"}


async def test_a_roll_back_is_a_new_version_with_the_text_of_before(place: Place) -> None:
    """However far back, and the record says where the text came from."""
    for number in range(30):
        await place.put(f"docs #{number}")

    back = await place.policies.roll_back("acme", 1, place.revision(), OPERATOR, soon())

    assert (back.yaml, back.version) == ("docs #0", 31)
    assert back.pointer.form_digest == digest_of(b"form of docs #0")
    assert (await place.policies.get("acme", soon())).yaml == "docs #0"
    newest = (await place.policies.versions("acme", parse_page(1, ""), soon())).versions[0]
    assert (newest.version, newest.restored_version) == (31, 1)


async def test_a_roll_back_is_checked_as_any_other_change(place: Place) -> None:
    """Collections that are gone, revisions that are old, versions that never were."""
    await place.put("docs")
    await place.put("#")
    await place.side.collections.delete("acme", "docs", 0, OPERATOR, soon())

    with pytest.raises(CollectionUnknown):
        await place.policies.roll_back("acme", 1, place.revision(), OPERATOR, soon())
    with pytest.raises(RevisionConflict):
        await place.policies.roll_back("acme", 2, place.revision() - 1, OPERATOR, soon())
    with pytest.raises(PolicyVersionUnknown):
        await place.policies.roll_back("acme", 3, place.revision(), OPERATOR, soon())
    assert place.pointer().version == 2


async def test_a_dry_run_checks_everything_and_leaves_nothing(place: Place) -> None:
    """Neither a pointer nor a version nor a blob."""
    dry = replace(OPERATOR, dry_run=True)
    before = dict(place.store.state())

    told = await place.policies.put("acme", "docs", 0, dry, soon())
    with pytest.raises(CollectionUnknown):
        await place.policies.put("acme", "other", 0, dry, soon())
    with pytest.raises(RevisionConflict):
        await place.policies.put("acme", "docs", 7, dry, soon())

    assert (told.version, told.digest) == (1, digest_of(b"docs"))
    assert place.store.state() == before
    assert place.blobs.kept == {}


async def test_the_last_versions_are_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change lets go of the one that falls out, in its own transaction."""
    monkeypatch.setattr(versions_module, "KEPT", 3)
    for number in range(5):
        await place.put(f"docs #{number}")

    assert await place.listed() == [5, 4, 3]
    with pytest.raises(PolicyVersionUnknown):
        await place.policies.get_version("acme", 2, soon())


async def test_versions_are_listed_page_by_page_at_one_revision(place: Place) -> None:
    """What is written between two pages is on neither; a token of another tenant's list is refused."""
    for number in range(5):
        await place.put(f"docs #{number}")
    first = await place.policies.versions("acme", parse_page(2, ""), soon())
    await place.put("docs")

    second = await place.policies.versions("acme", parse_page(2, first.next_page_token), soon())
    third = await place.policies.versions("acme", parse_page(2, second.next_page_token), soon())

    told = [record.version for page in (first, second, third) for record in page.versions]
    assert (told, third.next_page_token) == ([5, 4, 3, 2, 1], "")
    await place.side.tenants.put(new_tenant("other"), OPERATOR, soon())
    await place.policies.put("other", "#", 0, OPERATOR, soon())
    with pytest.raises(FieldInvalid):
        await place.policies.versions("other", parse_page(2, first.next_page_token), soon())
    place.store.compact()
    with pytest.raises(PageExpired):
        await place.policies.versions("acme", parse_page(2, first.next_page_token), soon())


async def test_versions_need_a_tenant_and_a_policy(place: Place) -> None:
    """Each is told by its own reason."""
    for tenant_id, reason in (("nobody", TenantUnknown), ("acme", PolicyUnknown)):
        with pytest.raises(reason):
            await place.policies.versions(tenant_id, parse_page(0, ""), soon())
        with pytest.raises(reason):
            await place.policies.get_version(tenant_id, 1, soon())


async def test_a_new_tenant_of_the_same_name_inherits_no_versions(place: Place) -> None:
    """Not even those beyond its own."""
    for text in ("docs", "docs #1", "docs #2"):
        await place.put(text)
    await place.side.collections.delete("acme", "docs", 0, OPERATOR, soon())
    await place.side.tenants.delete("acme", 0, OPERATOR, soon())
    await place.side.tenants.put(new_tenant(), OPERATOR, soon())

    await place.put("#")

    assert await place.listed() == [1]
    assert sum(key.startswith(policy_versions("acme")) for key in place.store.state()) == 1


async def test_a_policy_of_before_versions_were_kept_can_be_gone_back_to(place: Place) -> None:
    """Its record is written with the version that replaces it."""
    await place.blobs.put("eu", b"docs")
    old = PolicyPointer("acme", 7, digest_of(b"docs"), frozenset({"eu"}), 4)
    await place.store.commit(_put(old), timeout_s=1)
    assert (await place.policies.get_version("acme", 7, soon())).yaml == "docs"

    await place.put("#")
    back = await place.policies.roll_back("acme", 7, place.revision(), OPERATOR, soon())

    assert (back.yaml, back.version) == ("docs", 9)
    assert await place.listed() == [9, 8, 7]


async def test_of_two_writers_one_is_told(place: Place) -> None:
    """The one that was overtaken between its decision and its write; the other's version stands."""
    await place.put("docs")
    revision = place.revision()

    async def overtake() -> None:
        await place.put("docs #other")

    place.store.meanwhile = overtake
    with pytest.raises(RevisionConflict):
        await place.put("docs #late", revision)

    assert (await place.policies.get("acme", soon())).yaml == "docs #other"
    assert await place.listed() == [2, 1]


async def test_a_head_is_noted_for_its_text(place: Place) -> None:
    """One for each space; the same again changes nothing, another for the same space replaces it."""
    await place.put("docs")
    await place.note("docs")
    noted = place.revision()

    again = await place.note("docs")
    assert (again.pointer.revision, again.heads) == (noted, (head("docs"),))
    await place.note("docs", "other")
    replaced = await place.note("docs", content=b"better head")

    assert replaced.heads == (head("docs", "other"), head("docs", content=b"better head"))
    assert (replaced.yaml, replaced.version) == ("", 1)


async def test_at_most_four_heads_are_noted(place: Place) -> None:
    """The oldest goes."""
    await place.put("docs")
    for number in range(6):
        noted = await place.note("docs", f"s-{number}")

    assert [each.space_id for each in noted.heads] == ["s-2", "s-3", "s-4", "s-5"]


async def test_a_head_needs_its_text_and_its_blob(place: Place) -> None:
    """For another text it is a conflict; without a blob where routers look for it, it would be useless."""
    with pytest.raises(PolicyUnknown):
        await place.note("docs")
    await place.put("docs")

    with pytest.raises(RevisionConflict):
        await place.note("docs #old")
    with pytest.raises(FieldInvalid) as error:
        await place.heads.put("acme", head("docs", content=b"nowhere"), OPERATOR, soon())

    assert error.value.violations[0].field == "head.digest"
    assert place.pointer().heads == ()


async def test_a_head_is_noted_in_spite_of_a_change_that_leaves_its_text(place: Place) -> None:
    """The learner needs no revision: it is decided anew."""
    await place.put("docs")

    async def overtake() -> None:
        await place.note("docs", "other")

    place.store.meanwhile = overtake
    noted = await place.note("docs")

    assert {each.space_id for each in noted.heads} == {"minilm", "other"}


async def test_heads_stay_with_their_text(place: Place) -> None:
    """The same text again keeps them, another text loses them."""
    await place.put("docs")
    await place.note("docs")

    assert (await place.put("docs")).heads == (head("docs"),)
    assert (await place.put("docs docs")).heads == ()


async def test_a_policy_follows_its_tenant_into_a_new_jurisdiction(place: Place) -> None:
    """Text, form and head, before the map says so; a dry run copies nothing."""
    await place.put("docs")
    await place.note("docs")
    tenant, _ = await place.side.tenants.get("acme", soon())
    wider = replace(tenant, jurisdictions=frozenset({"eu", "us"}))

    await place.side.tenants.put(wider, replace(OPERATOR, dry_run=True), soon())
    assert "us" not in place.blobs.kept
    await place.side.tenants.put(wider, OPERATOR, soon())

    assert place.blobs.kept["us"] == place.blobs.kept["eu"]
    assert place.pointer().jurisdictions == frozenset({"eu", "us"})
    assert place.pointer().version == 1


async def test_a_tenant_moves_by_way_of_both_jurisdictions(place: Place) -> None:
    """At once is refused; versions whose text stayed behind are no longer known."""
    await place.put("#1")
    await place.put("#2")
    await place.side.collections.delete("acme", "docs", 0, OPERATOR, soon())

    async def move(*jurisdictions: str) -> None:
        tenant, _ = await place.side.tenants.get("acme", soon())
        await place.side.tenants.put(replace(tenant, jurisdictions=frozenset(jurisdictions)), OPERATOR, soon())

    with pytest.raises(ResidencyViolation):
        await move("us")
    await move("eu", "us")
    await move("us")

    assert (await place.policies.get("acme", soon())).yaml == "#2"
    with pytest.raises(PolicyVersionUnknown):
        await place.policies.get_version("acme", 1, soon())
