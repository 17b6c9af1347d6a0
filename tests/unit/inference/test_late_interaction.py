"""What the models share: batches, eight-bit vectors and the score."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.inference.minilm import encoder, late_interaction


def encoding(tokens: int, seed: int) -> Any:
    """Return random vectors of length 1."""
    rows = np.random.default_rng(seed).normal(size=(1 + tokens, encoder.DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return encoder.Encoding(pooled=rows[0], tokens=rows[1:])


@given(st.lists(st.integers(2, 300), max_size=40), st.integers(1, 512), st.integers(1, 16))
def test_every_text_is_in_one_batch_within_bounds(lengths: list[int], max_tokens: int, max_rows: int) -> None:
    """Nothing is lost or doubled, and padding counts."""
    batches = encoder.micro_batches(lengths, max_tokens=max_tokens, max_rows=max_rows)

    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= max_rows
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= max_tokens


@given(st.integers(0, 191), st.integers(0, 1000))
def test_eight_bits_are_enough(tokens: int, seed: int) -> None:
    """A quantised vector is within half a step of its component, so cosines move by less than a hundredth."""
    original = encoding(tokens, seed)
    stored = late_interaction.PassageVectors.of(original)
    rows = np.concatenate([original.pooled[np.newaxis], original.tokens])
    restored = stored.values.astype(np.float32) * stored.scales.astype(np.float32)[:, np.newaxis]

    assert stored.values.shape == (1 + tokens, encoder.DIMENSION)
    assert (np.abs(1 - (rows * restored).sum(axis=1)) < 0.01).all()


def test_a_row_of_zeros_stays_zero() -> None:
    """No division by its scale."""
    blank = encoder.Encoding(
        pooled=np.zeros(encoder.DIMENSION, np.float32), tokens=np.zeros((1, encoder.DIMENSION), np.float32)
    )
    stored = late_interaction.PassageVectors.of(blank)

    assert not stored.values.any()
    assert np.isfinite(late_interaction.score(late_interaction.query_matrix(encoding(3, 0)), stored))


def test_a_passage_matches_itself_best() -> None:
    """The score of a text with itself is the highest there is: 1 for the tokens and a quarter for the whole."""
    mine, other = encoding(12, 1), encoding(12, 2)
    query = late_interaction.query_matrix(mine)
    same = late_interaction.score(query, late_interaction.PassageVectors.of(mine))
    different = late_interaction.score(query, late_interaction.PassageVectors.of(other))

    assert abs(same - 1.25) < 0.01
    assert different < same


def test_white_space_has_a_score_too() -> None:
    """Without tokens only the pooled vectors are compared."""
    words, blank = encoding(5, 3), encoding(0, 4)
    for query, passage in ((words, blank), (blank, words), (blank, blank)):
        value = late_interaction.score(
            late_interaction.query_matrix(query), late_interaction.PassageVectors.of(passage)
        )
        assert np.isfinite(value)
