"""Heads of prototypes: for few examples, and for every router until a trained head has come. Needs numpy alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trunkline_policy.basis import BasisText, Family, basis_digest
from trunkline_policy.clusters import topics, unit
from trunkline_policy.head import HeadSet
from trunkline_policy.head_format import halved
from trunkline_policy.head_parts import OUTSIDE, FamilyHead, Floats, Owners
from trunkline_policy.scope import near_scope

FAMILIES: Final[tuple[Family, ...]] = ("collection", "template", "model_class")
MAX_PARTS: Final = 8
"""Prototypes of one target besides its mean: its texts, or the topics of more than that many texts."""
MAX_ALL_PARTS: Final = 600
"""Prototypes of a family besides the means: with many targets each has fewer, so that a decision stays quick."""
MAX_OUTSIDE_PARTS: Final = 24
"""The same for what belongs nowhere, which has no one topic."""


@dataclass(frozen=True, slots=True, eq=False)
class FamilyTexts:
    """The vectors of one family, in the order of its targets."""

    family: Family
    targets: tuple[str, ...]
    vectors: Floats
    """Rows of length 1."""
    owners: Owners
    """Index of each row's target, ascending."""

    @property
    def counts(self) -> tuple[int, ...]:
        """How many texts each target has."""
        return tuple(np.bincount(self.owners, minlength=len(self.targets)).tolist())


def prototype_heads(
    texts: Sequence[BasisText],
    vectors: Sequence[Sequence[float]] | npt.NDArray[Any],
    *,
    space_id: str,
    model_id: str,
    model_revision: str,
) -> HeadSet:
    """Return the head that decides by nearness to what the texts say, one vector for each text.

    Vectors that are zero or not finite are left out, and so are targets of which nothing is left. Raises ValueError
    for another number of vectors, or vectors of unequal length.
    """
    matrix = checked_vectors(texts, vectors)
    families = tuple(prototype_family(part) for part in family_texts(texts, matrix))
    return head_set(families, texts, matrix, space_id=space_id, model_id=model_id, model_revision=model_revision)


def head_set(
    families: tuple[FamilyHead, ...],
    texts: Sequence[BasisText],
    matrix: Floats,
    *,
    space_id: str,
    model_id: str,
    model_revision: str,
) -> HeadSet:
    """Return families as a head that knows what it was made from."""
    return HeadSet(
        families=families,
        dimension=max(1, matrix.shape[1]),
        space_id=space_id,
        model_id=model_id,
        model_revision=model_revision,
        basis_digest=basis_digest(texts, space_id, model_id, model_revision),
        example_count=len(texts),
    )


def checked_vectors(texts: Sequence[BasisText], vectors: Sequence[Sequence[float]] | npt.NDArray[Any]) -> Floats:
    """Return one row for each text. Raises ValueError if they do not fit together."""
    matrix = np.asarray(vectors, dtype=np.float32)
    if not len(texts):
        return np.zeros((0, 1 if matrix.ndim < 2 else matrix.shape[1]), dtype=np.float32)
    if matrix.ndim != 2 or len(matrix) != len(texts) or matrix.shape[1] < 1:
        raise ValueError("one vector of one length is needed for each text")
    return matrix


def family_texts(texts: Sequence[BasisText], matrix: Floats) -> Iterable[FamilyTexts]:
    """Yield each family that has usable vectors. Texts that belong nowhere are a last target of the collections."""
    usable = np.isfinite(matrix).all(axis=1) & (np.linalg.norm(matrix, axis=1) > 1e-12)
    for family in FAMILIES:
        rows = [
            (text.family == "out_of_scope", text.target, number)
            for number, text in enumerate(texts)
            if usable[number] and (text.family == family or (family == "collection" and text.family == "out_of_scope"))
        ]
        if not any(not outside for outside, _, _ in rows):
            continue
        rows.sort()
        names = list(dict.fromkeys(OUTSIDE if outside else target for outside, target, _ in rows))
        index = {name: number for number, name in enumerate(names)}
        owners = [index[OUTSIDE if outside else target] for outside, target, _ in rows]
        vectors = unit(matrix[[number for _, _, number in rows]])
        yield FamilyTexts(family, tuple(names), vectors, np.asarray(owners, dtype=np.int32))


def prototype_family(texts: FamilyTexts) -> FamilyHead:
    """Return the family's prototypes, by which alone it decides."""
    rows, owners = prototype_rows(texts)
    inside = len(texts.targets) - (texts.targets[-1] == OUTSIDE)
    return FamilyHead(
        family=texts.family,
        targets=texts.targets,
        texts=texts.counts,
        prototypes=rows,
        prototype_owners=owners,
        weights=np.zeros((0, rows.shape[1]), dtype=np.float32),
        biases=np.zeros(0, dtype=np.float32),
        weight_owners=np.zeros(0, dtype=np.int32),
        views=(),
        scale=scale_for(float(np.median(texts.counts[:inside]))),
        scope=near_scope(texts.vectors[texts.owners < inside], texts.owners[texts.owners < inside]),
    )


def scale_for(texts: float) -> float:
    """Return what turns closeness into logits, for targets of so many texts each: `25 n / (n + 0.5)`.

    Fitted on CLINC150 `train`: the scale of least log loss there rises from 9..20 with one example for each of 10..150
    targets to 25..30 with ten and more. Too small a scale errs on the side of doubt.
    """
    return 25.0 * texts / (texts + 0.5)


def prototype_rows(texts: FamilyTexts) -> tuple[Floats, Owners]:
    """Return each target's mean and what it is made of, as half precision keeps them, and the owner of each row."""
    rows: list[Floats] = []
    owners: list[int] = []
    most = max(1, min(MAX_PARTS, MAX_ALL_PARTS // len(texts.targets)))
    for number, name in enumerate(texts.targets):
        found = _parts(texts.vectors[texts.owners == number], MAX_OUTSIDE_PARTS if name == OUTSIDE else most)
        rows.append(found)
        owners += [number] * len(found)
    return halved(np.concatenate(rows)), np.asarray(owners, dtype=np.int32)


def _parts(vectors: Floats, most: int) -> Floats:
    mean = unit(vectors.sum(axis=0, keepdims=True))
    if len(vectors) == 1 or most == 1:
        return mean
    if len(vectors) <= most:
        return np.concatenate([mean, vectors])
    topic = topics(vectors, most)
    sums = np.zeros((int(topic.max()) + 1, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, topic, vectors)
    return np.concatenate([mean, unit(sums)])
