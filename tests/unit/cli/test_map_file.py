"""A map as a YAML file: what is written is read again, and what is wrong is told with its line."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.cli.map_entries_of import collections, entries, file_of, written

from trunkline_cli.exits import CliError, Exit
from trunkline_cli.mapfile import parse
from trunkline_cli.mapfile.messages import entry_with, message_key, unpack, values_of
from trunkline_cli.mapfile.parse import read_map_file
from trunkline_cli.mapfile.schema import FIELDS, EntryKind, key_of

GOOD = """\
# anything
version: 1
regions:
- {region_id: eu-west, jurisdiction: eu, state: serving}
spaces:
- {space_id: minilm, model_id: m, model_revision: "1", dimension: 384}
tenants:
- tenant_id: acme
  tier: pro
  jurisdictions: [us, eu]
  state: active
collections:
- tenant_id: acme
  collection_id: notes
  space_id: minilm
  placement: [eu-west]
"""

any_entry = st.sampled_from(list(EntryKind)).flatmap(lambda kind: st.tuples(st.just(kind), entries[kind]))
any_map = st.lists(any_entry, max_size=4, unique_by=lambda each: (each[0], key_of(*each))).map(
    lambda found: sorted(found, key=lambda each: list(EntryKind).index(each[0]))
)


@settings(max_examples=60)
@given(any_map)
def test_what_is_written_is_read_again(found: list[tuple[EntryKind, dict[str, object]]]) -> None:
    """Every name, number and text, whatever YAML would guess of it; twice written is the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        first = written(Path(folder) / "a.yaml", found, comments=["line one\nversion: 9"])
        read = read_map_file(first)
        again = [(kind, each.values) for kind in EntryKind for each in read.entries[kind].values()]
        second = written(Path(folder) / "b.yaml", again, comments=["line one version: 9"])

        assert again == found
        assert second.read_bytes() == first.read_bytes()


@settings(max_examples=60)
@given(collections)
def test_any_yaml_reader_reads_the_texts(values: dict[str, object]) -> None:
    """A file is YAML to others, too: names stay texts, and descriptions what they were."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / "a.yaml", [(EntryKind.COLLECTION, values)])
        (told,) = yaml.safe_load(path.read_text(encoding="utf-8"))["collections"]

    assert told["tenant_id"] == values["tenant_id"]
    assert told["placement"] == values["placement"]
    assert told.get("description", "") == values["description"]


@given(any_entry)
def test_values_and_messages_say_the_same(entry: tuple[EntryKind, dict[str, object]]) -> None:
    """What a file says becomes the contract's entry, and back."""
    kind, values = entry
    message = unpack(entry_with(kind, values, None))[1]

    assert values_of(message) == values
    assert message_key(message) == key_of(kind, values)


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    """A field that is left out has its default; jurisdictions are a set."""
    read = file_of(tmp_path / "map.yaml", GOOD)

    assert read.entries[EntryKind.TENANT]["acme",].values["jurisdictions"] == ["eu", "us"]
    notes = read.entries[EntryKind.COLLECTION]["acme", "notes"]
    assert (notes.values["layout"], notes.values["shard"], notes.values["preference"]) == ("shared", 0, "nearest")
    assert notes.line == 13
    assert list(notes.values) == [field.name for field in FIELDS[EntryKind.COLLECTION]]


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("state: serving", "state: asleep"), 4, "region state: must be one of serving, draining, down"),
        ((", state: serving", ""), 4, "region state: is missing"),
        (("dimension: 384", "dimension: many"), 6, "space dimension: must be a number from 1 to 4,096"),
        (("dimension: 384", "dimension: 4097"), 6, "space dimension: must be a number from 1 to 4,096"),
        (("tier: pro", "tier: Pro"), 9, "tenant tier: must be 1 to 63 characters of a-z, 0-9 and -"),
        (("tier: pro", "level: pro"), 9, "tenant level: no such field"),
        (("[us, eu]", "[us, us]"), 10, "tenant jurisdictions: must not name one twice"),
        (("[us, eu]", "us"), 10, "tenant jurisdictions: must be a list"),
        (("[eu-west]", "[]"), 16, "collection placement: must have 1 to 8 entries"),
        (("[eu-west]", "[eu-west]\n  layout: dedicated\n  shard: 1"), 13, "only the layout shared has one"),
        (("collections:", "boxes:"), 12, "boxes: no such section"),
        (("version: 1", "version: 2"), 2, "version: must be 1"),
        (("version: 1\n", ""), 1, "the first line must be `version: 1`"),
        (("spaces:", "regions:"), 5, "regions stands there twice"),
        (("  tier: pro", "  tier: pro\n  tier: free"), 10, "tier stands there twice"),
        (("  tier: pro", "  tier: &a pro"), 0, ""),
        (("  state: active", "  state: *a"), 11, "anchors and aliases are not read"),
        (("[eu-west]", "[eu-west"), 17, "expected ',' or ']'"),
        (("[eu-west]", "[[[[[[[[eu-west]]]]]]]]"), 16, "is nested too deeply"),
        (("collection_id: notes", "collection_id: {a: b}"), 14, "collection collection_id: must be one value"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, change: tuple[str, str], line: int, message: str) -> None:
    """As wrong usage, in words that name the field."""
    path = tmp_path / "map.yaml"
    path.write_text(GOOD.replace(*change, 1))
    if not line:
        read_map_file(path)  # an anchor that nobody uses is harmless
        return

    with pytest.raises(CliError) as caught:
        read_map_file(path)

    assert caught.value.code is Exit.USAGE
    assert f"line {line}: " in caught.value.message
    assert message in caught.value.message


