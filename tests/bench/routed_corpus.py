"""What `routed` searches: seven collections with documents, example queries, and questions with known answers."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_text import read_stdlib

COLLECTIONS: Final = 7
QUERIES: Final = 600
MAX_EXAMPLES_EACH: Final = 750


@dataclass(frozen=True, slots=True)
class Item:
    """A text and what counts as the same thing."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents and examples by collection; questions of which a document with the same label is an answer."""

    name: str
    documents: Mapping[str, Sequence[Item]]
    examples: Mapping[str, Sequence[str]]
    queries: Sequence[Item]


def clinc(folder: Path) -> Corpus:
    """CLINC150: the first seven domains are the collections, half of each one's training requests its documents, the
    other half the policy's examples; validation requests ask, and documents of the same intent answer.
    """
    train = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    held = [json.loads(line) for line in (folder / "val.jsonl").read_text().splitlines()]
    names = sorted({row["domain"] for row in train})[:COLLECTIONS]
    documents: dict[str, list[Item]] = defaultdict(list)
    examples: dict[str, list[str]] = defaultdict(list)
    for number, row in enumerate(row for row in train if row["domain"] in names):
        name = row["domain"].replace("_", "-")
        if number % 2:
            documents[name].append(Item(row["text"], row["intent"]))
        else:
            examples[name].append(row["text"])
    asked = [Item(row["text"], row["intent"]) for row in held if row["domain"] in names]
    return Corpus("clinc150-7", documents, {name: texts[:MAX_EXAMPLES_EACH] for name, texts in examples.items()}, asked)


def stdlib() -> Corpus:
    """The standard library's documentation: every tenth section is asked for by its first sentence, headings of the
    others are the policy's examples. Harder to route: "Close the file." belongs to many modules.
    """
    corpus = read_stdlib()
    names = sorted(corpus.collections)[:COLLECTIONS]
    documents: dict[str, list[Item]] = {}
    examples: dict[str, list[str]] = {}
    queries: list[Item] = []
    for name in names:
        chunks = corpus.collections[name][:1500]
        documents[name] = [Item(chunk.text, chunk.document_id) for chunk in chunks]
        known = [sentence for number, chunk in enumerate(chunks) if number % 10 and (sentence := _sentence(chunk.text))]
        examples[name] = known[:MAX_EXAMPLES_EACH]
        queries += [Item(text, chunk.document_id) for chunk in chunks[::10] if (text := _sentence(chunk.text))]
    return Corpus("stdlib-7", documents, examples, queries)


def corpus_of(data: Path | None) -> Corpus:
    """Return CLINC150 where it is at hand, else the standard library."""
    folder = None if data is None else data / "clinc150"
    return clinc(folder) if folder is not None and (folder / "train.jsonl").is_file() else stdlib()


def _sentence(text: str) -> str:
    """The first line of running text after the heading; empty if there is none that can stand alone."""
    for line in text.splitlines()[1:]:
        stripped = " ".join(line.split())
        if len(stripped.split()) >= 4:
            return stripped[:300]
    return ""
