"""Gathers documents of collections, from folders or from live collections, and drafts a policy from them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trunkline_cli.exits import CliError, Exit
from trunkline_cli.ingest.documents import Source
from trunkline_client import TrunklineClient
from trunkline_policy.document import to_yaml
from trunkline_policy.drafting import draft_policy
from trunkline_policy.limits import MAX_COLLECTIONS
from trunkline_text import DEFAULT_POLICY, FileLimits

MAX_DOCUMENTS: Final = 256
"""Of one collection; as many as the service samples at most."""
_SAMPLE_DEADLINE_S: Final = 30.0
_EXAMPLES: Final = re.compile(r"^( *)examples:", re.MULTILINE)

Told = Callable[[int, int, str], None]


@dataclass(slots=True)
class Gathered:
    """Texts of documents by collection, what the map says of these, and what was passed over."""

    documents: dict[str, Sequence[str]] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Documents in all."""
        return sum(map(len, self.documents.values()))


def read_folders(folder: Path, count: int, told: Told) -> Gathered:
    """Read at most `count` pieces of each collection: a subfolder each, named as the collection.

    Every file gives one piece before any gives a second. Raises CliError where there is nothing to draft from.
    """
    gathered = Gathered()
    places = _places(folder)
    limits = FileLimits()
    for number, (name, place) in enumerate(sorted(places.items()), 1):
        source = Source.find(place, limits)
        pages = [source.documents(path, DEFAULT_POLICY, limits) for path in source.files[:count]]
        turns = itertools.chain.from_iterable(itertools.zip_longest(*pages))
        texts = list(itertools.islice((item.text for item in turns if item is not None), count))
        gathered.problems += [f"{name}/{problem}" for problem in source.problems]
        if texts:
            gathered.documents[name] = texts
        else:
            gathered.problems.append(f"{name}: no text was found")
        told(number, len(places), name)
    if not gathered.documents:
        raise CliError(f"no subfolder of {folder} has texts", advice=_FOLDERS, code=Exit.USAGE)
    return gathered


_FOLDERS: Final = "one subfolder for each collection, with Markdown, text, HTML or reStructuredText files"


def _places(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise CliError(f"{folder} is no folder", advice=_FOLDERS, code=Exit.USAGE)
    places: dict[str, Path] = {}
    for place in sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith(".")):
        name = re.sub(r"[^a-z0-9]+", "-", place.name.lower()).strip("-")[:63]
        if not name or name in places:
            raise CliError(f"the folder {place.name} names no collection of its own", advice=_FOLDERS, code=Exit.USAGE)
        places[name] = place
    if not 1 <= len(places) <= MAX_COLLECTIONS:
        raise CliError(f"{folder} has {len(places):,} subfolders", advice=_FOLDERS, code=Exit.USAGE)
    return places


async def sample_live(client: TrunklineClient, descriptions: Mapping[str, str], count: int, told: Told) -> Gathered:
    """Read at most `count` documents of each live collection, one after the other. Raises TrunklineError."""
    gathered = Gathered(descriptions={name: text for name, text in descriptions.items() if text})
    for number, name in enumerate(sorted(descriptions), 1):
        found = await client.sample_documents(name, count, deadline_s=_SAMPLE_DEADLINE_S)
        if found:
            gathered.documents[name] = [item.text for item in found]
        else:
            gathered.problems.append(f"{name}: has no documents")
        told(number, len(descriptions), name)
    if not gathered.documents:
        raise CliError("none of the collections has documents", advice="`trunkline ingest` writes some")
    return gathered


def drafted(gathered: Gathered, origin: str, language: str) -> str:
    """Return a policy's YAML with comments that say where it came from and what to look at."""
    policy = draft_policy(gathered.documents, descriptions=gathered.descriptions, language=language)
    head = (
        f"# A draft, made from {gathered.count:,} documents of {len(gathered.documents)} collections ({origin}).\n"
        "# Look it through, then: trunkline policy lint FILE, trunkline policy test QUESTIONS.jsonl --policy FILE,\n"
        "# trunkline policy apply FILE. Keywords and patterns are words of these documents that tell a collection\n"
        "# from the others.\n"
    )
    return head + _EXAMPLES.sub(
        r"\1# Headings and sentences of the documents. What people really ask is better.\n\1examples:",
        to_yaml(policy),
        count=1,
    )
