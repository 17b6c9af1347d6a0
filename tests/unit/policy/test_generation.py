"""Templates and model classes: by words, by heads, by complexity, by default."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.complexity import complexity_of
from trunkline_policy.generation import NO_CHOICE, GenerationStage
from trunkline_policy.head import SemanticResult
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import NOTHING, Candidate, StageResult

TEMPLATES: dict[str, Any] = {
    "compare": {"text": "c", "version": 3, "keywords": ["difference", "versus"]},
    "how-to": {"text": "h", "patterns": ["^how (do|can) i"]},
}
CLASSES: dict[str, Any] = {
    "simple": {"max_cost_per_request": 0.01, "max_context_tokens": 2_000},
    "standard": {"min_complexity": 0.2},
    "complex": {"min_complexity": 0.6, "keywords": ["legal opinion"], "max_context_tokens": 100_000},
}
HARD = "Compare the average delivery per month, explain why the second is worse, then plan a migration step by step"


def stage(**given: Any) -> GenerationStage:
    return GenerationStage(RoutingPolicy.model_validate({"version": 2, "collections": {"a": {}}, **given}))


def heads(**families: dict[str, float]) -> SemanticResult:
    results = {
        family: StageResult(tuple(Candidate(name, sure, f"{name}: near") for name, sure in found.items()), 0.9)
        for family, found in families.items()
    }
    return SemanticResult(NOTHING, results.get("templates"), results.get("model_classes"))


def test_a_policy_without_either_wants_nothing() -> None:
    """And is not made to look."""
    assert not stage().wanted
    assert stage().decide("How do I compare?", None) == NO_CHOICE
    assert stage(templates=TEMPLATES).wanted
    assert stage(model_classes=CLASSES).wanted


@pytest.mark.parametrize(
    ("text", "template", "version"), [("The differences of both", "compare", 3), ("How do I read a file?", "how-to", 1)]
)
def test_words_pick_a_template(text: str, template: str, version: int) -> None:
    """By the same keywords and patterns as collections."""
    choice = stage(templates=TEMPLATES).decide(text, None)
    assert (choice.template, choice.template_version) == (template, version)
    assert choice.template_confidence >= 0.8
    assert choice.reasons[0].startswith(f"template {template}: ")


def test_a_head_picks_a_template_where_words_do_not() -> None:
    """From the semantic threshold on."""
    templates = stage(templates=TEMPLATES)
    assert templates.decide("x", heads(templates={"compare": 0.6})).template == "compare"
    assert templates.decide("x", heads(templates={"compare": 0.4})).template is None


def test_words_and_head_may_be_sure_together() -> None:
    """A tie of words is broken by a head that alone is not sure."""
    choice = stage(templates=TEMPLATES, thresholds={"logical": 0.65}).decide(
        "How do I see the difference?", heads(templates={"compare": 0.49})
    )
    assert choice.template == "how-to"
    tied = {name: {"text": "t", "keywords": ["same"]} for name in ("p", "q")}
    assert (
        stage(templates=tied, thresholds={"logical": 0.7}).decide("same", heads(templates={"q": 0.49})).template == "q"
    )


def test_the_default_is_taken_without_confidence() -> None:
    """And says so."""
    choice = stage(templates=TEMPLATES, default_template="how-to").decide("x", None)
    assert (choice.template, choice.template_confidence, choice.template_version) == ("how-to", 0.0, 1)
    assert choice.reasons == ("template how-to: the default",)


def test_complexity_picks_the_highest_class_that_is_reached() -> None:
    """With its limits and the reasons of the score."""
    classes = stage(model_classes=CLASSES)
    easy, hard = classes.decide("Office hours", None), classes.decide(HARD, None)
    assert (easy.model_class, easy.max_cost_per_request, easy.max_context_tokens) == ("simple", 0.01, 2_000)
    assert (hard.model_class, hard.max_context_tokens) == ("complex", 100_000)
    assert easy.complexity < 0.2 < 0.6 <= hard.complexity
    assert 0.5 <= easy.model_class_confidence <= 1
    assert hard.reasons[0].startswith("model class complex: complexity ")


def test_own_words_and_heads_come_before_complexity() -> None:
    """A short question may ask much."""
    classes = stage(model_classes=CLASSES)
    assert classes.decide("Legal opinion?", None).model_class == "complex"
    assert classes.decide("x", heads(model_classes={"standard": 0.7})).model_class == "standard"


def test_the_default_class_is_for_classes_without_bounds_and_bounds_not_reached() -> None:
    """Without a default there is none."""
    unbounded: dict[str, Any] = {"simple": {}, "standard": {}}
    bounded: dict[str, Any] = {"standard": {"min_complexity": 0.9}, "complex": {"min_complexity": 0.95}}
    assert stage(model_classes=unbounded, default_model_class="standard").decide("x", None).model_class == "standard"
    assert stage(model_classes=unbounded).decide("x", None).model_class == "simple"
    assert stage(model_classes=bounded, default_model_class="standard").decide("x", None).model_class == "standard"
    nothing = stage(model_classes=bounded).decide("x", None)
    assert (nothing.model_class, nothing.max_context_tokens) == (None, 0)


def test_reasons_never_quote_the_query() -> None:
    """They may be shown to others than who asked."""
    choice = stage(templates=TEMPLATES, model_classes=CLASSES).decide("secretword versus hiddenword 4711", None)
    assert not any(word in reason for reason in choice.reasons for word in ("secretword", "hiddenword", "4711"))


def test_harder_questions_score_higher() -> None:
    """By length, clauses, comparison, aggregation, reasoning, steps, code and numbers."""
    texts = ["Office hours", "What is our burn rate?", "Explain the difference between async and threading", HARD]
    scores = [complexity_of(text).score for text in texts]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)


@given(st.text(max_size=200), st.lists(st.sampled_from(["compare", "why", "then", "7", "`", ",", "plain"]), max_size=9))
def test_more_cues_never_make_a_query_simpler(text: str, cues: list[str]) -> None:
    """And the score stays within 0 and 1, the sum of its parts."""
    plain, cued = complexity_of(text), complexity_of(f"{text} {' '.join(cues)}")
    assert 0 <= plain.score <= cued.score + 1e-9 <= 1 + 1e-9
    assert cued.score == min(1.0, sum(part for _, part in cued.parts))
