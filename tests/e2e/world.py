"""What the stack of three regions holds: tenants, collections, a policy and documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from trunkline_client import Document
from trunkline_local.seeding import CollectionSeed, TenantSeed

US, EU, ASIA = "us-east", "eu-west", "ap-south"
REGIONS: Final = (US, EU, ASIA)
JURISDICTION: Final = {US: "us", EU: "eu", ASIA: "apac"}

ACME, GLOBEX, INITECH = "acme", "globex", "initech"

TENANTS: Final = (
    TenantSeed(ACME, "enterprise", ["us", "eu", "apac"], 60_000),
    TenantSeed(GLOBEX, "pro", ["eu"]),
    TenantSeed(INITECH, "pro", ["us", "eu"]),
)

COLLECTIONS: Final = (
    CollectionSeed(ACME, "debugging", [US, EU], ["us", "eu"], "Finding defects and memory leaks in programs"),
    CollectionSeed(ACME, "concurrency", [EU, US], ["us", "eu"], "Threads, tasks and locks", dedicated=True),
    CollectionSeed(ACME, "formats", [US, EU, ASIA], ["us", "eu", "apac"], "Reading and writing data files"),
    # In the router's own region there is no copy, or only one copy is there at all: what failover and walls need.
    CollectionSeed(ACME, "world", [EU, US], ["us", "eu", "apac"], shard=1),
    CollectionSeed(ACME, "far", [EU], ["us", "eu"], shard=1),
    CollectionSeed(ACME, "single", [EU], ["eu", "apac"], shard=1),
    CollectionSeed(ACME, "records", [EU], ["eu"], shard=1),
    CollectionSeed(GLOBEX, "notes", [EU]),
    CollectionSeed(INITECH, "alpha", [US, EU]),
    CollectionSeed(INITECH, "beta", [EU, US]),
)

ACME_POLICY: Final = """
version: 1
threshold: 0.4
margin: 0.02
max_collections: 3
collections:
  debugging:
    keywords: [breakpoint, debugger]
    examples:
      - How do I find out where my program loses memory?
      - Why does the interpreter crash?
  concurrency:
    keywords: [threads, event loop]
    patterns: ['\\basync(io)?\\b']
    examples:
      - What is the difference between coroutines and operating system threads?
  formats:
    keywords: [csv, json]
    examples:
      - How do I read a table from a file?
"""


def _document(document_id: str, text: str, topic: str, level: int) -> Document:
    return Document(document_id, text, {"topic": topic, "level": level, "source": f"{document_id}.md"})


DOCUMENTS: Final[Mapping[str, Sequence[Document]]] = {
    "debugging": (
        _document(
            "tracemalloc",
            "tracemalloc traces memory blocks that Python allocated. Compare two snapshots to find memory leaks.",
            "memory",
            2,
        ),
        _document(
            "pdb",
            "pdb is an interactive debugger: set a breakpoint, step through lines, look at frames.",
            "stepping",
            1,
        ),
        _document(
            "faulthandler", "faulthandler writes where each thread was when the interpreter crashed.", "crash", 3
        ),
    ),
    "concurrency": (
        _document(
            "asyncio", "asyncio runs many tasks in one thread; an event loop switches at each await.", "tasks", 2
        ),
        _document("threading", "threading runs functions in threads that share memory; locks guard it.", "threads", 2),
    ),
    "formats": (
        _document("csv", "The csv module reads and writes tables as comma separated values.", "tables", 1),
        _document("json", "The json module reads and writes objects and lists as text.", "objects", 1),
    ),
    "world": (_document("globe", "A document about oceans, continents and islands of the planet.", "geography", 1),),
    "far": (_document("lighthouse", "A lighthouse stands at a distant coast and warns ships.", "coast", 1),),
    "single": (_document("hermit", "A hermit lives alone in the mountains.", "mountains", 1),),
    "records": (_document("ledger", "The ledger lists invoices of European customers.", "invoices", 1),),
}
"""Documents of acme by collection."""

GLOBEX_DOCUMENT: Final = _document("secret-plan", "The volcano lair of globex needs a new elevator.", "plans", 1)
