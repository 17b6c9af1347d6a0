"""What tells one request from another under the same id: a digest of its content, the same on every router.

Keyed BLAKE2b (RFC 7693) of 64 bits, the key being the request's id: so equal contents of different requests have
nothing in common, and no text is kept. The deadline, the attempt and the map token are left out: a retry may have
others. So are settings of the router.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b
from json.encoder import encode_basestring_ascii as quoted
from typing import Final

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline_routing.edge.model import Query, Vector

_DIGEST_BYTES: Final = 8


def of_search(request_id: str, queries: Sequence[Query]) -> str:
    """Return the digest of a search's queries, in order: 16 hexadecimal characters.

    What bears on the cost is in it, and what is asked: text or vectors, filter, collections, how many, reranking.
    """
    parts: list[bytes] = []
    for query in queries:
        vectors = [(space, _packed(vector)) for space, vector in query.vectors.items()]
        condition = query.filter.SerializeToString(deterministic=True) if query.filter is not None else b""
        sizes = ",".join(f"{quoted(space)}:{len(packed)}" for space, packed in vectors)
        head = (
            f"[{quoted(query.text)},{query.top_k},{query.rerank:d},{query.all_collections:d},"
            f"[{','.join(map(quoted, query.collections))}],{{{sizes}}},{len(condition)}]"
        )
        parts += (head.encode(), *(packed for _, packed in vectors), condition)
    return _digest(request_id, b"search", parts)


def of_upsert(request_id: str, collection: str, documents: Sequence[document_pb.Document]) -> str:
    """Return the digest of an upsert: 16 hexadecimal characters. All of each document is in it."""
    parts = [quoted(collection).encode()]
    for document in documents:
        content = document.SerializeToString(deterministic=True)
        parts += (b"%d:" % len(content), content)
    return _digest(request_id, b"upsert", parts)


def of_delete(request_id: str, collection: str, document_ids: Sequence[str]) -> str:
    """Return the digest of a delete: 16 hexadecimal characters."""
    return _digest(request_id, b"delete", [",".join(map(quoted, (collection, *document_ids))).encode()])


def _packed(vector: Vector) -> bytes:
    return struct.pack(f"<{len(vector)}f", *vector)  # the contract's numbers are of 32 bits


def _digest(request_id: str, method: bytes, parts: Sequence[bytes]) -> str:
    """Return the digest of parts that cannot be read in two ways when they stand one behind the other."""
    # Ids of requests have at most as many characters as a key has bytes; the server's guards see to it.
    key = request_id.encode()[: blake2b.MAX_KEY_SIZE]
    return blake2b(b"".join(parts), digest_size=_DIGEST_BYTES, key=key, person=method).hexdigest()
