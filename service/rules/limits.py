"""Limits of the rules: the size of rule files, and the cost of evaluating one event.

Limits on rules are checked when a rulebook is loaded. Limits on data (elements, text, inputs) apply during evaluation.
If data exceeds a limit, the condition is unknown or the result is an error.
"""

DOCUMENT_BYTES_MAX = 8 * 1024 * 1024
RULES_MAX = 5_000

CONDITION_DEPTH_MAX = 16
CONDITION_NODES_MAX = 500
QUANTIFIER_DEPTH_MAX = 2
LITERALS_MAX = 1_000
FIELD_CHARS_MAX = 200

EXPRESSION_CHARS_MAX = 1_000
FUNCTIONS_MAX = 5
"""Functions of one expression."""
ARGUMENTS_MAX = 30
DECIMAL_PLACES_MAX = 10

ELEMENTS_MAX = 10_000
"""Maximum length of a list in a quantifier; for a longer list the result is unknown."""

NESTED_ELEMENTS_MAX = 100
"""The same limit for a list inside an element, so that two levels cost at most a million comparisons."""

PATTERN_CHARS_MAX = 200
PATTERN_BYTES_MAX = 1024 * 1024
"""Memory of a compiled pattern, including its cache of states."""
PATTERN_INSTRUCTIONS_MAX = 3_000
"""Instructions of a compiled pattern. Each costs at most one step per byte of text, so one text costs at most 1 ms."""

PATTERN_TEXT_CHARS_MAX = 512
"""Maximum length of a text that is matched; for a longer text the condition is unknown."""

LOOKUPS_MAX = 8
"""Look-ups in `with` of one rule."""
LOOKUP_ELEMENTS_MAX = 50
"""Elements of a list for which `each` looks up records; for a longer list they are unknown."""
LOOKUP_RECORDS_MAX = 50
"""Records that are looked up for one event; further ones are unknown."""
LOOKUP_BYTES_MAX = 16 * 1024 * 1024
"""Bytes of all responses to the look-ups of one event; the records of further ones are unknown."""
LOOKUP_SECONDS_MAX = 20.0
"""Time of all look-ups of one attempt."""
LOOKUPS_AT_ONCE_MAX = 4
"""Concurrent look-ups of one event."""
LOOKUP_ID_CHARS_MAX = 256

ACTIONS_MAX = 20
TEMPLATE_DEPTH_MAX = 16
TEMPLATE_NODES_MAX = 500
TEXT_BYTES_MAX = 64 * 1024
INPUTS_BYTES_MAX = 256 * 1024

TRACE_STEPS_MAX = 10_000
ACTUAL_CHARS_MAX = 200
