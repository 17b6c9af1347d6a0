"""`trunkline policy`: the commands of policies, put together."""

from __future__ import annotations

from collections.abc import Callable

import typer

from trunkline_cli.commands import (
    policy_draft,
    policy_history,
    policy_learning,
    policy_live,
    policy_measuring,
    policy_offline,
)
from trunkline_cli.commands.entries import add
from trunkline_cli.commands.policy_rollout import rollout_group

_LINT = (
    "Say what is wrong or doubtful in policies: keywords and rules that overlap or shadow each other, patterns that "
    "blow up elsewhere, missing examples. Exit code 1 on errors, with --strict on warnings too. Needs no service."
)
_SCHEMA = (
    "Print the JSON schema of policies. Editors that know YAML schemas check a policy while you write it: put "
    "`# yaml-language-server: $schema=FILE` on its first line."
)
_DRAFT = (
    "Propose keywords, patterns, examples and a hybrid policy from documents: one subfolder of --from for each "
    "collection, or what the tenant's live collections hold."
)
_DIFF = "Show what differs between a file and the tenant's live policy, or between two files."
_APPLY = (
    "Check a policy, show what it changes, and make it the live one, in all routers within a second; or with --rollout "
    "begin a rollout beside the live one."
)
_TEST = (
    "Decide labelled queries by a policy and tell how well: accuracy, what is out of scope, what is mixed up, which "
    "stage decides, what it costs, and what would change against the live policy. A line is "
    '{"text": "...", "collections": ["..."]}; CSV is text,collection. Exit code 1 below --min-accuracy.'
)
_ROLLBACK = "Make an earlier version's text the policy again, under a new version."
_REPORT = (
    "Tell how well routing works: accuracy against the tier's objective, its parts, feedback, experiments with their "
    "significance, and what the learner did."
)
_LEARN = "Have the learner look at the tenant's feedback now, rather than at its next round."


def policy_group() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="Policies: which of a tenant's collections a query goes to.")
    _add_guarded(group, "lint", policy_offline.lint, _LINT, "trunkline policy lint policy.yaml --strict")
    _add_guarded(
        group, "schema", policy_offline.schema, _SCHEMA, f"trunkline policy schema -o {policy_offline.SCHEMA_FILE}"
    )
    _add_guarded(group, "draft", policy_draft.draft, _DRAFT, "trunkline policy draft --from docs/ -o policy.yaml")
    add(group, "diff", policy_live.diff, _DIFF, "trunkline policy diff policy.yaml --tenant acme")
    add(
        group,
        "apply",
        policy_live.apply,
        _APPLY,
        'trunkline policy apply policy.yaml --tenant acme --comment "invoices to accounts"',
    )
    add(group, "show", policy_history.show, "Show a tenant's policy.", "trunkline policy show --tenant acme --text")
    add(
        group,
        "versions",
        policy_history.versions,
        "List the versions of a tenant's policy: who, when, why.",
        "trunkline policy versions --tenant acme",
    )
    add(group, "rollback", policy_history.rollback, _ROLLBACK, "trunkline policy rollback --tenant acme --to 3")
    add(
        group,
        "test",
        policy_measuring.decide_labelled,
        _TEST,
        "trunkline policy test questions.jsonl --tenant acme --policy policy.yaml --min-accuracy 0.95",
    )
    add(group, "report", policy_learning.report, _REPORT, "trunkline policy report --tenant acme --json")
    add(group, "learn", policy_learning.learn, _LEARN, "trunkline policy learn --tenant acme")
    group.add_typer(rollout_group(), name="rollout")
    return group


def _add_guarded(group: typer.Typer, name: str, command: Callable[..., None], help_text: str, example: str) -> None:
    """Add a command that has no grouped options and guards itself."""
    group.command(name, help=f"{help_text}\n\nExample: {example}")(command)
