"""etcd is taken away piece by piece while the map changes and callers search: `python -m tests.chaos.etcd --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from tests.chaos.etcd_faults import names
from tests.chaos.etcd_figures import figures_of
from tests.chaos.etcd_run import Options, run
from tests.chaos.etcd_verdict import examples, judge

_DESCRIPTION = """\
Starts an etcd of three members, the control role and two or three regions of real services on this machine; searches
them from a process of its own at a steady rate (at most 30 % of the capacity measured first), half of the searches with
the map token of the latest change; and changes the map all the while. Meanwhile members of etcd are killed, its leader
is killed and frozen, its quorum is lost, the routers' streams are cut at random bytes, and history is compacted behind
their back. Everything is stopped and removed at the end. The last line is RESULT and figures as JSON; the exit code is
0 if no read was lost or wrong, no change missed, repeated or reordered, and no read with a token was stale.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.etcd",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="two regions and short faults: about a minute in all")
    parser.add_argument(
        "--seconds",
        type=float,
        default=0.0,
        help="go on with further faults until so many seconds have passed; the first round is always whole",
    )
    parser.add_argument(
        "--only",
        default="",
        help=f"faults to cause, separated by commas, of {', '.join(names())}; all but the last by default",
    )
    parser.add_argument("--seed", type=int, default=None, help="of all that is drawn by chance; random by default")
    arguments = parser.parse_args(argv)
    only = frozenset(name for name in arguments.only.split(",") if name)
    if unknown := only - frozenset(names()):
        parser.error(f"no fault is called {', '.join(sorted(unknown))}")
    seed = random.SystemRandom().randrange(1 << 31) if arguments.seed is None else arguments.seed
    began_s = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began_s:7.1f} s  {line}\n")
        sys.stdout.flush()

    say(f"seed {seed}")
    options = Options(seed=seed, quick=arguments.quick, seconds=arguments.seconds, only=only)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # what our own watcher says
    with tempfile.TemporaryDirectory(prefix="trunkline-chaos-etcd-") as folder:
        seen = asyncio.run(run(options, Path(folder) / "run", say))
    found = judge(seen.answers, seen.ledger)
    for line in examples(found):
        say(line)
    figures = figures_of(seen, found)
    sys.stdout.write(f"RESULT {json.dumps(figures)}\n")
    return 0 if figures["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
