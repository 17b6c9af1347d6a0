"""Who makes a change and how, from the credential and the request's options."""

from __future__ import annotations

import pytest

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import region_service_pb2 as region_pb
from trunkline_map.entries import RegionEntry, StoreEntry
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import FieldInvalid
from trunkline_mesh.request import Principal, RequestScope, enter_request
from trunkline_routing.control.access import Reader
from trunkline_routing.control.change_messages import render_name, visible_region
from trunkline_routing.control.options import digest_of, how_of

ID = "0123456789abcdef" * 2


def as_caller(*roles: str) -> None:
    principal = Principal("olga", "acme", frozenset(roles), "", 0.0)
    enter_request(RequestScope("r-1", 1, "/m", Deadline.after(1), False, principal))


async def test_the_author_is_the_credentials_subject() -> None:
    """With its roles, the request and what the caller says about it."""
    as_caller("operator", "admin")

    how = how_of(changes_pb.ChangeOptions(dry_run=True, comment="é" * 128, approval_id=ID))

    assert (how.actor, how.roles, how.operator) == ("olga", ("admin", "operator"), True)
    assert (how.request_id, how.method, how.dry_run) == ("r-1", "/m", True)
    assert (how.comment, how.approval_id, how.approved) == ("é" * 128, ID, None)


async def test_nothing_said_is_the_plain_way() -> None:
    """At once, without a comment; an admin is no operator."""
    as_caller("admin")

    how = how_of()

    assert (how.operator, how.dry_run, how.comment, how.approval_id) == (False, False, "", "")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (changes_pb.ChangeOptions(comment="é" * 129), "options.comment"),
        (changes_pb.ChangeOptions(approval_id="x"), "options.approval_id"),
        (changes_pb.ChangeOptions(approval_id=ID.upper()), "options.approval_id"),
    ],
)
async def test_options_beyond_their_bounds_are_named(options: changes_pb.ChangeOptions, field: str) -> None:
    """In the contract's words."""
    as_caller("operator")

    with pytest.raises(FieldInvalid) as refused:
        how_of(options)

    assert [violation.field for violation in refused.value.violations] == [field]


def test_an_approval_is_bound_to_all_of_a_request_but_its_options() -> None:
    """And to its method."""

    def request(region_id: str, comment: str = "") -> region_pb.DrainRegionRequest:
        return region_pb.DrainRegionRequest(region_id=region_id, options=changes_pb.ChangeOptions(comment=comment))

    one = digest_of(request("a"), "/Drain")

    assert one == digest_of(request("a", "why"), "/Drain")
    assert len({one, digest_of(request("b"), "/Drain"), digest_of(request("a"), "/Undrain")}) == 3
    put = region_pb.PutRegionRequest(region=entries_pb.Region(region_id="a", revision=4))
    moved = region_pb.PutRegionRequest(region=entries_pb.Region(region_id="a", revision=5))
    assert digest_of(put, "/Put") != digest_of(moved, "/Put")


def test_a_tenant_sees_no_other_tenants_stores() -> None:
    """Not even that they are there; operators see all."""
    stores = (StoreEntry("all", "a:1"), StoreEntry("own", "b:1", "acme"), StoreEntry("theirs", "c:1", "other"))
    entry = RegionEntry("r", "eu", stores=stores)

    assert visible_region(entry, Reader(operator=True, tenant_id=None)) == entry
    assert [each.store_id for each in visible_region(entry, Reader(False, "acme")).stores] == ["all", "own"]
    assert [each.store_id for each in visible_region(entry, Reader(False, None)).stores] == ["all"]


def test_entries_are_named_by_kind_tenant_and_name() -> None:
    """As the contract says for each kind."""
    names = [
        render_name(MapKey(Kind.REGION, "r")),
        render_name(MapKey(Kind.TENANT, "acme")),
        render_name(MapKey(Kind.COLLECTION, "acme", "docs")),
    ]

    assert names == [
        changes_pb.EntryName(kind=changes_pb.ENTRY_KIND_REGION, entry_id="r"),
        changes_pb.EntryName(kind=changes_pb.ENTRY_KIND_TENANT, tenant_id="acme"),
        changes_pb.EntryName(kind=changes_pb.ENTRY_KIND_COLLECTION, tenant_id="acme", entry_id="docs"),
    ]
