"""Runs inside the peer's own environment: asks `IndexedRouter` of semantic-router what the bench asks Trunkline.

    python routing_peer_child.py VECTORS.npz

The file holds texts, labels and vectors of `train`, `asked` and `outside`. Prints one JSON object for each setting.
Nothing of Trunkline is imported here, because that environment does not have it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from semantic_router import IndexedRouter, Route  # type: ignore[import-not-found]  # lives in .venv-peer alone
from semantic_router.encoders import DenseEncoder  # type: ignore[import-not-found]  # lives in .venv-peer alone

DEFAULTS: dict[str, Any] = {}
SETTINGS: tuple[dict[str, Any], ...] = (
    DEFAULTS,
    {"aggregation": "sum"},
    {"aggregation": "sum", "top_k": 10},
    {"aggregation": "sum", "top_k": 20},
    {"aggregation": "max"},
    {"aggregation": "mean", "top_k": 20},
)
TUNED_ON = 300
TIMED = 200


class Given(DenseEncoder):  # type: ignore[misc]  # its base lives in .venv-peer alone
    """Looks vectors up that were computed before."""

    name: str = "given"
    vectors: dict[str, Any]

    def __call__(self, docs: list[Any]) -> list[list[float]]:
        return [self.vectors[doc] for doc in docs]

    async def acall(self, docs: list[Any]) -> list[list[float]]:
        return self(docs)


def router_of(encoder: Given, texts: list[str], labels: list[str], setting: dict[str, Any]) -> IndexedRouter:
    """Build a router whose routes are the labels."""
    examples: dict[str, list[str]] = {}
    for text, label in zip(texts, labels, strict=True):
        examples.setdefault(label, []).append(text)
    return IndexedRouter(encoder, [Route(name=name, utterances=found) for name, found in examples.items()], **setting)


def best_setting(encoder: Given, texts: list[str], labels: list[str]) -> dict[str, Any]:
    """Choose by accuracy on a part of the training texts that the router is not shown."""
    held = set(range(0, len(texts), max(1, len(texts) // TUNED_ON)))
    shown = [row for row in range(len(texts)) if row not in held]
    accuracies = []
    for setting in SETTINGS:
        router = router_of(encoder, [texts[row] for row in shown], [labels[row] for row in shown], setting)
        accuracies.append(sum(router(texts[row]).name == labels[row] for row in held))
    return SETTINGS[int(np.argmax(accuracies))]


def ask(router: IndexedRouter, texts: list[str]) -> tuple[list[str], list[float], list[float]]:
    """Return names, confidences and microseconds."""
    names, scores, times = [], [], []
    for text in texts:
        started_s = time.perf_counter()
        choice = router(text)
        times.append((time.perf_counter() - started_s) * 1e6)
        names.append(choice.name or "")
        scores.append(float(choice.confidence or 0.0))
    return names, scores, times


def main() -> None:
    """Measure the defaults and the best setting."""
    given = np.load(sys.argv[1], allow_pickle=False)
    parts = {
        part: (given[f"{part}_texts"].tolist(), given[f"{part}_labels"].tolist())
        for part in ("train", "asked", "outside")
    }
    vectors = {
        text: vector
        for part, (texts, _) in parts.items()
        for text, vector in zip(texts, given[f"{part}_vectors"].tolist(), strict=True)
    }
    encoder = Given(vectors=vectors)
    train, labels = parts["train"]
    for name, setting in (("defaults", DEFAULTS), ("best setting", best_setting(encoder, train, labels))):
        router = router_of(encoder, train, labels, setting)
        ask(router, train[:5])
        found, inside, times = ask(router, parts["asked"][0])
        _, outside, _ = ask(router, parts["outside"][0])
        result = {"name": name, "setting": setting, "found": found, "inside": inside, "outside": outside}
        print(json.dumps({**result, "us": float(np.median(times[:TIMED]))}), flush=True)


if __name__ == "__main__":
    main()
