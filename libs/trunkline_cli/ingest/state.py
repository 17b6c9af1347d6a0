"""What was sent before: ids, digests and sources of documents, in a file."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trunkline_cli.exits import CliError
from trunkline_client import Document
from trunkline_client.documents import document_to_proto

_FORMAT: Final = 1
_DIGEST_CHARS: Final = 24


@dataclass(frozen=True, slots=True)
class Sent:
    """One document as it was sent: the digest of its content and the file it came from."""

    digest: str
    source: str


def digest_of(document: Document) -> str:
    """Return a digest of everything that a document says."""
    data = document_to_proto(document).SerializeToString(deterministic=True)
    return hashlib.sha256(data).hexdigest()[:_DIGEST_CHARS]


@dataclass(slots=True)
class IngestState:
    """What is known to be in the collection. A write that was acknowledged and not noted here is only sent again."""

    path: Path
    sent: dict[str, Sent] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> IngestState:
        """Read a state file; a missing one is an empty state. Raises CliError if it is of another format."""
        try:
            data = json.loads(path.read_bytes())
        except FileNotFoundError:
            return cls(path)
        except ValueError:
            data = None
        if not _is_ours(data):
            raise CliError(f"{path} is no state of an ingestion", advice="delete it to send everything again")
        return cls(path, {name: Sent(*pair) for name, pair in data["documents"].items()})

    def save(self) -> None:
        """Write the file in one step, readable by its owner alone."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = {
            "format": _FORMAT,
            "documents": {name: [item.digest, item.source] for name, item in self.sent.items()},
        }
        descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".ingest-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(data, stream)
            Path(temporary).replace(self.path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _is_ours(data: Any) -> bool:
    return (
        isinstance(data, Mapping)
        and data.get("format") == _FORMAT
        and isinstance(data.get("documents"), Mapping)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in data["documents"].values())
    )


def state_path(folder: Path, *, tenant: str, collection: str, root: Path, routers: str) -> Path:
    """Return where the state of this ingestion lies; another root, tenant, collection or router has another one."""
    name = hashlib.sha256("\0".join((tenant, collection, str(root), routers)).encode()).hexdigest()[:16]
    return folder / f"{collection}-{name}.json"
