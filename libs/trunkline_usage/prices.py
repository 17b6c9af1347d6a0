"""Price lists: what each stage costs, from a YAML file with all versions there ever were."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MAX_FILE_BYTES: Final = 262_144
MAX_VERSIONS: Final = 1_000
STAGES: Final = ("search", "embedding", "rerank", "write")
"""What has a price."""

_Micros = Annotated[int, Field(ge=0, le=10**12, strict=True)]


class PriceFileError(ValueError):
    """The file is no price file; the text names every field that is wrong."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StagePrices(_Frozen):
    """Millionths of the currency for one of each stage."""

    search: _Micros
    embedding: _Micros
    rerank: _Micros
    write: _Micros


class PriceVersion(_Frozen):
    """One version, as the file has it."""

    version: str = Field(pattern=r"^[A-Za-z0-9._-]{1,32}$", description="Its name, kept in every record.")
    effective_from: date = Field(strict=True, description="First day, in UTC, on which it holds.")
    micros: StagePrices

    @property
    def starts_at_s(self) -> float:
        """Unix time from which it holds."""
        day = self.effective_from
        return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


class PriceFile(_Frozen):
    """The whole file."""

    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.")
    versions: tuple[PriceVersion, ...] = Field(min_length=1, max_length=MAX_VERSIONS)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        days = [each.effective_from for each in self.versions]
        if any(later <= earlier for earlier, later in pairwise(days)):
            raise ValueError("versions: must begin on different days, the earliest first")
        if len({each.version for each in self.versions}) != len(days):
            raise ValueError("versions: must have different names")
        return self


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices of one version."""

    version: str
    currency: str
    """ISO 4217."""
    starts_at_s: float
    """Unix time."""
    micros: Mapping[str, int]
    """By stage, for one of it."""

    def cost_micros(self, stage: str, count: int) -> int:
        """Return what so many of a stage cost, exactly. Raises KeyError for a stage that has no price."""
        return self.micros[stage] * count

    def is_free(self, stage: str) -> bool:
        """Return True for a stage that costs nothing. Raises KeyError for one that has no price."""
        return not self.micros[stage]


class PriceBook:
    """All versions of the prices."""

    def __init__(self, file: PriceFile) -> None:
        """Hold what the file says."""
        self.currency = file.currency
        """ISO 4217."""
        self.lists: Sequence[PriceList] = tuple(
            PriceList(
                version=each.version,
                currency=file.currency,
                starts_at_s=each.starts_at_s,
                micros=MappingProxyType(each.micros.model_dump()),
            )
            for each in file.versions
        )
        """The earliest first."""
        self._starts = [each.starts_at_s for each in self.lists]

    def at(self, unix_s: float) -> PriceList:
        """Return the list that holds at a time; before the first one, the first."""
        return self.lists[max(0, bisect_right(self._starts, unix_s) - 1)]


def parse_prices(text: str, name: str = "price file") -> PriceBook:
    """Return the prices of a YAML text; raise PriceFileError, with `name` and the wrong fields in its text."""
    try:
        return PriceBook(PriceFile.model_validate(yaml.safe_load(text)))
    except yaml.YAMLError as exc:
        raise PriceFileError(f"{name}: is no YAML") from exc
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in exc.errors())
        raise PriceFileError(f"{name}: {wrong}") from exc


def read_prices(path: Path | None) -> PriceBook:
    """Return the prices of a file, the package's own without a path. Raises PriceFileError and OSError."""
    if path is None:
        return default_prices()
    if path.stat().st_size > MAX_FILE_BYTES:
        raise PriceFileError(f"{path}: must be at most {MAX_FILE_BYTES} bytes")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise PriceFileError(f"{path}: is no UTF-8") from exc
    return parse_prices(text, str(path))


@cache
def default_prices() -> PriceBook:
    """Return the prices of the package's own file."""
    return parse_prices(default_prices_text())


def default_prices_text() -> str:
    """Return the package's own file, comments included: what an operator begins with."""
    return (resources.files("trunkline_usage") / "prices.yaml").read_text(encoding="utf-8")
