"""Rules: their syntax, the compiler, and the rulebook that evaluates events.

All modules are pure, except `rule_files`, which reads files, and `publishing`, which writes to the store.
"""

from service.rules.evidence import Evidence
from service.rules.rule_files import (
    RuleFile,
    check_destinations,
    check_operations,
    check_sources,
    find_rule_files,
    read_rule_files,
)
from service.rules.rulebook import Evaluation, PlannedEffect, Rulebook, RuleResult
from service.rules.rulebook_document import document_version, parse_document, write_document
from service.rules.scope import Subject
from service.rules.syntax import Condition, Rule
from service.rules.trace import Step, Trace

__all__ = [
    "Condition",
    "Evaluation",
    "Evidence",
    "PlannedEffect",
    "Rule",
    "RuleFile",
    "RuleResult",
    "Rulebook",
    "Step",
    "Subject",
    "Trace",
    "check_destinations",
    "check_operations",
    "check_sources",
    "document_version",
    "find_rule_files",
    "parse_document",
    "read_rule_files",
    "write_document",
]
