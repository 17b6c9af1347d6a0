"""How good the encoder and late interaction are on a test collection, by the length at which passages are cut.

    python -m tests.bench.rerank_quality FOLDER [TOKENS ...]

FOLDER holds `docs.jsonl` (id, title, text), `queries.jsonl` (id, text) and `qrels.jsonl` (query, relevant), such as the
CISI collection of the University of Glasgow. Prints nDCG@10 with binary relevance of the dense order and of its top 20
re-ordered, and the milliseconds for each passage; the last line is `RESULT {json}`. Without the folder it skips.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.unit.inference.minilm import encoder, late_interaction

QUERY_TOKENS: Final = 128
DEPTH: Final = 20
DEFAULT_CUTS: Final = (32, 64, 96, 128, 192, 256)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a JSON lines file."""
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def ndcg(ranked: Sequence[int], relevant: set[int]) -> float:
    """Return nDCG@10 with binary relevance (Jaervelin and Kekaelaeinen, 2002)."""
    gained = sum(1 / math.log2(rank + 2) for rank, one in enumerate(ranked[:10]) if one in relevant)
    return gained / sum(1 / math.log2(rank + 2) for rank in range(min(10, len(relevant))))


def mean(values: Iterable[float]) -> float:
    """Return the mean, rounded as it is printed."""
    return round(float(np.mean(list(values))), 3)


def measure(folder: Path, cut: int) -> dict[str, float]:
    """Measure one length."""
    model = encoder.Encoder()
    documents = read(folder / "docs.jsonl")
    queries = {query["id"]: query["text"] for query in read(folder / "queries.jsonl")}
    relevant = {judged["query"]: set(judged["relevant"]) for judged in read(folder / "qrels.jsonl")}
    started_s = time.perf_counter()
    passages = [model.run([model.tokenize(f"{one['title']}. {one['text']}", max_tokens=cut)])[0] for one in documents]
    passage_ms = (time.perf_counter() - started_s) * 1000 / len(documents)
    dense = np.stack([passage.pooled for passage in passages])
    before, after = [], []
    for query_id, judged in relevant.items():
        asked = model.run([model.tokenize(queries[query_id], max_tokens=QUERY_TOKENS)])[0]
        top = np.argsort(-(dense @ asked.pooled), kind="stable")[:DEPTH].tolist()
        matrix = late_interaction.query_matrix(asked)
        scores = [late_interaction.score(matrix, late_interaction.PassageVectors.of(passages[index])) for index in top]
        again = [top[place] for place in np.argsort(-np.array(scores), kind="stable")]
        before.append(ndcg([documents[index]["id"] for index in top], judged))
        after.append(ndcg([documents[index]["id"] for index in again], judged))
    return {"dense": mean(before), "reranked": mean(after), "passage_ms": round(passage_ms, 1)}


def main() -> None:
    """Measure each length and print the table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    if not (folder / "qrels.jsonl").is_file():
        sys.stdout.write("skipped: name a folder with docs.jsonl, queries.jsonl and qrels.jsonl\n")
        return
    results: dict[str, dict[str, float]] = {}
    for cut in [int(argument) for argument in sys.argv[2:]] or DEFAULT_CUTS:
        results[str(cut)] = measure(folder, cut)
        sys.stdout.write(f"{cut:4d} tokens: {results[str(cut)]}\n")
        sys.stdout.flush()
    sys.stdout.write(f"RESULT {json.dumps(results)}\n")


if __name__ == "__main__":
    main()
