"""What a policy may hold at most; every bound of the format in one place."""

from __future__ import annotations

from typing import Final

MAX_POLICY_BYTES: Final = 2 * 1024 * 1024
"""Bytes of a policy's text: 15,000 example queries of 60 characters fit."""
MAX_DEPTH: Final = 16
"""Levels of nesting in the YAML; the format needs 7, and the C parser recurses."""
MAX_COLLECTIONS: Final = 1_000
MAX_RULES: Final = 256
MAX_TEMPLATES: Final = 64
MAX_MODEL_CLASSES: Final = 3
MAX_EXPERIMENTS: Final = 8
MAX_GOLDEN: Final = 500
"""Labelled queries of the policy's own golden set."""

MAX_KEYWORDS: Final = 128
"""Keywords of one target."""
MAX_ALL_KEYWORDS: Final = 20_000
"""Keywords over all targets."""
MAX_PATTERNS: Final = 32
"""Patterns of one target."""
MAX_ALL_PATTERNS: Final = 512
"""Patterns over all targets and rules: they are compiled into one automaton."""
MAX_EXAMPLES: Final = 2_000
"""Example queries of one target."""
MAX_ALL_EXAMPLES: Final = 20_000
"""Example queries over all targets."""
MAX_OUT_OF_SCOPE: Final = 1_000
"""Example queries that belong nowhere."""
PATTERN_MEMORY_BYTES: Final = 256 * 1024
"""Memory that RE2 may use for one pattern; without it 256 characters can ask for megabytes."""
ALL_PATTERNS_MEMORY_BYTES: Final = 4 * 1024 * 1024
"""Memory that RE2 may use for a policy's patterns together."""
MAX_TEMPLATE_CHARS: Final = 8_192
MAX_VARIABLES: Final = 32
MAX_FEW_SHOT: Final = 16
MAX_CHOSEN: Final = 64
"""Collections that one decision may name."""
