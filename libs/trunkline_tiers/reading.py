"""Reads a tier file. The default one is part of the package."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import yaml
from pydantic import ValidationError

from trunkline_tiers.model import TierFile

MAX_FILE_BYTES: Final = 65_536


class TierFileError(ValueError):
    """The file is no tier file; the text names every field that is wrong."""


def parse_tiers(text: str, name: str = "tier file") -> TierFile:
    """Return the tiers of a YAML text; raise TierFileError, with `name` and the wrong fields in its text."""
    try:
        return TierFile.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as exc:
        raise TierFileError(f"{name}: is no YAML") from exc
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in exc.errors())
        raise TierFileError(f"{name}: {wrong}") from exc


def read_tiers(path: Path | None) -> TierFile:
    """Return the tiers of a file, the default ones without a path. Raises TierFileError and OSError."""
    if path is None:
        return default_tiers()
    if path.stat().st_size > MAX_FILE_BYTES:
        raise TierFileError(f"{path}: must be at most {MAX_FILE_BYTES} bytes")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise TierFileError(f"{path}: is no UTF-8") from exc
    return parse_tiers(text, str(path))


@cache
def default_tiers() -> TierFile:
    """Return the tiers of the package's own file."""
    return parse_tiers(default_tiers_text())


def default_tiers_text() -> str:
    """Return the package's own file, comments included: what an operator begins with."""
    return (resources.files("trunkline_tiers") / "default.yaml").read_text(encoding="utf-8")
