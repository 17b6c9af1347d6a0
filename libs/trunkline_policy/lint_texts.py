"""A policy's keywords as lint compares them: by their stems, with their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trunkline_policy.model import RoutingPolicy, Target
from trunkline_policy.normal import normalise
from trunkline_policy.words import Words

Stems = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a keyword stands."""

    family: str
    target: str
    number: int
    text: str
    weight: float

    @property
    def where(self) -> str:
        """Path within the policy."""
        return f"{self.family}.{self.target}.keywords.{self.number}"


def families_of(policy: RoutingPolicy) -> Mapping[str, Mapping[str, Target]]:
    """Return the targets by family; only those of one family are each other's rivals."""
    return {
        "collections": policy.collections,
        "templates": policy.templates,
        "model_classes": {str(name): one for name, one in policy.model_classes.items()},
    }


def keywords_of(policy: RoutingPolicy, words: Words) -> Iterator[tuple[Stems, Place]]:
    """Yield every keyword with its stems; none for one that has neither word nor sign."""
    for family, targets in families_of(policy).items():
        for name, target in targets.items():
            for number, keyword in enumerate(target.keywords):
                stems = tuple(words.of(normalise(keyword.text)))
                yield stems, Place(family, name, number, keyword.text, keyword.weight)
