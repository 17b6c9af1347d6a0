"""The operator's files that say which outside choosers serve whom. Whoever changes them starts the routers anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_FILE_BYTES: Final = 1 << 20
MAX_TENANTS: Final = 10_000

_Name = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")]
_Jurisdiction = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,16}$")]
T = TypeVar("T")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OwnRouterPlace(_Part):
    """Where a tenant's own routing service listens."""

    target: str = Field(pattern=r"^[^\s,/]{1,255}:[0-9]{1,5}$")
    """`host:port`."""
    jurisdiction: _Jurisdiction
    """Where it runs; it is asked only where all of the tenant's readable collections may go there."""
    tls: bool = True
    """False for a connection that something else protects."""
    ca_path: Path | None = None
    """Certificates to trust in place of the system's."""


class ClassifierPlace(_Part):
    """A language model that serves chat completions."""

    url: str = Field(pattern=r"^https?://[^\s?#@]{1,1024}$")
    """Its whole address, such as `https://models.example/v1/chat/completions`; without credentials in it."""
    model: str = Field(min_length=1, max_length=128)
    jurisdiction: _Jurisdiction
    """Where it runs; it is asked only where all of the tenant's readable collections may go there."""
    tenants: Annotated[frozenset[_Name], Field(min_length=1, max_length=MAX_TENANTS)] | Literal["all"]
    """Whom it serves."""
    key_path: Path | None = None
    """File with the key that it wants as a bearer token; read again when it changes."""
    ca_path: Path | None = None
    """Certificates to trust in place of the system's."""
    max_tokens: int = Field(256, ge=32, le=4_096)
    """What it may generate at most; models that think aloud need more."""


_OWN_ROUTERS: Final = TypeAdapter(Annotated[dict[_Name, OwnRouterPlace], Field(max_length=MAX_TENANTS)])
_CLASSIFIERS: Final = TypeAdapter(Annotated[list[ClassifierPlace], Field(max_length=64)])


def read_own_routers(path: Path | None) -> dict[str, OwnRouterPlace]:
    """Return tenants' own routing services from a YAML file of tenant to place; none without a file.

    Raises OSError, and ValueError for a file that is none.
    """
    return {} if path is None else _read(path, _OWN_ROUTERS)


def read_classifiers(path: Path | None) -> list[ClassifierPlace]:
    """Return language models from a YAML list; none without a file. Raises OSError, and ValueError as above."""
    return [] if path is None else _read(path, _CLASSIFIERS)


def _read(path: Path, form: TypeAdapter[T]) -> T:
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{path}: must be at most {MAX_FILE_BYTES} bytes")
    try:
        return form.validate_python(yaml.safe_load(content))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValidationError) as exc:
        raise ValueError(f"{path}: {exc}") from exc
