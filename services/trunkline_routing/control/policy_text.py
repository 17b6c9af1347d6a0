"""What a policy is, to the control role: a text that the format knows, and that names collections which are there."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from trunkline_mesh.errors import CollectionUnknown
from trunkline_policy.document import parse_policy, to_form

MAX_NAMED: Final = 16
"""A refusal names at most so many collections."""


def read_policy(text: str, collections: AbstractSet[str]) -> bytes:
    """Return the form that routers read of a policy's text.

    Raises FieldInvalid for a text that is no policy, CollectionUnknown if it names one that is not among `collections`.
    """
    policy = parse_policy(text)
    missing = sorted(policy.names() - collections)
    if missing:
        raise CollectionUnknown(metadata={"collections": ",".join(missing[:MAX_NAMED])})
    return to_form(policy)
