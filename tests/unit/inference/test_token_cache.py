"""The cache of token vectors that the processes of one Triton share."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.inference.minilm import encoder, late_interaction, token_cache

MAX_ROWS = 8


def vectors(rows: int, seed: int = 0) -> Any:
    """Return a passage of so many rows."""
    rng = np.random.default_rng(seed)
    return late_interaction.PassageVectors(
        rng.integers(-127, 128, (rows, encoder.DIMENSION)).astype(np.int8), rng.random(rows).astype(np.float16)
    )


def same(one: Any, other: Any) -> bool:
    """Tell whether two passages are equal."""
    return one is not None and np.array_equal(one.values, other.values) and np.array_equal(one.scales, other.scales)


def key_of(text: str, scope: str = "acme") -> Any:
    """Return a text's key."""
    return token_cache.cache_key(scope, text, max_tokens=192)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Any]:
    """A cache of 64 slots."""
    opened = token_cache.TokenCache(tmp_path / "trunkline-test-tokens", slots=64, max_rows=MAX_ROWS)
    yield opened
    opened.close()


def test_what_was_put_is_found_by_every_process(cache: Any, tmp_path: Path) -> None:
    """A second opening of the file, as another model's process has it, sees the same."""
    other = token_cache.TokenCache(tmp_path / "trunkline-test-tokens", slots=64, max_rows=MAX_ROWS)
    try:
        assert cache.put(key_of("a"), vectors(5))
        assert same(other.get(key_of("a")), vectors(5))
        assert other.put(key_of("a"), vectors(3, seed=1))
        assert same(cache.get(key_of("a")), vectors(3, seed=1))
    finally:
        other.close()


def test_a_key_is_of_one_tenant_and_one_text(cache: Any) -> None:
    """Neither another tenant, nor another cut, nor a moved boundary between scope and text finds it."""
    cache.put(key_of("text"), vectors(2))

    assert cache.get(key_of("text", scope="rival")) is None
    assert cache.get(token_cache.cache_key("acme", "text", max_tokens=128)) is None
    assert key_of("bc", scope="a") != key_of("c", scope="ab")


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, MAX_ROWS)), max_size=300))
@settings(max_examples=30)
def test_it_is_bounded_and_never_mistaken(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[int, int]]
) -> None:
    """Whatever is stored, a key yields its last value or nothing, and the file does not outgrow its slots."""
    path = tmp_path_factory.mktemp("tokens") / "trunkline-law-tokens"
    opened = token_cache.TokenCache(path, slots=16, max_rows=MAX_ROWS)
    try:
        held: dict[int, Any] = {}
        for number, rows in puts:
            held[number] = vectors(rows, seed=number + rows)
            assert opened.put(key_of(str(number)), held[number])
            assert same(opened.get(key_of(str(number))), held[number])
        found = {number: opened.get(key_of(str(number))) for number in held}

        assert all(value is None or same(value, held[number]) for number, value in found.items())
        assert sum(value is not None for value in found.values()) <= 16
        assert path.stat().st_size <= opened.size_bytes_max
    finally:
        opened.close()


def test_a_torn_write_is_a_miss(cache: Any, tmp_path: Path) -> None:
    """A slot that another process is writing fails its checksum."""
    cache.put(key_of("a"), vectors(MAX_ROWS))
    path = tmp_path / "trunkline-test-tokens"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(content)

    assert cache.get(key_of("a")) is None
    assert cache.put(key_of("a"), vectors(2))
    assert same(cache.get(key_of("a")), vectors(2))


def test_a_passage_with_too_many_rows_is_not_kept(cache: Any) -> None:
    """It would reach into the next slot."""
    assert not cache.put(key_of("a"), vectors(MAX_ROWS + 1))
    assert cache.get(key_of("a")) is None


def test_a_full_disk_costs_the_value_and_nothing_else(cache: Any) -> None:
    """No room is a value that is not kept; the process lives on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256, hard))  # Python ignores SIGXFSZ, so this is an OSError as ENOSPC is
    try:
        assert not cache.put(key_of("a"), vectors(MAX_ROWS))
        assert cache.get(key_of("a")) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert cache.put(key_of("a"), vectors(MAX_ROWS))


def test_files_of_killed_servers_are_removed_and_no_others(tmp_path: Path) -> None:
    """Opening removes what no process holds; closing removes the own file once nobody uses it."""
    orphan = tmp_path / "trunkline-dead-tokens"
    orphan.write_bytes(b"left behind")
    living = token_cache.TokenCache(tmp_path / "trunkline-living-tokens", slots=8, max_rows=MAX_ROWS)
    ours = token_cache.TokenCache(tmp_path / "trunkline-ours-tokens", slots=8, max_rows=MAX_ROWS)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["trunkline-living-tokens", "trunkline-ours-tokens"]
    again = token_cache.TokenCache(tmp_path / "trunkline-ours-tokens", slots=8, max_rows=MAX_ROWS)
    again.close()
    assert (tmp_path / "trunkline-ours-tokens").exists()
    ours.close()
    living.close()
    assert not list(tmp_path.iterdir())


def test_nobody_else_may_read_it(cache: Any, tmp_path: Path) -> None:
    """Vectors can be turned back into text."""
    assert (tmp_path / "trunkline-test-tokens").stat().st_mode & 0o777 == 0o600