def test_several_problems_are_told_at_once(tmp_path: Path) -> None:
    """In the order of their lines; after twenty, enough is known."""
    bad = "".join(
        f"- {{tenant_id: T{number}, tier: pro, jurisdictions: [eu], state: active}}\n" for number in range(30)
    )
    path = tmp_path / "map.yaml"
    path.write_text(f"version: 1\nspaces:\n- {{}}\ntenants:\n{bad}")

    with pytest.raises(CliError) as caught:
        read_map_file(path)

    told = [line for line in caught.value.message.splitlines() if line.startswith("  line ")]
    assert len(told) == parse.MAX_PROBLEMS
    assert told[0].startswith("  line 3: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a mapping"),
        (b"- a\n", "must be a mapping"),
        (b"\xff\xfe\x00", ""),
        (b"version: 1\nregions: 5\n", "regions: must be a list"),
        (b"version: 1\nregions:\n- 5\n", "must be a mapping of fields"),
        (b"version: 1\n---\nversion: 1\n", "a second document begins"),
        (b"version: 1\n? [a]\n: 1\n", "a field's name must be a word"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """Never a traceback, whatever is in the file."""
    path = tmp_path / "map.yaml"
    path.write_bytes(content)

    with pytest.raises(CliError, match="is no map that could be imported") as caught:
        read_map_file(path)

    assert message in caught.value.message


def test_an_empty_section_has_no_entries(tmp_path: Path) -> None:
    """A heading with nothing under it."""
    assert file_of(tmp_path / "map.yaml", "version: 1\nregions:\ntenants: []\n").count == 0


def test_entries_that_stand_there_twice_are_told(tmp_path: Path) -> None:
    """With the line of the first one."""
    line = "- {space_id: a, model_id: m, model_revision: r, dimension: 1}\n"

    with pytest.raises(CliError, match="line 4: space a stands there twice, first on line 3"):
        file_of(tmp_path / "map.yaml", f"version: 1\nspaces:\n{line}{line}")


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told how large it is and what to do."""
    monkeypatch.setattr(parse, "MAX_FILE_BYTES", 10)

    with pytest.raises(CliError, match="more than the 10 of a map file") as caught:
        file_of(tmp_path / "map.yaml", GOOD)

    assert "split it" in caught.value.advice
