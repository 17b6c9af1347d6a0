"""Price files: exact, versioned, and refused with the name of what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from trunkline_usage.prices import PriceFileError, default_prices, default_prices_text, parse_prices, read_prices


def text(*versions: dict[str, object], currency: object = "EUR", **more: object) -> str:
    return yaml.safe_dump({"currency": currency, "versions": list(versions), **more})


def version(name: object = "1", day: object = "2026-01-01", **micros: object) -> dict[str, object]:
    prices = {"search": 0, "embedding": 20, "rerank": 100, "write": 10, **micros}
    return {"version": name, "effective_from": datetime.fromisoformat(str(day)).date(), "micros": prices}


def at(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def test_the_packages_own_list() -> None:
    """Searching by rules is free, so that a spent budget leaves something; models and storage are not."""
    prices = default_prices().at(at("2026-11-21"))
    assert (prices.version, prices.currency) == ("1", "EUR")
    assert [stage for stage in ("search", "embedding", "rerank", "write") if prices.is_free(stage)] == ["search"]
    assert prices.cost_micros("rerank", 3) == 300
    assert read_prices(None) is default_prices()


def test_the_version_in_force_holds_from_its_day() -> None:
    """In UTC; before the first one, the first."""
    book = parse_prices(text(version("a"), version("b", "2026-03-01", write=7)))
    assert book.at(at("2026-03-01") - 1).version == "a"
    assert book.at(at("2026-03-01")).cost_micros("write", 6) == 42
    assert book.at(0).version == "a"


def test_amounts_are_exact() -> None:
    """However large; nothing is a float."""
    book = parse_prices(text(version(write=10**12)))
    assert book.at(0).cost_micros("write", 10**12 + 1) == 10**24 + 10**12


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (text(version(search=-1)), "versions.0.micros.search"),
        (text(version(search=0.5)), "versions.0.micros.search"),
        (text(version(search="12")), "versions.0.micros.search"),
        (text(version(search=10**13)), "versions.0.micros.search"),
        (text(version(generation=5)), "versions.0.micros.generation"),
        (text({"version": "1", "effective_from": 5, "micros": {}}), "versions.0.effective_from"),
        (text(version(name=2026)), "versions.0.version"),
        (text(version(name="a b")), "versions.0.version"),
        (text(version(), version("2")), "versions"),
        (text(version("a", "2026-02-01"), version("b")), "versions"),
        (text(version(), version("1", "2026-02-01")), "versions"),
        (text(), "versions"),
        (text(version(), currency="Euro"), "currency"),
        (text(version(), discount=5), "discount"),
        ("[1, 2]", "file"),
        ("a: [", "YAML"),
    ],
)
def test_what_is_wrong_is_named(content: str, named: str) -> None:
    """By the path of the field."""
    with pytest.raises(PriceFileError, match=named):
        parse_prices(content)


def test_a_file_is_read_and_named_in_errors(tmp_path: Path) -> None:
    """Also one that is no text, or too large."""
    path = tmp_path / "prices.yaml"
    path.write_text(default_prices_text(), encoding="utf-8")
    assert read_prices(path).currency == "EUR"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PriceFileError, match=r"prices\.yaml"):
        read_prices(path)
    path.write_bytes(b"#" * 300_000)
    with pytest.raises(PriceFileError, match="at most"):
        read_prices(path)
