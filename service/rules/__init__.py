"""The rules: their language, how they are read and compiled, and the rulebook that judges events by them.

Everything here is pure but `files.py`, which reads rule files, and `commands.py`, which publishes them.
"""

from service.rules.document import document_version, parse_document, write_document
from service.rules.evidence import Evidence
from service.rules.files import RuleFile, check_sources, find_rule_files, read_rule_files
from service.rules.language import Condition, Rule
from service.rules.rulebook import Evaluation, PlannedEffect, Rulebook, RuleResult
from service.rules.scope import Subject
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
    "check_sources",
    "document_version",
    "find_rule_files",
    "parse_document",
    "read_rule_files",
    "write_document",
]
