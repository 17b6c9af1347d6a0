"""Settings of the inference service."""

from __future__ import annotations

import json

import pytest

from trunkline_inference.settings import InferenceSettings
from trunkline_mesh.settings import SettingsError

MODEL = {"model_id": "m", "revision": "1", "task": "embed", "dimension": 4, "triton_model": "m"}


def test_the_default_models_are_the_repository_s() -> None:
    """The embedding space that the map names is served without any setting."""
    served = [model.served() for model in InferenceSettings().models]

    assert [(model.label, model.dimension, model.backend_name) for model in served] == [
        ("all-minilm-l6-v2@int8-1", 384, "minilm_encoder"),
        ("minilm-late-interaction@int8-1", 0, "minilm_late_interaction"),
    ]


@pytest.mark.parametrize(
    "models",
    [
        [],
        [MODEL, MODEL],
        [MODEL | {"dimension": 0}],
        [MODEL | {"task": "score"}],
        [MODEL | {"triton_model": "../m"}],
        [MODEL | {"colour": "red"}],
    ],
    ids=["none", "twice", "no dimension", "score with dimension", "path", "unknown field"],
)
def test_models_that_cannot_be_served_are_refused_at_start(
    models: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the environment ends the process before it serves."""
    monkeypatch.setenv("TRUNKLINE_INFERENCE_MODELS", json.dumps(models))
    with pytest.raises(SettingsError):
        InferenceSettings.load()


def test_the_password_of_redis_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are logged at start."""
    monkeypatch.setenv("TRUNKLINE_INFERENCE_REDIS_URL", "redis://:hunter2@127.0.0.1:1/0")

    assert "hunter2" not in str(InferenceSettings.load().redacted())
