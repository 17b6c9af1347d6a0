"""`trunkline usage` and `trunkline audit`: their commands, put together."""

from __future__ import annotations

from collections.abc import Callable

import typer

from trunkline_cli.commands import search_audit, usage, usage_prices

_ACCOUNT = (
    "Add up what was used: each request once, whatever journals, retries and copies hold it, by day, stage, collection "
    "and one label, exactly. The same records give the same bytes, and a SHA-256 of them. Refused where journals are "
    "damaged or records are missing. Needs no service; of large journals copies are made in --spill."
)
_VERIFY = "Check journals: damaged lines, missing records, missing files. Exit code 1 if there are any."
_PRUNE = (
    "Remove the files whose records are all from before a day, in every time zone. Nothing else removes journals: make "
    "and keep the account first."
)
_SHOW = "Show all versions of the prices, and which one holds now. With --yaml the package's own file, to begin with."
_CHECK = "Say whether price files are right; what is wrong is named by its field."
_SEARCHES = (
    "Tell who searched which collections, allowed or denied, from the routers' audits: callers and queries as hashes "
    "with a daily salt, never a text. Follows the chain of all lines; exit code 1 where it is broken. With --json each "
    "line is an object."
)


def usage_group() -> typer.Typer:
    """Return the commands of usage."""
    group = typer.Typer(no_args_is_help=True, help="What tenants used, from the routers' journals.")
    _add(group, "account", usage.account, _ACCOUNT, "trunkline usage account journals/ --month 2026-11 -o november.csv")
    _add(group, "verify", usage.verify, _VERIFY, "trunkline usage verify journals/")
    _add(group, "prune", usage.prune, _PRUNE, "trunkline usage prune journals/ --before 2026-10-01 --yes")
    prices = typer.Typer(no_args_is_help=True, help="Price files.")
    _add(prices, "show", usage_prices.show, _SHOW, "trunkline usage prices show prices.yaml")
    _add(prices, "check", usage_prices.check, _CHECK, "trunkline usage prices check prices.yaml")
    group.add_typer(prices, name="prices")
    return group


def audit_group() -> typer.Typer:
    """Return the commands of the audit of searches."""
    group = typer.Typer(
        no_args_is_help=True, help="The audit of searches (of the map's changes: `trunkline map audit`)."
    )
    example = "trunkline audit searches searches/ --tenant acme --day 2026-11-21 --denied"
    _add(group, "searches", search_audit.searches, _SEARCHES, example)
    return group


def _add(group: typer.Typer, name: str, command: Callable[..., None], help_text: str, example: str) -> None:
    group.command(name, help=f"{help_text}\n\nExample: {example}")(command)
