"""How well, how surely and how quickly collections are chosen: `python -m tests.bench.routing [--data FOLDER]`.

FOLDER holds `clinc150/train.jsonl`, `val.jsonl` and `oos_val.jsonl` (CLINC150, Larson et al., 2019); without it the
rows about quality are left out. Everything is learnt and fitted on `train` alone, and asked of `val` and `oos_val`.
The last line is `RESULT {json}`; progress goes to the standard error.

`--parts` leaves parts out: `quality`, `peer`, `speed`, `routed` (a search of seven collections against the real
services), `demo` (deciding end to end).
"""

from __future__ import annotations

import os

# One thread, as a router has for one decision; BLAS reads this when it is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

from tests.bench.routed import measure_routed
from tests.bench.routed_demo import measure_demo
from tests.bench.routing_data import Dataset, clinc
from tests.bench.routing_methods import rows_of
from tests.bench.routing_peer import PeerMissingError, peer_rows
from tests.bench.routing_speed import speeds

PARTS: Final = ("quality", "peer", "speed", "routed", "demo")
DEFAULT_DATA: Final = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def data_folder(given: Path | None = None) -> Path | None:
    """Return the folder of the data sets, `../shared/data` by default; None if it is not there."""
    folder = given or DEFAULT_DATA
    return folder if folder.is_dir() else None


def datasets(folder: Path | None) -> list[Dataset]:
    """Return CLINC150 as 150 and as 10 collections; nothing where it is not at hand."""
    found = None if folder is None else folder / "clinc150"
    if found is None or not (found / "train.jsonl").is_file():
        return []
    return [clinc(found, "intent"), clinc(found, "domain")]


def log(line: str) -> None:
    """Tell what is being done."""
    sys.stderr.write(f"routing: {line}\n")
    sys.stderr.flush()


def quality(parts: set[str], folder: Path | None) -> dict[str, Any]:
    """Return the rows, and why the peer's are missing if they are."""
    found: dict[str, Any] = {"rows": []}
    for data in datasets(folder) if parts & {"quality", "peer"} else ():
        if "quality" in parts:
            found["rows"] += rows_of(data, log)
        if "peer" in parts and "peer" not in found:
            try:
                found["rows"] += peer_rows(data, log)
            except PeerMissingError as exc:
                found["peer"] = f"skipped: {exc}"
    if not found["rows"] and parts & {"quality", "peer"} and folder is None:
        found["quality"] = "skipped: no data sets; name their folder with --data"
    return found


def table(rows: list[dict[str, Any]]) -> None:
    """Print the rows for people."""
    for row in rows:
        low, high = row["oos_auroc_ci"]
        sys.stdout.write(
            f"{row['classes']:4d} {row['method']:38s} accuracy {row['accuracy']:.4f}  "
            f"AUROC {row['oos_auroc']:.4f} [{low:.4f}, {high:.4f}]  F1 {row['oos_f1']:.3f}  "
            f"{row['us_per_decision']:9.1f} us  {row['decided_share']}\n"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    chosen = parser.parse_args()
    parts, folder = set(chosen.parts), data_folder(chosen.data)
    result = quality(parts, folder)
    if "speed" in parts:
        log("speed")
        result |= speeds()
    if "routed" in parts:
        log("searching seven collections through the real services")
        result["routed"] = asyncio.run(measure_routed(folder))
    if "demo" in parts:
        log("deciding end to end")
        result["end_to_end"] = asyncio.run(measure_demo())
    table(result["rows"])
    sys.stdout.write(f"RESULT {json.dumps(result)}\n")


if __name__ == "__main__":
    main()
