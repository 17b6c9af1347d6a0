"""What is read from an answer's trailing metadata."""

from __future__ import annotations

import pytest

from trunkline_client import signals
from trunkline_client.signals import SILENT, Signals, read_signals
from trunkline_mesh import request


def test_the_names_are_those_of_the_servers() -> None:
    """The client imports no server's code, so it has its own copies."""
    assert signals.DRAINING_KEY == request.DRAINING_KEY
    assert signals.PRESSURE_KEY == request.PRESSURE_KEY
    assert signals.TIMEOUT_KEY == request.TIMEOUT_KEY


def test_signals_are_read() -> None:
    """Pressure and draining among whatever else stands there."""
    found = read_signals([("x", "1"), (signals.PRESSURE_KEY, "0.75"), (signals.DRAINING_KEY, "1"), ("y-bin", b"1")])

    assert found == Signals(0.75, draining=True)
    assert found.told


@pytest.mark.parametrize("text", ["", "nan", "inf", "-1", "1" * 17, "one", b"0.5"])
def test_malformed_pressure_is_none(text: str | bytes) -> None:
    """Nothing odd that a server sends reaches the choice of a router."""
    assert read_signals([(signals.PRESSURE_KEY, text)]) == SILENT


def test_silence_tells_nothing() -> None:
    """A proxy's answer has neither."""
    assert not read_signals(None).told
    assert not read_signals([(signals.DRAINING_KEY, "0")]).told
