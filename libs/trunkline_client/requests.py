"""Builds request messages from plain arguments."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from google.protobuf.message import EncodeError

from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.common.v1 import vector_pb2 as vector_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_client.errors import InvalidRequest
from trunkline_client.failure import Failure
from trunkline_client.filters import Filter, filter_to_proto

ConsistencyName = Literal["any", "primary"]

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CONSISTENCY: Final = {"any": options_pb.CONSISTENCY_ANY, "primary": options_pb.CONSISTENCY_PRIMARY}


@dataclass(frozen=True, slots=True)
class Vector:
    """A query vector of the caller's own and the embedding space in which it means something."""

    space_id: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query with all that a search may carry.

    `text` is a text of 1 to 4,096 bytes or a vector (which needs `collections`). `top_k`: 1 to 100.
    `collections`: at most 64; empty lets the policy decide. `all_collections`: search all of the tenant's, of which
    there may be at most 64, and name none. `rerank_depth`: candidates to reorder, 1 to 100, 0 for the server's default.
    `min_score`: least cosine similarity. `include_fields`: at most 32; empty returns all. `previous_decision_id`: of
    the same session's decision before, for policies whose rules look at it. `expand_template`: with the text and
    examples of the template that the policy picks.
    """

    text: str | Vector
    top_k: int = 5
    collections: Sequence[str] = ()
    all_collections: bool = False
    filter: Filter | None = None
    min_score: float | None = None
    include_fields: Sequence[str] = ()
    consistency: ConsistencyName = "any"
    allow_partial: bool = False
    explain: bool = False
    rerank: bool = True
    rerank_depth: int = 0
    previous_decision_id: str = ""
    expand_template: bool = False


def search_request(query: Query, map_token: bytes = b"", tenant: str = "") -> routing_pb.SearchRequest:
    """Return the message of one query. Raises InvalidRequest for what no message can hold."""
    with representable():
        request = routing_pb.SearchRequest(
            tenant_id=tenant,
            top_k=query.top_k,
            filter=None if query.filter is None else filter_to_proto(query.filter),
            min_score=query.min_score,
            include_fields=query.include_fields,
            consistency=consistency_value(query.consistency),
            collections=query.collections,
            all_collections=query.all_collections,
            allow_partial=query.allow_partial,
            map_token=map_token,
            explain=query.explain,
            rerank=routing_pb.RerankOptions(disabled=not query.rerank, depth=query.rerank_depth),
            previous_decision_id=query.previous_decision_id,
            expand_template=query.expand_template,
        )
        if isinstance(query.text, Vector):
            request.vector.CopyFrom(vector_pb.QueryVector(space_id=query.text.space_id, values=query.text.values))
        else:
            request.text = query.text
        return request


def consistency_value(name: ConsistencyName) -> options_pb.Consistency.ValueType:
    """Return the contract's value. Raises ValueError for another name."""
    try:
        return _CONSISTENCY[name]
    except KeyError:
        raise ValueError(f"consistency must be 'any' or 'primary', not {name!r}") from None


def new_request_id(given: str | None) -> str:
    """Return the caller's request id, or a fresh one. Raises InvalidRequest if it is malformed."""
    if given is None:
        return uuid.uuid4().hex
    if _REQUEST_ID.fullmatch(given) is None:
        raise _invalid("request_id must be 1 to 64 characters of letters, digits and ._-")
    return given


def checked_deadline(given_s: float | None, default_s: float) -> float:
    """Return the deadline in seconds. Raises InvalidRequest unless it is positive and finite."""
    deadline_s = default_s if given_s is None else given_s
    if not 0.0 < deadline_s < float("inf"):
        raise _invalid("deadline_s must be a positive, finite number of seconds")
    return deadline_s


@contextmanager
def representable() -> Iterator[None]:
    """Turn what protobuf cannot hold (a number out of range, a broken string, a wrong type) into InvalidRequest."""
    try:
        yield
    except (ValueError, TypeError, EncodeError) as exc:  # UnicodeEncodeError is a ValueError
        raise _invalid(f"the request cannot be written as a message ({type(exc).__name__})") from exc


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(Failure("FIELD_INVALID", "INVALID_ARGUMENT", message))
