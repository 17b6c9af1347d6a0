"""What the inference service's refusals mean to callers of reranking."""

from __future__ import annotations

from trunkline_mesh.errors import DomainError, FieldInvalid, Internal, ModelUnknown, invalid_field


def of_inference(error: DomainError) -> DomainError:
    """Return what our caller gets for a refusal of `InferenceService/Score`.

    A model that nobody serves is a bad field of our request; a bad field of theirs is a defect of ours, because every
    bound was checked before.
    """
    if isinstance(error, ModelUnknown):
        return invalid_field("model_id", "must name a model that this region serves for scores")
    if isinstance(error, FieldInvalid):
        return Internal()
    return error
