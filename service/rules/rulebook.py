"""The rulebook: all active rules, compiled, and `evaluate`, which evaluates them for one event.

Evaluation is pure: its input is a subject and a time, its output are results and planned effects. A bad record causes
the result `unknown` or `error`, never an exception, so that it does not stop the other rules.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, Struct, structs

from service.actions import Action, RetrySafety
from service.errors import PermanentError
from service.events import ChangeType, Event, RecordRef
from service.mistakes import Mistakes
from service.records import RECORDS, Record, RecordTypes
from service.rules.applying_rules import applies_to, evaluation_order
from service.rules.compiler.conditions import Evaluator
from service.rules.compiler.rule import CompiledRule, actions_by_name, compile_rule
from service.rules.compiler.templates import RenderError
from service.rules.fields import Field
from service.rules.limits import INPUTS_BYTES_MAX
from service.rules.lookups import LookupFailed, LookupPending, LookupRequest, LookupUnavailable
from service.rules.previous_state import encode_previous
from service.rules.rulebook_document import document_version, parse_document
from service.rules.scope import Scope, Subject, Value
from service.rules.syntax import Rule
from service.rules.trace import FirstUnknown, Trace

RuleVerdict = Literal["matched", "unmatched", "unknown", "error"]

_ENCODER = msgspec.msgpack.Encoder()


class RuleResult(Struct, frozen=True):
    """The result of one rule. `reason` explains `unknown` and `error` by field path, without values."""

    rule_id: str
    result: RuleVerdict
    reason: str | None = None


class PlannedEffect(Struct, frozen=True):
    """One action to run. `inputs` is rendered plain data that msgpack can encode."""

    rule_id: str
    action_id: str
    action_type: str
    repeat: RetrySafety
    inputs: dict[str, Any]
    ordered: bool = True
    latest_only: bool = False


class Evaluation(Struct, frozen=True):
    """The results of all rules for one event, ordered by `sort`, then `id`.

    With `pending` records to look up, the results are not final: the rules are evaluated again after the look-ups.
    """

    rules_evaluated: int
    verdicts: tuple[RuleResult, ...]
    effects: tuple[PlannedEffect, ...]
    pending: Sequence[LookupRequest] = ()


class _Entry(Struct, frozen=True):
    """A compiled rule with its prebuilt results without a reason."""

    compiled: CompiledRule
    matched: RuleResult
    unmatched: RuleResult


class _RuleIndex(Struct, frozen=True):
    """The enabled rules for one record kind and change type: by source, and `rest` for sources that no rule names."""

    by_source: dict[str, tuple[_Entry, ...]]
    rest: tuple[_Entry, ...]
    nodes_by_source: dict[str, int]
    nodes_of_rest: int
    readers: frozenset[str]
    """The sources for which a rule reads the payload of the delivery."""
    rest_reads: bool


class Rulebook:
    """All active rules. `version` identifies their content. `api_rules` are the ids that the admin API may change."""

    def __init__(
        self, version: str, compiled: Sequence[CompiledRule], api_rules: frozenset[str], records: RecordTypes
    ) -> None:
        ordered = sorted(compiled, key=lambda each: evaluation_order(each.rule))
        self.version = version
        self.rules: tuple[Rule, ...] = tuple(each.rule for each in ordered)
        self.api_rules = api_rules
        self.records = records
        self._indexes = _index(ordered, records)
        self._previous_fields: dict[str, dict[str, Field]] = defaultdict(dict)
        for each in ordered:
            if each.rule.enabled:
                self._previous_fields[each.rule.type].update(each.previous_fields)

    @classmethod
    def load(cls, document: bytes, actions: Sequence[type[Action]], records: RecordTypes = RECORDS) -> "Rulebook":
        """Compile a stored document. `records` are the types of records that rules may be about.

        Raises:
            ConfigErrors: it is not a rulebook document, or all mistakes in its rules, each with the rule and the path.
        """
        parsed = parse_document(document)
        names = actions_by_name(actions)
        compiled: list[CompiledRule] = []
        mistakes = Mistakes()
        for index, rule in enumerate(parsed.rules):
            before = len(mistakes.found)
            with mistakes.collect():
                compiled.append(compile_rule(rule, names, f"rules[{index}]", records))
            for mistake in mistakes.found[before:]:
                mistake.rule_id = rule.id
        mistakes.raise_all()
        return cls(document_version(document), compiled, frozenset(rule.id for rule in parsed.api_rules), records)

    def evaluate(
        self, subject: Subject, now: datetime, trace: Trace | None = None, only: Collection[str] | None = None
    ) -> Evaluation:
        """Evaluate every rule for this record kind, change type and source, or of them those with an id in `only`.

        `now` must have a time zone.
        """
        scope = Scope.of(subject, now)
        index = self._indexes[subject.event.record.kind, subject.event.change]
        verdicts: list[RuleResult] = []
        effects: list[PlannedEffect] = []
        pending: list[LookupRequest] = []
        entries = index.by_source.get(subject.event.source, index.rest)
        if only is not None:
            entries = [entry for entry in entries if entry.compiled.rule.id in only]
        for entry in entries:
            rule = entry.compiled.rule
            # The names of look-ups differ from rule to rule: cached values of their fields are those of one rule.
            own = structs.replace(scope, known={}) if rule.with_ else scope
            try:
                verdict = _evaluate(entry, own, trace)
                if verdict.result == "matched":
                    verdict = _plan(entry, own, verdict, effects)
            except LookupPending as found:
                pending += found.requests
                if rule.stop:  # it may match, and then no later rule is evaluated
                    break
                continue
            verdicts.append(verdict)
            if rule.stop and verdict.result == "matched":
                break
        return Evaluation(len(verdicts), tuple(verdicts), tuple(effects), tuple(pending))

    def gone_record(self, ref: RecordRef) -> Record:
        """Return a record with its id alone, as rules see a record that is gone.

        Raises:
            PermanentError: `unknown_kind`: the kind is not declared.
        """
        if ref.kind not in self.records:
            raise PermanentError("unknown_kind", f"waybill.yaml declares no kind {ref.kind} under records:")
        return self.records[ref.kind](id=ref.id)

    def count_nodes(self, event: Event) -> int:
        """Return the number of nodes of all conditions and actions for this record kind, change type and source."""
        index = self._indexes[event.record.kind, event.change]
        return index.nodes_by_source.get(event.source, index.nodes_of_rest)

    def reads_delivery(self, event: Event) -> bool:
        """Return whether a rule for this record kind, change type and source reads the payload of the delivery."""
        index = self._indexes.get((event.record.kind, event.change))
        if index is None:
            return False
        return event.source in index.readers if event.source in index.by_source else index.rest_reads

    def previous_fields(self, subject: Subject) -> dict[str, Value]:
        """Return the fields that rules compare with `previous`, encoded for the next decision on this record.

        The result contains no personal data: such fields are encoded as digests.
        """
        scope = Scope.of(subject, datetime.min)  # noqa: DTZ901 - no field depends on the time
        encoded: dict[str, Value] = {}
        for path, field in self._previous_fields.get(subject.event.record.kind, {}).items():
            value = _encode_field(path, field, scope)
            if value is not UNSET:
                encoded[path] = value
        return encoded


def _encode_field(path: str, field: Field, scope: Scope) -> Value:
    try:
        value = encode_previous(path, field.read(scope), personal=field.personal)
        # Encode each value separately: one that cannot be encoded must not prevent the storage of the others.
        _ENCODER.encode(None if value is UNSET else value)
    except Exception:  # noqa: BLE001 - a value that cannot be read or encoded is not stored
        return UNSET
    return value


def _index(compiled: Sequence[CompiledRule], records: RecordTypes) -> dict[tuple[str, ChangeType], _RuleIndex]:
    entries = [
        _Entry(each, RuleResult(each.rule.id, "matched"), RuleResult(each.rule.id, "unmatched")) for each in compiled
    ]
    changes: tuple[ChangeType, ...] = get_args(ChangeType)
    return {(kind, change): _build_index(entries, kind, change) for kind in records for change in changes}


def _build_index(entries: Sequence[_Entry], kind: str, change: ChangeType) -> _RuleIndex:
    matching = [
        (entry, entry.compiled.rule.sources) for entry in entries if applies_to(entry.compiled.rule, kind, change)
    ]
    names = {name for _, sources in matching for name in sources}
    by_source = {name: tuple(entry for entry, sources in matching if not sources or name in sources) for name in names}
    rest = tuple(entry for entry, sources in matching if not sources)
    return _RuleIndex(
        by_source,
        rest,
        {name: _nodes(entries) for name, entries in by_source.items()},
        _nodes(rest),
        frozenset(name for name, entries in by_source.items() if _reads_delivery(entries)),
        _reads_delivery(rest),
    )


def _reads_delivery(entries: Sequence[_Entry]) -> bool:
    return any(entry.compiled.reads_delivery for entry in entries)


def _nodes(entries: Sequence[_Entry]) -> int:
    return sum(entry.compiled.nodes for entry in entries)


def _evaluate(entry: _Entry, scope: Scope, trace: Trace | None) -> RuleResult:
    """Evaluate one rule. `on_unknown` of the rule determines the result of an unknown condition."""
    compiled = entry.compiled
    rule = compiled.rule
    if trace is not None and not trace.begin(rule.id):
        trace = None
    if compiled.when is None:
        return entry.matched
    try:
        truth = compiled.when(scope, scope, trace)
        if truth is not None:
            return entry.matched if truth else entry.unmatched
        reason = _unknown_reason(compiled.when, scope)
    except LookupPending:
        raise
    except LookupFailed as error:
        return RuleResult(rule.id, "error", str(error))
    except Exception as error:  # noqa: BLE001 - a failing condition is a result and must not stop the other rules
        return RuleResult(rule.id, "error", f"the condition failed: {type(error).__name__}")
    result: dict[str, RuleVerdict] = {"skip": "unknown", "error": "error", "match": "matched"}
    return RuleResult(rule.id, result[rule.on_unknown], reason)


def _unknown_reason(when: Evaluator, scope: Scope) -> str:
    """Find the first unknown comparison with a second evaluation. Unknown is rare, so the first one has no trace."""
    trace = FirstUnknown()
    when(scope, scope, trace)
    step = trace.unknown()
    return f"{step.reason}, at {step.path}" if step else "a condition is unknown"


def _plan(entry: _Entry, scope: Scope, verdict: RuleResult, effects: list[PlannedEffect]) -> RuleResult:
    """Render all actions of a matching rule, or none: if one action cannot be rendered, the rule is an error."""
    rule = entry.compiled.rule
    planned: list[PlannedEffect] = []
    if rule.on_unknown == "match" and rule.with_:
        scope = structs.replace(scope, known={}, lookups=scope.lookups.lenient())
    for action in entry.compiled.actions:
        try:
            inputs = action.render(scope)
            # Encoding also detects values that msgpack cannot encode, before anything is stored.
            if len(_ENCODER.encode(inputs)) > INPUTS_BYTES_MAX:
                raise RenderError(f"the inputs are larger than {INPUTS_BYTES_MAX} bytes")  # noqa: TRY301 - handled below
        except LookupPending:
            raise
        except LookupUnavailable as error:
            result: RuleVerdict = "unknown" if rule.on_unknown == "skip" else "error"
            return RuleResult(rule.id, result, f"action {action.id}: {error}")
        except (RenderError, LookupFailed) as error:
            return RuleResult(rule.id, "error", f"action {action.id}: {error}")
        except Exception as error:  # noqa: BLE001 - actions of other packages may raise anything
            return RuleResult(rule.id, "error", f"action {action.id}: {type(error).__name__}")
        planned.append(
            PlannedEffect(rule.id, action.id, action.do, action.repeat, inputs, action.ordered, action.latest_only)
        )
    effects.extend(planned)
    return verdict
