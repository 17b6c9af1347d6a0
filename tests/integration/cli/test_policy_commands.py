"""`trunkline policy` against the real control role over a real etcd."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from tests.integration.cli.command import Map

FIRST: Final = "version: 2\ncollections:\n  notes: {description: Animals., keywords: [otter, seal]}\n"
SECOND: Final = (
    "version: 2\ncollections:\n  notes: {description: Animals., keywords: [otter, walrus]}\nfallback: none\n"
)
TENANT: Final = ("--tenant", "acme")


@pytest.fixture
async def furnished(trunkline: Map) -> Map:
    """The tenant has the collection that the policies name."""
    await trunkline.data("put-collection", "notes", *TENANT, "--placement", "eu-west")
    return trunkline


async def _policy(trunkline: Map, *arguments: str) -> Any:
    done = await trunkline("policy", *arguments, *TENANT, "--json")
    assert done.code == 0, (arguments, done.out, done.err)
    return done.data


def _file(trunkline: Map, text: str, name: str = "policy.yaml") -> str:
    path: Path = trunkline.home / name
    path.write_text(text)
    return str(path)


async def test_a_policy_is_applied_compared_and_shown(furnished: Map) -> None:
    """The first one of a tenant, then another; the very same text changes nothing."""
    first, second = _file(furnished, FIRST), _file(furnished, SECOND, "second.yaml")
    made = await _policy(furnished, "apply", first, "--yes", "--comment", "the first")
    again = await _policy(furnished, "apply", first, "--yes")
    differing = await _policy(furnished, "diff", second)
    changed = await _policy(furnished, "apply", second, "--yes")
    shown = await _policy(furnished, "show")
    old = await furnished("policy", "show", *TENANT, "--version", "1", "--text")

    assert (made["version"], made["applied"], again["applied"]) == (1, True, False)
    assert {item["where"] for item in differing["changes"]} >= {"fallback"}
    assert differing["live_version"] == 1
    assert changed["version"] == 2
    assert (shown["policy"]["yaml"], shown["policy"]["version"]) == (SECOND, "2")  # as protobuf's JSON has 64 bits
    assert old.out.rstrip("\n") == FIRST.rstrip("\n")


async def test_a_dry_run_changes_nothing(furnished: Map) -> None:
    """Everything is checked, the collections too."""
    dry = await furnished("policy", "apply", _file(furnished, FIRST), *TENANT, "--dry-run")
    unknown = await furnished(
        "policy", "apply", _file(furnished, FIRST.replace("notes", "letters"), "other.yaml"), *TENANT, "--dry-run"
    )
    shown = await furnished("policy", "show", *TENANT)

    assert (dry.code, "checked; no policy of acme is as it was" in dry.out) == (0, True)
    assert (unknown.code, "COLLECTION_UNKNOWN" in unknown.err) == (3, True)
    assert (shown.code, "POLICY_UNKNOWN" in shown.err) == (3, True)


async def test_nothing_is_applied_that_is_wrong_or_was_not_wanted(furnished: Map) -> None:
    """A text that is no policy is told by line; without --yes a program is refused."""
    wrong = await furnished("policy", "apply", _file(furnished, FIRST + "colour: red\n"), *TENANT, "--yes")
    unasked = await furnished("policy", "apply", _file(furnished, FIRST), *TENANT)

    assert (wrong.code, ":4: error invalid: " in wrong.err) == (1, True)
    assert (unasked.code, "add --yes" in unasked.err) == (2, True)
    assert (await furnished("policy", "show", *TENANT)).code == 3


async def test_a_roll_back_brings_a_text_back_under_a_new_version(furnished: Map) -> None:
    """To the version before by default; the list of versions says where it came from, who did it and why."""
    for text in (FIRST, SECOND):
        await _policy(furnished, "apply", _file(furnished, text), "--yes")
    dry = await _policy(furnished, "rollback", "--dry-run")
    back = await _policy(furnished, "rollback", "--yes", "--comment", "walruses went astray")
    versions = (await _policy(furnished, "versions"))["versions"]
    unknown = await furnished("policy", "rollback", *TENANT, "--to", "9", "--yes")

    assert (dry["dry_run"], back["version"], back["restored_version"]) == (True, 3, 1)
    assert (await _policy(furnished, "show"))["policy"]["yaml"] == FIRST
    assert [item["version"] for item in versions] == ["3", "2", "1"]
    assert (versions[0]["restored_version"], versions[0]["comment"]) == ("1", "walruses went astray")
    assert (unknown.code, "POLICY_VERSION_UNKNOWN" in unknown.err) == (3, True)


async def test_a_rollout_goes_its_way(furnished: Map) -> None:
    """In the shadow, then for a share, then live; while one is under way there is no second one."""
    await _policy(furnished, "apply", _file(furnished, FIRST), "--yes")
    second = _file(furnished, SECOND, "second.yaml")
    begun = await _policy(furnished, "apply", second, "--rollout", "shadow", "--yes", "--comment", "try it")
    another = await furnished("policy", "rollout", "start", second, *TENANT, "--yes")
    canary = await _policy(furnished, "rollout", "canary", "--share", "0.2", "--yes")
    text = await furnished("policy", "rollout", "show", *TENANT)
    proposed = await _policy(furnished, "show", "--rollout")
    applied = await _policy(furnished, "rollout", "apply", "--yes")
    gone = await furnished("policy", "rollout", "show", *TENANT)

    assert (begun["rollout"]["state"], begun["rollout"]["share"]) == ("ROLLOUT_STATE_SHADOW", 1.0)
    assert (another.code, "ROLLOUT_ACTIVE" in another.err) == (3, True)
    assert (canary["rollout"]["state"], canary["rollout"]["share"]) == ("ROLLOUT_STATE_CANARY", 0.2)
    assert canary["rollout"]["rollout_id"] == begun["rollout"]["rollout_id"]
    assert f"{begun['rollout']['rollout_id']}: canary of 20%, upon version 1" in text.out
    assert proposed["policy"]["yaml"] == SECOND
    assert applied["version"] == 2
    assert (gone.code, "has no rollout under way" in gone.err) == (1, True)


async def test_a_rollout_is_dropped(furnished: Map) -> None:
    """The live policy stays; a rollout that is not there cannot be moved."""
    await _policy(furnished, "apply", _file(furnished, FIRST), "--yes")
    await _policy(furnished, "rollout", "start", _file(furnished, SECOND), "--state", "proposed", "--yes")
    dropped = await _policy(furnished, "rollout", "drop", "--yes")
    moved = await furnished("policy", "rollout", "shadow", *TENANT, "--yes")
    asleep = await furnished("policy", "rollout", "start", _file(furnished, SECOND), *TENANT, "--state", "asleep")

    assert not dropped["applied"]
    assert (await _policy(furnished, "show"))["policy"]["yaml"] == FIRST
    assert (moved.code, asleep.code) == (1, 2)


async def test_without_a_learner_nothing_is_measured(furnished: Map) -> None:
    """The map names none here, and the command says how to name one."""
    await _policy(furnished, "apply", _file(furnished, FIRST), "--yes")
    questions = _file(furnished, '{"text": "otters", "collections": ["notes"]}\n', "questions.jsonl")

    for arguments in (("test", questions), ("report",), ("learn",)):
        done = await furnished("policy", *arguments, *TENANT)
        assert (done.code, "--learner host:port" in done.err) == (1, True), (done.out, done.err)
    golden = await furnished("policy", "test", *TENANT)
    assert (golden.code, "has no golden set" in golden.err) == (2, True)
