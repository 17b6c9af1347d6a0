"""Joins the results of several collections: weighted reciprocal rank fusion, k = 60, ties by id.

Source: Cormack, Clarke, Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods",
SIGIR 2009. The weight is the decision's confidence in the collection; raw scores of different collections never meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline_routing.edge.model import Hit

RRF_K: Final = 60


def merge(results: Sequence[tuple[float, Sequence[Hit]]], limit: int) -> list[Hit]:
    """Return the best `limit` hits of `(confidence, hits best first)` lists; the order of the lists does not matter.

    One list alone keeps its own scores.
    """
    filled = [(weight, hits) for weight, hits in results if hits]
    if len(filled) == 1:
        return list(filled[0][1][:limit])
    fused = [
        replace(hit, score=weight / (RRF_K + rank), score_kind=options_pb.SCORE_KIND_RRF)
        for weight, hits in filled
        for rank, hit in enumerate(hits, start=1)
    ]
    fused.sort(key=lambda hit: (-hit.score, hit.collection, hit.document.document_id))
    return fused[:limit]
