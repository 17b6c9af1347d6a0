"""Words that say nothing about what a text is about."""

from __future__ import annotations

from typing import Final

from trunkline_policy.words import FUNCTION_WORDS

_MORE: Final = (
    "above after again against also am anybody anyone anything aren before being below between both cannot couldn d "
    "didn doesn doing don done down during each either else etc ever every few further gets getting give given "
    "gives go goes going got hadn hasn haven having he hello help her here hers herself hey hi him himself his "
    "however im isn itself ive kind kindly know let lets like ll m many may maybe might mine more most much must "
    "myself need needed needs neither never nor now off often once one ones only other others ought ours ourselves "
    "over own per possible quite rather re really s same say see shall she shouldn show since somebody someone "
    "something such sure t take tell thank thanks theirs themselves thing things those through thus too under until "
    "upon use used uses using usually ve very via want wanted wants wasn way ways weren whatever whether while wish "
    "within without won wouldn yes yet yours yourself yourselves"
)
"""What else people put around a question, and what apostrophes leave behind."""

STOP_WORDS: Final = FUNCTION_WORDS | frozenset(_MORE.split())
"""English ones. Those of other languages are found by where they occur: everywhere."""
