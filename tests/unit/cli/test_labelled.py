"""Files of labelled queries are read, and what is wrong in them is told by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trunkline_cli.exits import CliError, Exit
from trunkline_cli.policy import labelled
from trunkline_cli.policy.labelled import Labelled, read_labelled


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_json_lines_are_read(tmp_path: Path) -> None:
    """All names; empty lines are passed over; an empty list says that a query belongs nowhere."""
    path = _file(
        tmp_path,
        "queries.jsonl",
        '{"text": "a", "collections": ["x", "y"], "template": "t", "model_class": "simple"}\n\n'
        '{"text": "b", "collections": [], "roles": ["admin"], "attributes": {"department": "finance"}}\n',
    )

    assert read_labelled(path) == [
        Labelled("a", ("x", "y"), "t", "simple"),
        Labelled("b", (), roles=("admin",), attributes={"department": "finance"}),
    ]


def test_csv_is_read_with_and_without_names_of_columns(tmp_path: Path) -> None:
    """Several collections stand with a bar between them; an empty one says that a query belongs nowhere."""
    plain = _file(tmp_path, "plain.csv", '"Is it slow, or wrong?",debugging\nBake bread,\nBoth,a|b\n')
    named = _file(tmp_path, "named.csv", "text,template,collection\nq,explain,debugging\n")

    assert read_labelled(plain) == [
        Labelled("Is it slow, or wrong?", ("debugging",)),
        Labelled("Bake bread", ()),
        Labelled("Both", ("a", "b")),
    ]
    assert read_labelled(named) == [Labelled("q", ("debugging",), "explain")]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("q.jsonl", '{"text": "a", "collections": []}\nnot json', "line 2: is no JSON"),
        ("q.jsonl", "[1]", "line 1: is no JSON object"),
        ("q.jsonl", '{"text": "a"}', "has no `collections`"),
        ("q.jsonl", '{"text": " ", "collections": []}', "has no text"),
        ("q.jsonl", '{"text": "a", "collections": "x"}', "no list of names"),
        ("q.jsonl", '{"text": "a", "collections": [], "colection": 1}', "unknown names: colection"),
        ("q.jsonl", '{"text": "a", "collections": [], "attributes": [1]}', "no object of texts"),
        ("q.jsonl", '{"text": "a", "collections": [], "template": 3}', "`template` that is no text"),
        ("q.jsonl", f'{{"text": "{"a" * 4097}", "collections": []}}', "more than 4,096 bytes"),
        ("q.jsonl", f'{{"text": "a", "collections": {json.dumps(["x"] * 17)}}}', "more than 16 collections"),
        ("q.jsonl", "\n", "has no queries"),
        ("q.csv", "Is it slow, or wrong?,debugging,explain,simple,more\n", "has 6 cells"),
        ("q.csv", "text,colour\na,red\n", "unknown columns: colour"),
    ],
)
def test_what_is_wrong_is_told_by_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    """A wrong use, with the line and what a right one looks like."""
    with pytest.raises(CliError, match=told) as caught:
        read_labelled(_file(tmp_path, name, text))

    assert caught.value.code == Exit.USAGE
    assert caught.value.advice


def test_other_encodings_and_sizes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half a text nor a whole disk is read."""
    for name in ("q.jsonl", "q.csv"):
        (tmp_path / name).write_bytes(b'{"text": "caf\xe9"}')
        with pytest.raises(CliError, match="UTF-8"):
            read_labelled(tmp_path / name)
    monkeypatch.setattr(labelled, "MAX_QUERIES", 1)
    with pytest.raises(CliError, match="more than 1 queries"):
        read_labelled(_file(tmp_path, "many.csv", "a,x\nb,x\n"))
    monkeypatch.setattr(labelled, "MAX_FILE_BYTES", 2)
    with pytest.raises(CliError, match="larger than"):
        read_labelled(tmp_path / "many.csv")
