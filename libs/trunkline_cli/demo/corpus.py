"""The documents of the demonstration: the standard library's documentation, the best known things first."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

from trunkline_cli.ingest.documents import as_documents
from trunkline_client import Document
from trunkline_text import Chunk, ChunkPolicy, read_stdlib

# Short pieces: a processor without a GPU embeds several of them in the time of one long one.
_SMALL_CHUNKS: Final = ChunkPolicy(target_chars=500, max_chars=700, overlap_chars=60)


def demo_documents(count: int) -> Mapping[str, Sequence[Document]]:
    """Return about `count` documents by collection, as evenly as the collections' sizes allow.

    Raises StdlibMissing if this Python came without its sources.
    """
    corpus = read_stdlib(policy=_SMALL_CHUNKS)
    taken = fair_shares({name: len(chunks) for name, chunks in corpus.collections.items()}, count)
    return {name: list(as_documents(_best_known(chunks)[: taken[name]])) for name, chunks in corpus.collections.items()}


def fair_shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Return how many to take of each: the same of all, and of small ones everything."""
    shares: dict[str, int] = {}
    left = min(count, sum(sizes.values()))
    for position, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: (item[1], item[0]))):
        shares[name] = min(size, -(-left // (len(sizes) - position)))
        left -= shares[name]
    return shares


def _best_known(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Return the chunks in turns, one of each module, so that a cut leaves no module out; the best known first."""
    modules: dict[str, list[Chunk]] = {}
    for chunk in sorted(chunks, key=_prominence):
        modules.setdefault(chunk.title, []).append(chunk)
    turns = itertools.zip_longest(*(modules[name] for name in sorted(modules)))
    return [chunk for turn in turns for chunk in turn if chunk is not None]


def _prominence(chunk: Chunk) -> tuple[int, int, str]:
    """Modules come before classes and functions, those before methods; beginnings before continuations."""
    below_module = chunk.section.removeprefix(chunk.title).strip(".")
    depth = below_module.count(".") + 1 if below_module else 0
    return chunk.ordinal, depth, chunk.document_id
