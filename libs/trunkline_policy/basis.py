"""What semantics know of a policy: the texts that stand for each target, in one order, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from trunkline_policy.model import RoutingPolicy, Target

Family: TypeAlias = Literal["collection", "template", "model_class", "out_of_scope"]
"""Kind of target. `out_of_scope` has one target without a name: queries that belong nowhere."""

FAMILIES: Final[tuple[Family, ...]] = ("collection", "template", "model_class", "out_of_scope")
_RECIPE: Final = "trunkline basis 1"
"""Part of every digest; raised when the same texts make another head, so that all are trained anew."""


@dataclass(frozen=True, slots=True)
class BasisText:
    """A text that stands for a target; its vector is what heads are made from."""

    family: Family
    target: str
    """Name within the family; empty for `out_of_scope`."""
    kind: Literal["description", "example"]
    text: str


def basis_texts(
    policy: RoutingPolicy, descriptions: Mapping[str, str], *, limit: int | None = None
) -> tuple[BasisText, ...]:
    """Return what has to be embedded, in an order that depends on the policy's content alone.

    `descriptions` are the map's own, by collection, for those to which the policy gives none. A text that a target
    says twice (white space and case aside) counts once; one that two targets claim counts for both. `limit` is the
    most texts returned, from 0: no target gets one more before every other has as many or has no more to give; a
    target's description comes first, then examples evenly spaced over all of its own.
    """
    targets = [_distinct(family, name, target) for family, name, target in _targets(policy, descriptions)]
    if limit is not None:
        shares = _shares([len(texts) for texts in targets], limit)
        targets = [_spread(texts, share) for texts, share in zip(targets, shares, strict=True)]
    return tuple(text for texts in targets for text in texts)


def basis_digest(texts: Iterable[BasisText], space_id: str, model_id: str, model_revision: str) -> str:
    """Return the SHA-256, in hexadecimal, of all texts and of the model whose vectors stand for them."""
    digest = hashlib.sha256()
    for part in (_RECIPE, space_id, model_id, model_revision):
        _feed(digest, part)
    for text in texts:
        for part in (text.family, text.target, text.kind, text.text):
            _feed(digest, part)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, part: str) -> None:
    content = part.encode("utf-8", "surrogatepass")
    digest.update(len(content).to_bytes(4, "big"))
    digest.update(content)


def _targets(policy: RoutingPolicy, descriptions: Mapping[str, str]) -> Iterator[tuple[Family, str, Target]]:
    for name in sorted(policy.collections):
        target: Target = policy.collections[name]
        described = descriptions.get(name, "")
        if described and not target.description:
            target = target.model_copy(update={"description": described})
        yield "collection", name, target
    for name in sorted(policy.templates):
        yield "template", name, policy.templates[name]
    for model_class in sorted(policy.model_classes):
        yield "model_class", model_class, policy.model_classes[model_class]
    if policy.out_of_scope:
        yield "out_of_scope", "", Target(description="", examples=policy.out_of_scope)


def _distinct(family: Family, name: str, target: Target) -> list[BasisText]:
    """Return a target's texts, description first, each once."""
    texts: dict[str, BasisText] = {}
    if target.description.strip():
        texts[_plain(target.description)] = BasisText(family, name, "description", target.description)
    for example in target.examples:
        if example.strip():
            texts.setdefault(_plain(example), BasisText(family, name, "example", example))
    return list(texts.values())


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _shares(wanted: Sequence[int], limit: int) -> list[int]:
    """Deal `limit` out one by one; what is left over in the last round goes to the first targets."""
    shares = [0] * len(wanted)
    left = limit
    open_targets = [index for index, count in enumerate(wanted) if count]
    while left > 0 and open_targets:
        each = max(1, min(left // len(open_targets), *(wanted[index] - shares[index] for index in open_targets)))
        for index in open_targets[:left]:
            shares[index] += each
            left -= each
        open_targets = [index for index in open_targets if shares[index] < wanted[index]]
    return shares


def _spread(texts: Sequence[BasisText], count: int) -> list[BasisText]:
    """Return the description, if any, and examples evenly spaced, `count` in all, in their order."""
    if count >= len(texts):
        return list(texts)
    first = [text for text in texts[:1] if text.kind == "description"][:count]
    examples = texts[len(first) :]
    wanted = count - len(first)
    return first + [examples[number * len(examples) // wanted] for number in range(wanted)]
