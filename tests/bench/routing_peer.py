"""The peer of the bench of choosing collections: semantic-router, in an environment of its own beside this one.

    python -m tests.bench.routing_peer --install

builds `.venv-peer` from the pinned `peer-requirements.txt`. The bench does so by itself where it is missing; without
a package index to install from, the peer's rows are left out and the result says why.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.bench.routing_data import Dataset, Split
from tests.bench.routing_methods import best_f1
from trunkline_policy.evaluation_scope import auroc, auroc_interval

ROOT: Final = Path(__file__).resolve().parents[2]
ENVIRONMENT: Final = ROOT / ".venv-peer"
REQUIREMENTS: Final = Path(__file__).with_name("peer-requirements.txt")
INSTALL_WITHIN_S: Final = 900
ANSWER_WITHIN_S: Final = 1_800
MAX_ASKED: Final = 3_000
"""Queries asked of the peer, evenly spaced: it needs tens of milliseconds for each. All of CLINC150's."""


class PeerMissingError(Exception):
    """The peer cannot be had here."""


def install(log: Callable[[str], None]) -> Path:
    """Build the environment if it is not whole; return its interpreter. Raises PeerMissingError."""
    python = ENVIRONMENT / "bin" / "python"
    whole = ENVIRONMENT / "whole"
    if whole.is_file() and whole.read_text() == REQUIREMENTS.read_text():
        return python
    log(f"peer: installing {len(REQUIREMENTS.read_text().splitlines())} packages into {ENVIRONMENT.name}")
    try:
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", str(REQUIREMENTS)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_WITHIN_S, check=False)
    except (OSError, subprocess.SubprocessError) as exc:
        raise PeerMissingError(type(exc).__name__) from exc
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise PeerMissingError((errors or ["pip failed"])[-1][:200])
    whole.write_text(REQUIREMENTS.read_text())
    return python


def peer_rows(data: Dataset, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return a row for the peer's defaults and for its best setting. Raises PeerMissingError."""
    python = install(log)
    step = -(-len(data.asked.texts) // MAX_ASKED)
    asked = data.asked.part(range(0, len(data.asked.texts), step))
    log(f"{data.name}: asking the peer {len(asked.texts)} queries, two settings")
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        handed = Path(folder) / "vectors.npz"
        np.savez(handed, **_arrays(train=data.train, asked=asked, outside=data.outside))
        command = [str(python), str(Path(__file__).with_name("routing_peer_child.py")), str(handed)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_WITHIN_S, check=False)
        except subprocess.TimeoutExpired as exc:
            raise PeerMissingError(f"no answer within {ANSWER_WITHIN_S} s") from exc
    if done.returncode:
        raise PeerMissingError((done.stderr.splitlines() or ["it failed"])[-1][:200])
    return [_row(data, asked, json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]


def _arrays(**splits: Split) -> dict[str, Any]:
    return {
        f"{name}_{part}": values
        for name, split in splits.items()
        for part, values in (
            ("texts", np.array(split.texts)),
            ("labels", np.array(split.labels)),
            ("vectors", split.vectors),
        )
    }


def _row(data: Dataset, asked: Split, answer: dict[str, Any]) -> dict[str, Any]:
    inside, outside = answer["inside"], answer["outside"]
    right = [name == label for name, label in zip(answer["found"], asked.labels, strict=True)]
    return {
        "method": f"semantic-router 1.1.1 ({answer['name']})",
        "dataset": data.name,
        "classes": len(data.collections),
        "accuracy": round(float(np.mean(right)), 4),
        "oos_auroc": round(auroc(inside, outside), 4),
        "oos_auroc_ci": [round(end, 4) for end in auroc_interval(inside, outside)],
        "oos_f1": best_f1(inside, outside),
        "oos_f1_best": best_f1(inside, outside),
        "decided_share": {"semantic": 1.0},
        "us_per_decision": round(answer["us"], 1),
        "setting": answer["setting"],
        "queries": len(right),
    }


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.stdout.write(f"{install(_tell)}\n")
