"""The state of an ingestion says what need not be sent again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trunkline_cli.exits import CliError
from trunkline_cli.ingest.state import IngestState, Sent, digest_of, state_path
from trunkline_client import Document


def test_a_digest_covers_everything_a_document_says() -> None:
    """Text, id and every field count; the order of the fields does not."""
    document = Document("a", "text", {"x": "1", "y": 2})

    assert digest_of(document) == digest_of(Document("a", "text", {"y": 2, "x": "1"}))
    others = [
        Document("b", "text", {"x": "1", "y": 2}),
        Document("a", "other", {"x": "1", "y": 2}),
        Document("a", "text", {"x": "1", "y": 3}),
        Document("a", "text", {"x": "1"}),
        Document("a", "text", {"x": "1", "y": 2.0}),
    ]
    assert digest_of(document) not in {digest_of(other) for other in others}


def test_a_state_is_written_in_one_step_and_read_back(tmp_path: Path) -> None:
    """What was saved is loaded; no half-written file stays behind."""
    path = tmp_path / "deep" / "state.json"
    state = IngestState(path, {"a": Sent("d1", "a.md")})
    state.save()

    assert IngestState.load(path).sent == {"a": Sent("d1", "a.md")}
    assert [item.name for item in path.parent.iterdir()] == ["state.json"]
    assert path.stat().st_mode & 0o077 == 0


def test_a_missing_state_is_empty(tmp_path: Path) -> None:
    """The first run sends everything."""
    assert IngestState.load(tmp_path / "none.json").sent == {}


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '{"format": 9}', json.dumps({"format": 1, "documents": {"a": 1}})]
)
def test_a_foreign_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    """A file that is no state is told, not replaced."""
    path = tmp_path / "state.json"
    path.write_text(text)

    with pytest.raises(CliError, match="no state"):
        IngestState.load(path)


def test_each_target_has_its_own_state(tmp_path: Path) -> None:
    """Another tenant, collection, root or router begins afresh."""

    def path(tenant: str = "t", collection: str = "c", root: str = "/r", routers: str = "local") -> Path:
        return state_path(tmp_path, tenant=tenant, collection=collection, root=Path(root), routers=routers)

    paths = {path(), path(tenant="u"), path(collection="d"), path(root="/s"), path(routers="h:1")}

    assert len(paths) == 5
