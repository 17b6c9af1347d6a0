"""Credentials, residency memory, settings, and what the client may import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import grpc
import pytest

from trunkline_client import ClientSettings, Failure, Unauthenticated
from trunkline_client.credential import MAX_TOKEN_BYTES, Credential
from trunkline_client.residency import Allowed, ResidencyMemory, scope_of
from trunkline_client.router import Router, RouterAddress

_REFUSAL = Failure(
    "RESIDENCY_ROUTER_OUTSIDE",
    "FAILED_PRECONDITION",
    "outside",
    {"allowedRegions": "eu-west, eu-north", "allowedEndpoints": "10.0.0.1:7101,10.0.0.2:7101"},
)


def _router(region: str, target: str) -> Router:
    return Router(RouterAddress(region, target), cast(Callable[[str], grpc.aio.Channel], None), 0)


async def test_tokens_come_from_text_function_or_coroutine() -> None:
    """All three forms of a token source give the token of the moment."""
    tokens = iter(["one", "two"])

    async def renew() -> str:
        return "async"

    renewed = Credential(lambda: next(tokens))
    assert await Credential("fixed\n").token() == "fixed"
    assert [await renewed.token(), await renewed.token()] == ["one", "two"]
    assert await Credential(renew).token() == "async"


@pytest.mark.parametrize("token", ["", "  ", "a\nb", "tokén", "x" * (MAX_TOKEN_BYTES + 1)])
async def test_tokens_that_cannot_be_sent_are_refused(token: str) -> None:
    """A token that gRPC would drop or mangle is refused with the same class as a server's refusal."""
    with pytest.raises(Unauthenticated):
        await Credential(token).token()


def test_a_refusal_permits_by_address_or_region() -> None:
    """Only the routers that were named are permitted."""
    allowed = Allowed.read(_REFUSAL)

    assert allowed.permits(_router("eu-west", "1.1.1.1:1"))
    assert allowed.permits(_router("", "10.0.0.2:7101"))
    assert not allowed.permits(_router("us-east", "10.0.0.3:7101"))
    assert not allowed.permits(_router("", "10.0.0.3:7101"))


def test_a_refusal_that_names_nothing_permits_nothing() -> None:
    """A router without a region is not permitted by an empty list."""
    allowed = Allowed.read(Failure("RESIDENCY_ROUTER_OUTSIDE", "FAILED_PRECONDITION", "outside"))

    assert not allowed.permits(_router("", "10.0.0.1:7101"))


def test_a_second_refusal_never_widens_the_first() -> None:
    """What both refusals name is what is left."""
    later = Failure("RESIDENCY_ROUTER_OUTSIDE", "FAILED_PRECONDITION", "x", {"allowedRegions": "eu-north,us-east"})

    both = Allowed.read(_REFUSAL).narrowed(Allowed.read(later))

    assert both.regions == {"eu-north"}
    assert both.endpoints == ()


def test_refusals_are_remembered_for_a_while() -> None:
    """Memory is by scope, ends, and is bounded."""
    now_s = [0.0]
    memory = ResidencyMemory(30.0, clock=lambda: now_s[0])
    allowed = Allowed.read(_REFUSAL)
    memory.learn(scope_of(["a"]), allowed)

    assert memory.recall(scope_of(["a"])) is allowed
    assert memory.recall(scope_of(["a", "b"])) is None
    now_s[0] = 31.0
    assert memory.recall(scope_of(["a"])) is None
    for index in range(2000):
        memory.learn(scope_of([str(index)]), allowed)
    assert len(memory._known) == 1024


def test_a_refusal_holds_for_the_collections_or_else_for_the_text() -> None:
    """Named collections are refused whatever the text; where the policy decides, another text may go elsewhere."""
    assert scope_of(["b", "a"], "one") == scope_of(["a", "b"], "two")
    assert scope_of([], "one") == scope_of([], "one")
    assert scope_of([], "one") != scope_of([], "two")
    assert "one" not in scope_of([], "one")


@pytest.mark.parametrize(
    "bad", [{"max_attempts": 0}, {"max_attempts": 4}, {"share": 0.0}, {"rest_s": 0.0}, {"max_rest_s": 0.5}]
)
def test_settings_refuse_nonsense(bad: dict[str, float]) -> None:
    """Settings outside their bounds are a mistake of the program."""
    with pytest.raises(ValueError, match="must be"):
        ClientSettings(**bad)  # type: ignore[arg-type]  # wrong on purpose


_IMPORT_ALONE = """
import importlib.abc, sys

ALLOWED = {"grpc", "grpc_status", "google", "trunkline", "trunkline_client", "typing_extensions"}

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ALLOWED or top in sys.stdlib_module_names or top == "_cython_" or top.startswith("_cython"):
            return None
        raise ImportError(f"the client must not need {name}")

sys.meta_path.insert(0, Blocker())
import pkgutil, importlib, trunkline_client
for module in pkgutil.walk_packages(trunkline_client.__path__, "trunkline_client."):
    importlib.import_module(module.name)
print(sorted(name for name in sys.modules if name.startswith("trunkline_") and not name.startswith("trunkline_client")))
"""


def test_the_client_imports_with_its_four_needs_alone() -> None:
    """grpcio, protobuf, googleapis-common-protos and grpcio-status are enough."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALONE], capture_output=True, text=True, timeout=60, cwd=Path.cwd(), check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
