"""Every bound of the rules in one place: what a rule file may ask for, and what judging one event may cost.

Bounds on the language are checked when a rulebook is loaded; bounds on data (`elements`, `text`, `inputs`) hold while
an event is judged, where going beyond them makes the condition unknown or the verdict an error, never slow.
"""

DOCUMENT_BYTES_MAX = 8 * 1024 * 1024
RULES_MAX = 5_000

CONDITION_DEPTH_MAX = 16
CONDITION_NODES_MAX = 500
QUANTIFIER_DEPTH_MAX = 2
LITERALS_MAX = 1_000
FIELD_CHARS_MAX = 200

ELEMENTS_MAX = 10_000
"""Elements of a list that a quantifier looks at; a longer list is unknown."""

NESTED_ELEMENTS_MAX = 100
"""The same for a list inside an element, so that two levels cost at most a million looks."""

PATTERN_CHARS_MAX = 200
PATTERN_BYTES_MAX = 1024 * 1024
"""Memory of a compiled pattern, with what it remembers of texts it has seen."""
PATTERN_INSTRUCTIONS_MAX = 3_000
"""Instructions of a compiled pattern: each can cost a step for each byte of a text, so a text costs 1 ms at most."""

PATTERN_TEXT_CHARS_MAX = 512
"""A longer text is not held against a pattern; the condition is unknown."""

ACTIONS_MAX = 20
TEMPLATE_DEPTH_MAX = 16
TEMPLATE_NODES_MAX = 500
TEXT_BYTES_MAX = 64 * 1024
INPUTS_BYTES_MAX = 256 * 1024

TRACE_STEPS_MAX = 10_000
ACTUAL_CHARS_MAX = 200
