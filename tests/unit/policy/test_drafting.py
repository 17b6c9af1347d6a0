"""Policies drafted from documents and from example queries."""

from __future__ import annotations

import random

import pytest

from trunkline_policy.document import parse_policy, to_yaml
from trunkline_policy.drafting import draft_keywords, draft_policy
from trunkline_policy.logical import LogicalStage
from trunkline_policy.model import CollectionPolicy, RoutingPolicy
from trunkline_policy.words import FUNCTION_WORDS

TOPICS = {
    "billing": "invoice refund payment receipt discount card currency fee",
    "travel": "flight hotel visa luggage passport airport ticket journey",
    "health": "doctor vaccine tablet fever hospital nurse allergy insurance",
}
COMMON = "how can i get the a my for with about please account number help today question"


def queries(seed: int, count: int = 60) -> dict[str, list[str]]:
    """Short queries: mostly common words, one or two of the topic."""
    chance = random.Random(seed)
    return {
        topic: [
            " ".join(
                chance.sample(
                    chance.sample(COMMON.split(), 4) + chance.sample(words.split(), chance.randint(1, 2)), k=5
                )
            )
            for _ in range(count)
        ]
        for topic, words in TOPICS.items()
    }


DOCUMENTS = {
    "billing": [
        "Paying an invoice\n\nAn invoice is due in 30 days. See FIN-204 and FIN-311.\n\n- How do I get a refund?\n",
        "Refunds and receipts\n\nA refund needs the receipt of the invoice. Call payment_gateway, see FIN-7.",
        "Discounts on an invoice\n\nThe payment_gateway knows every discount. See FIN-12.\nPage 2 of 3",
        "What is a receipt for?\n\nA receipt proves the payment. See FIN-99.\nPage 2 of 3",
    ],
    "travel": [
        "Booking a flight\n\nA flight needs a passport. Use travel.book or travel.cancel.\nPage 2 of 3",
        "Hotels near an airport\n\nThe hotel is booked with the flight, by travel.hotel.",
        "Losing luggage\n\nTell the airport where the luggage was lost; then travel.claim helps.",
        "What is a receipt for?\n\nKeep the boarding pass of each flight. See travel.keep.",
    ],
}


def test_keywords_are_words_that_only_one_target_has() -> None:
    """Words of all topics and words that say nothing are not proposed."""
    keywords = draft_keywords(queries(1), per_target=8)
    for topic, words in TOPICS.items():
        assert {one.text for one in keywords[topic]} <= set(words.split())
        assert len(keywords[topic]) >= 6
        assert all(one.weight >= 0.8 for one in keywords[topic])


def test_drafted_keywords_decide_new_queries() -> None:
    """The weights fit the logical stage: what it decides alone is right."""
    keywords = draft_keywords(queries(1))
    stage = LogicalStage(
        RoutingPolicy(version=2, collections={name: CollectionPolicy(keywords=one) for name, one in keywords.items()})
    )
    results = [(topic, stage.decide(text)) for topic, texts in queries(2).items() for text in texts]
    sure = [topic == result.candidates[0].name for topic, result in results if result.confidence >= 0.8]
    assert len(sure) >= 0.8 * len(results)
    assert sum(sure) >= 0.98 * len(sure)


def test_a_pair_of_words_is_proposed_where_it_says_more_than_its_words() -> None:
    """`credit card` tells two targets apart that both have the words."""
    texts = {
        "bank": ["block my credit card", "credit card limit", "new credit card please", "credit card fee"] * 3,
        "games": ["a card game", "extra credit points", "which card wins", "credit for points"] * 3,
    }
    assert "credit card" in {one.text for one in draft_keywords(texts)["bank"]}


def test_plain_leaves_out_pairs_with_function_words() -> None:
    """What documents have beside a word is an accident of their sentences."""
    texts = {"on": ["turn on the lamp", "turn on heating"] * 5, "off": ["turn off the lamp", "turn off heating"] * 5}
    assert "turn on" in {one.text for one in draft_keywords(texts)["on"]}
    assert draft_keywords(texts, plain=True) == {"on": (), "off": ()}


