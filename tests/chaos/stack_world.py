"""What the stack under chaos holds: tenants within different walls, and documents with a question for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.chaos.load_spec import Question, Stream
from trunkline_client import Document
from trunkline_local.seeding import CollectionSeed, TenantSeed

US, EU, ASIA = "us-east", "eu-west", "ap-south"
REGIONS: Final = (US, EU, ASIA)
VICTIM: Final = EU
"""The region that is killed, frozen, slowed and drained: near to some callers, first in some placements."""

ACME, GLOBEX, INITECH = "acme", "globex", "initech"
ANYWHERE, IN_US, NOT_ASIA = frozenset(REGIONS), frozenset({US}), frozenset({US, EU})

ROOM: Final = 1_000_000
"""Requests a minute: capacity is measured here, and no quota may stand in its way."""

TENANTS: Final = (
    TenantSeed(ACME, "enterprise", ["us", "eu", "apac"], ROOM, ROOM),
    TenantSeed(GLOBEX, "enterprise", ["us"], ROOM, ROOM),
    TenantSeed(INITECH, "enterprise", ["us", "eu"], ROOM, ROOM),
)
COLLECTIONS: Final = (
    CollectionSeed(ACME, "handbook", [US, EU, ASIA], ["us", "eu", "apac"]),
    # Every router's first choice is the victim, so routers elsewhere must fail over too.
    CollectionSeed(ACME, "atlas", [EU, US, ASIA], ["us", "eu", "apac"], by_placement=True),
    CollectionSeed(GLOBEX, "notes", [US]),
    CollectionSeed(INITECH, "alpha", [EU, US], by_placement=True),
)
_COLLECTIONS_OF: Final[Mapping[str, Sequence[str]]] = {
    ACME: ("handbook", "atlas"),
    GLOBEX: ("notes",),
    INITECH: ("alpha",),
}

_SUBJECTS: Final[Mapping[str, tuple[str, str]]] = {
    "lighthouse": ("A lighthouse warns ships of rocks at night.", "What warns ships of rocks at night?"),
    "volcano": ("A volcano throws out lava and ash.", "What throws out lava and ash?"),
    "bakery": ("A bakery sells bread and rolls in the morning.", "Where are bread and rolls sold?"),
    "telescope": ("A telescope shows the moons of Jupiter.", "What shows the moons of Jupiter?"),
    "beehive": ("Bees keep their honey in the combs of a beehive.", "Where do bees keep their honey?"),
    "railway": ("Trains run on the rails of a railway.", "On what do trains run?"),
    "violin": ("A violin is played with a bow on four strings.", "What is played with a bow on four strings?"),
    "glacier": ("A glacier is a river of ice in the mountains.", "What is a river of ice?"),
    "library": ("Readers borrow books from a library.", "From where do readers borrow books?"),
    "vineyard": ("Grapes for wine grow in a vineyard.", "Where do grapes for wine grow?"),
    "compass": ("The needle of a compass points north.", "What has a needle that points north?"),
    "hospital": ("Surgeons and nurses work in a hospital.", "Where do surgeons and nurses work?"),
}


def documents(tenant: str, collection: str) -> list[Document]:
    """Return a collection's documents. Ids begin with the tenant, texts end with whose they are."""
    return [
        Document(f"{tenant}-{collection}-{subject}", _text(tenant, collection, subject), {"tenant": tenant})
        for subject in _SUBJECTS
    ]


def questions(tenant: str) -> tuple[Question, ...]:
    """Return what a tenant asks, named `collection/subject/kind`.

    By weight: 70 % searches whose vectors are cached after the first time, 10 % with reranking, 15 % searches of texts
    that were never asked before and must be embedded by the model server, 5 % decisions alone. Where a tenant has
    several collections, 10 % more go to all of them in one search.
    """
    collections = _COLLECTIONS_OF[tenant]
    single = [
        question
        for collection in collections
        for subject in _SUBJECTS
        for question in _questions(tenant, (collection,), subject)
    ]
    if len(collections) == 1:
        return tuple(single)
    across = [_questions(tenant, collections, subject)[0] for subject in _SUBJECTS]
    weight = 0.1 * sum(each.weight for each in single) / len(across)
    return (*single, *(each.model_copy(update={"weight": weight}) for each in across))


def streams(tokens: Mapping[str, str], routers: Mapping[str, str], rps: float) -> tuple[Stream, ...]:
    """Return five callers of three tenants, two of which have the victim as their nearest region.

    `tokens`: credential by tenant. `routers`: `host:port` by region. `rps`: arrivals a second of all together.
    """

    def stream(tenant: str, near: str, regions: frozenset[str], part: float) -> Stream:
        order = [near, *(region for region in REGIONS if region in regions and region != near)]
        return Stream(
            name=f"{tenant}-{near}",
            tenant=tenant,
            token=tokens[tenant],
            routers=tuple(f"{region}={routers[region]}" for region in order),
            rps=rps * part,
            questions=questions(tenant),
            regions=regions,
            owner=f"{tenant}-",
        )

    return (
        stream(ACME, US, ANYWHERE, 0.20),
        stream(ACME, VICTIM, ANYWHERE, 0.30),
        stream(ACME, ASIA, ANYWHERE, 0.20),
        stream(GLOBEX, US, IN_US, 0.15),
        stream(INITECH, VICTIM, NOT_ASIA, 0.15),
    )


def _text(tenant: str, collection: str, subject: str) -> str:
    return f"{_SUBJECTS[subject][0]} Entry of the {collection} of {tenant}."


def _questions(tenant: str, collections: Sequence[str], subject: str) -> tuple[Question, ...]:
    # Each collection's best hit has the same rank, and equals stand in the order of their ids.
    first = min(collections)

    def question(kind: str, weight: float, **fields: bool) -> Question:
        return Question(
            name=f"{'+'.join(collections)}/{subject}/{kind}",
            text=_SUBJECTS[subject][1],
            collections=tuple(collections),
            weight=weight,
            top=f"{tenant}-{first}-{subject}",
            text_of_top=_text(tenant, first, subject),
            **fields,
        )

    return (
        question("cached", 0.70),
        question("reranked", 0.10, rerank=True),
        question("fresh", 0.15, fresh=True),
        question("route", 0.05).model_copy(update={"kind": "route"}),
    )
