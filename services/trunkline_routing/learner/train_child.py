"""The child process that trains one head: `python -m trunkline_routing.learner.train_child SECONDS BYTES`.

It reads a task from its standard input and writes the head to its standard output. It is the only one that loads
scikit-learn, works at the lowest priority, and bounds its own memory and time, also where its parent is gone.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Final

from trunkline_routing.learner.child_wire import decode

SEED: Final = 0
NICENESS: Final = 19


def main() -> None:
    """Train what stands on the standard input."""
    seconds, size_bytes = int(sys.argv[1]), int(sys.argv[2])
    os.nice(NICENESS)
    signal.alarm(seconds)
    resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))
    from trunkline_policy.training import train_heads

    task = decode(sys.stdin.buffer.read())
    head = train_heads(
        task.texts,
        task.vectors,
        seed=SEED,
        space_id=task.space.space_id,
        model_id=task.space.model_id,
        model_revision=task.space.model_revision,
    )
    sys.stdout.buffer.write(head.to_bytes())


if __name__ == "__main__":
    main()