def test_rare_words_weigh_less_than_frequent_ones() -> None:
    """Two occurrences prove little."""
    texts = {"a": ["lamp"] * 30 + ["shade light"] * 2 + ["other"] * 30, "b": ["other chair"] * 60}
    weights = {one.text: one.weight for one in draft_keywords(texts, min_precision=0.1)["a"]}
    assert weights["lamp"] > weights["shade"]


def test_targets_count_alike_whatever_their_size() -> None:
    """A word of half of a small target's texts is the small target's, however many texts a large one has."""
    texts = {"small": ["lamp post", "wire"] * 5, "large": ["lamp"] * 20 + ["chair"] * 980}
    assert "lamp" in {one.text for one in draft_keywords(texts, min_precision=0.8)["small"]}


def test_a_word_that_one_document_repeats_is_no_keyword() -> None:
    """It must stand in two texts, where there are some."""
    texts = {"a": ["quark. " * 50 + "end", *["lamp light"] * 10], "b": ["chair"] * 12}
    assert {one.text for one in draft_keywords(texts)["a"]} == {"lamp", "light"}


def test_keywords_are_bounded_and_the_same_each_time() -> None:
    """In any order of the targets."""
    texts = queries(3)
    turned = dict(reversed(list(texts.items())))
    assert draft_keywords(texts) == draft_keywords(turned)
    assert all(len(one) == 2 for one in draft_keywords(texts, per_target=2).values())


@pytest.mark.parametrize(
    "texts",
    [{}, {"a": []}, {"a": [""]}, {"a": ["?!"], "b": ["the of a"]}, {"a": ["\x00" * 10]}, {"a": ["x" * 100_000]}],
)
def test_texts_without_words_give_no_keywords(texts: dict[str, list[str]]) -> None:
    """Nothing is made up."""
    assert draft_keywords(texts) == dict.fromkeys(texts, ())


def test_a_language_without_a_stemmer_is_refused() -> None:
    """As the policy's format does."""
    with pytest.raises(ValueError, match="stemmer"):
        draft_keywords({"a": ["x"]}, language="klingon")


def test_a_drafted_policy_is_a_policy() -> None:
    """It can be written, read and decided with."""
    policy = draft_policy(DOCUMENTS)
    assert parse_policy(to_yaml(policy)) == policy
    assert policy.strategy == "hybrid"
    stage = LogicalStage(policy)
    assert stage.decide("where is the refund of my invoice?").candidates[0].name == "billing"
    assert stage.decide("what is FIN-4711?").candidates[0].name == "billing"
    assert stage.decide("flights and hotels").candidates[0].name == "travel"


def test_keywords_of_documents_are_no_function_words() -> None:
    """They would match everything."""
    policy = draft_policy(DOCUMENTS)
    words = {word for one in policy.collections.values() for keyword in one.keywords for word in keyword.text.split()}
    assert not words & FUNCTION_WORDS


def test_identifiers_become_patterns() -> None:
    """Families of numbers, of dotted names, and names that one collection has."""
    policy = draft_policy(DOCUMENTS)
    assert [one.regex for one in policy.collections["billing"].patterns] == [r"\b(?:FIN)-\d+\b"]
    assert [one.regex for one in policy.collections["travel"].patterns] == [r"\b(?:travel)\.\w+"]


def test_examples_and_descriptions_are_sentences_of_the_documents() -> None:
    """Questions first; what stands in two collections is an example of none; page numbers are none."""
    policy = draft_policy(DOCUMENTS, descriptions={"travel": "Trips."})
    billing = policy.collections["billing"]
    assert billing.examples[0] == "How do I get a refund?"
    assert all(any(one in text for text in DOCUMENTS["billing"]) for one in (*billing.examples, billing.description))
    assert not any("Page 2" in one or one.startswith("What is a receipt") for one in billing.examples)
    assert policy.collections["travel"].description == "Trips."


def test_only_one_to_a_thousand_collections_make_a_policy() -> None:
    """As the format has it."""
    for count in (0, 1_001):
        with pytest.raises(ValueError, match="1 to 1000"):
            draft_policy({f"c{number}": [] for number in range(count)})
    assert len(draft_policy({f"c{number}": [f"w{number} of c"] for number in range(1_000)}).collections) == 1_000
