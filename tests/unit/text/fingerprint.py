"""A digest of the standard library's documentation; as a program it prints it, and which modules it has imported."""

from __future__ import annotations

import hashlib
import sys

from trunkline_text import StdlibCorpus, read_stdlib


def fingerprint(corpus: StdlibCorpus) -> str:
    """Return a digest of all chunks in their order, but those of `sys`, whose hooks pytest replaces by its own."""
    chunks = {name: [chunk for chunk in group if chunk.source != "sys"] for name, group in corpus.collections.items()}
    return hashlib.sha256(repr(chunks).encode()).hexdigest()


if __name__ == "__main__":
    print(fingerprint(read_stdlib()), *(name in sys.modules for name in ("this", "turtle", "asyncio")))
