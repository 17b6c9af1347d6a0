"""The standard library's documentation is on every machine, in nine collections."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.text.fingerprint import fingerprint

from trunkline_text import StdlibCorpus, StdlibMissing, read_stdlib
from trunkline_text.stdlib_topics import TOPICS

_ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def corpus() -> StdlibCorpus:
    return read_stdlib()


def test_there_is_enough_in_every_collection(corpus: StdlibCorpus) -> None:
    """At least 2,000 chunks in at least 7 collections, none of them thin."""
    assert corpus.chunk_count >= 2000
    assert len(corpus.collections) >= 7
    assert all(len(chunks) >= 50 for chunks in corpus.collections.values())


def test_every_chunk_fits_the_contract(corpus: StdlibCorpus) -> None:
    """Ids are unique and allowed, texts are bounded, each says where it comes from."""
    chunks = [chunk for group in corpus.collections.values() for chunk in group]

    assert len({chunk.document_id for chunk in chunks}) == len(chunks)
    assert all(re.fullmatch(r"[A-Za-z0-9_.:/#-]{1,128}", chunk.document_id) for chunk in chunks)
    assert all(0 < len(chunk.text.encode()) <= 32_768 for chunk in chunks)
    assert all(chunk.source and chunk.title and chunk.fields["topic"] in TOPICS for chunk in chunks)


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("debugging", "tracemalloc.take_snapshot"),
        ("debugging", "tracemalloc.start"),
        ("debugging", "gc.get_objects"),
        ("concurrency", "asyncio.locks.Semaphore"),
        ("concurrency", "threading.Thread"),
        ("networking", "socket.socket"),
        ("data-formats", "json.dumps"),
        ("text", "re"),
        ("files", "pathlib.Path"),
        ("numbers", "decimal.Decimal"),
        ("language", "itertools.chain"),
        ("testing", "unittest.mock.Mock"),
    ],
)
def test_well_known_things_are_found(corpus: StdlibCorpus, topic: str, name: str) -> None:
    """Modules in Python and in C both give their documentation."""
    assert any(name in (chunk.section, chunk.title) for chunk in corpus.collections[topic])


@pytest.fixture(scope="session")
def elsewhere() -> Sequence[str]:
    """What another process, with other hashes, read, as a digest; and which modules it has imported then."""
    command = [sys.executable, "-m", "tests.unit.text.fingerprint"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=_ROOT)
    return done.stdout.split()


def test_two_readings_are_the_same(corpus: StdlibCorpus, elsewhere: Sequence[str]) -> None:
    """Order, ids and texts do not change from one reading to the next, nor from one process to the next."""
    assert fingerprint(corpus) == elsewhere[0]


def test_nothing_with_side_effects_is_imported(elsewhere: Sequence[str]) -> None:
    """Reading the sources imports neither the modules that open windows nor those that print."""
    assert elsewhere[1:] == ["False", "False", "False"]


def test_a_machine_without_sources_is_told(tmp_path: Path) -> None:
    """An interpreter without its sources is a clear message, not an empty corpus."""
    with pytest.raises(StdlibMissing, match="no Python sources"):
        read_stdlib(tmp_path)
