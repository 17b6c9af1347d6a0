"""Appends feedback until it is killed, and tells each record that is kept: `python -m ... ROOT NAME`."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from tests.contract.feedback_samples import said

from trunkline_routing.feedback.journal import FileFeedbackStore


async def main(root: str, name: str) -> None:
    store = FileFeedbackStore(Path(root))
    for number in itertools.count():
        decision = f"{name}-{number}"
        await store.append("eu", said(decision=decision, text="x" * (number % 3000)))
        sys.stdout.write(decision + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
