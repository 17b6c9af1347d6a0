"""The author of a change, from the credential and the request's options."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from google.protobuf.message import Message

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline_mesh.request import ROLE_OPERATOR, current_principal, current_request
from trunkline_routing.control.fields import Fields
from trunkline_routing.control.how import How

MAX_COMMENT_BYTES: Final = 256

_APPROVAL_ID: Final = re.compile(r"[0-9a-f]{32}")


def how_of(options: changes_pb.ChangeOptions | None = None) -> How:
    """Return how the current request's caller wants its change made; raise FieldInvalid for options out of bounds."""
    options = options or changes_pb.ChangeOptions()
    fields = Fields("options.")
    fields.utf8("comment", options.comment, MAX_COMMENT_BYTES)
    known = not options.approval_id or bool(_APPROVAL_ID.fullmatch(options.approval_id))
    fields.require(known, "approval_id", "must be 32 hexadecimal digits")
    fields.check()
    scope, principal = current_request(), current_principal()
    return How(
        actor=principal.subject,
        roles=tuple(sorted(principal.roles)),
        operator=principal.has_role(ROLE_OPERATOR),
        request_id=scope.request_id,
        method=scope.method,
        comment=options.comment,
        dry_run=options.dry_run,
        urgent=options.urgent,
        approval_id=options.approval_id,
    )


def digest_of(request: Message, method: str) -> bytes:
    """Return what an approval is bound to: SHA-256 of the method and of the request without its options."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("options")
    return hashlib.sha256(method.encode() + b"\0" + bare.SerializeToString(deterministic=True)).digest()
