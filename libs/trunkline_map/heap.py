"""The garbage collector and large maps (docs/adr/0016): what is loaded once and lives long is not searched for cycles.

A map of 100,000 collections holds some 300,000 objects without a single cycle. Each full collection would look at all
of them, and stop the event loop for 150 ms and more.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LARGE_ENTRIES: Final = 10_000
"""Smaller maps are not worth it: a full collection takes a few milliseconds."""


@contextmanager
def no_collections() -> Iterator[None]:
    """Keep the collector from running while a large map is built: it would find nothing, again and again."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settle() -> None:
    """Collect once, then exempt everything that is alive from later collections. It is still freed by its counts.

    Takes 0.1 s and more for a large map, during which nothing else runs: call it before the process is ready.
    """
    gc.collect()
    gc.freeze()
