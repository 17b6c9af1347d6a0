"""Lines of usage journals hold what was said, and show what was altered."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.usage.making import any_records, record

from trunkline_usage.records import MAX_COUNT, DamagedLineError, StageUse, UsageRecord, line_of, record_of


@given(any_records, st.integers(0, 10**9))
def test_a_record_comes_back_as_it_was(one: UsageRecord, number: int) -> None:
    """Whatever texts and numbers it holds."""
    assert record_of(line_of(one, number)) == (number, one)


@given(any_records)
def test_a_line_is_one_line_of_json(one: UsageRecord) -> None:
    """So that any tool can read it."""
    line = line_of(one, 1)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line)["id"] == one.request_id


@given(any_records, st.data())
def test_an_altered_byte_shows(one: UsageRecord, data: st.DataObject) -> None:
    """Wherever it is."""
    line = bytearray(line_of(one, 1)[:-1])
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedLineError):
        record_of(bytes(line))


@pytest.mark.parametrize("count", [-1, MAX_COUNT + 1, 1.5, True])
def test_numbers_that_are_none_are_no_record(count: int) -> None:
    """A bill must not take them, even with a right check behind them."""
    line = line_of(record(stages=[StageUse("search", "", 7, 7, 7)]), 1)
    changed = line.replace(b"7,7,7", json.dumps(count).encode() + b",7,7").rpartition(b',"c":"')[0]
    with pytest.raises(DamagedLineError):
        record_of(b'%b,"c":"%08x"}\n' % (changed, zlib.crc32(changed)))


def test_a_line_of_an_older_router_is_read() -> None:
    """It has no digest."""
    line = line_of(record(), 1)
    body = line.replace(b'"d":"",', b"").rpartition(b',"c":"')[0]
    older = b'%b,"c":"%08x"}\n' % (body, zlib.crc32(body))
    assert len(older) == len(line) - len(b'"d":"",')
    assert record_of(older) == (1, record())


def test_what_is_no_record_is_not_written() -> None:
    """A float among exact numbers, no number at all, or more than a line may have."""
    with pytest.raises(ValueError, match="format"):
        line_of(record(stages=[StageUse("search", "", 1, 1, 0.5)]), 1)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError):
        line_of(replace(record(), tenant_id=None), 1)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="long"):
        line_of(record("r" * 70_000), 1)
