"""/dry-runs: evaluate rules without effects on a stored event, a record fetched now, or a posted record."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from litestar import Controller, post
from litestar.params import JSONBody
from msgspec import UNSET, Meta, Struct, structs

from service.compute_thread import run_in_thread
from service.config.decoding import did_you_mean
from service.errors import ConfigError
from service.events import EVENT_KIND, ChangeType, RecordRef
from service.ingress.admin.dependencies import Operations, RecordName
from service.ingress.admin.problems import FieldError, ValidationProblem, invalid, pointer_of
from service.management.dry_run import LAST_EVENTS_MAX, Candidate, RulebookComparison
from service.management.dry_run_result import DryRun, dry_run_subject
from service.management.operations import AdminOperations
from service.management.stored_events import synthetic_event
from service.rules import Rulebook, Subject
from service.rules.compiler.rule import actions_by_name, compile_rule
from service.rules.lookup_checks import check_lookups
from service.rules.posted_lookups import PostedLookup, read_lookups
from service.rules.rule_records import read_record
from service.rules.rule_tests import read_raw
from service.rules.syntax import RuleType


class PostedRecord(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Record as rules see it, `previous`, its last decided state, and `lookups`, the records that rules look up.

    `delivery` is the payload of the delivery and `headers` are its stored headers, as rules read them under
    `delivery.`. A record of the kind `event` may be left out. The account is named `posted`.
    """

    kind: RuleType
    record: dict[str, Any] = {}
    delivery: Any = UNSET
    headers: dict[str, str] = {}
    raw: Any = None
    previous: dict[str, Any] | None = None
    lookups: tuple[PostedLookup, ...] = ()


class DryRunRequest(Candidate, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Record to evaluate: exactly one of `event`, `record` and `post`.

    `event` is the id of a stored event, or a unique prefix of it. `record` is fetched now: ACCOUNT:KIND:ID.
    """

    event: str | None = None
    record: RecordName | None = None
    post: PostedRecord | None = None
    change: ChangeType = "updated"
    source: str = ""


class CompareRequest(Candidate, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Number of the newest stored events to evaluate by the candidate and by the active rules."""

    last: Annotated[int, Meta(ge=1, le=LAST_EVENTS_MAX)] = 20


class DryRuns(Controller):
    """Dry runs. They require the role operator, because results contain records and rendered effects."""

    path = "/dry-runs"
    tags = ("Rules",)

    @post("/", role="operator", status_code=200)
    async def dry_run(self, data: JSONBody[DryRunRequest], operations: Operations) -> DryRun:
        """Evaluate rules on one record, with the result of every node."""
        chosen = [name for name in ("event", "record", "post") if getattr(data, name) is not None]
        if len(chosen) != 1:
            raise ValidationProblem(
                [FieldError("", f"{len(chosen)} of event, record and post are set", "send exactly one")]
            )
        _check_rules(operations, data)
        if data.event is not None:
            try:
                return await operations.dry_run_event(data, data.event)
            except ConfigError as error:
                raise _point_to(error, {"record": "/event", "platform": "/event"}) from None
        if data.record is not None:
            try:
                ref = RecordRef.parse(data.record, "record")
                _check_kind(operations, ref.kind, "/record")
                return await operations.dry_run_record(data, ref, data.change, data.source)
            except ConfigError as error:
                raise _point_to(error, {"platform": "/record"}) from None
        posted = data.post
        assert posted is not None  # exactly one is set
        _check_kind(operations, posted.kind, "/post/kind")
        rulebook = await operations.load_candidate(data)
        return await run_in_thread(lambda: dry_run_subject(rulebook, _posted(rulebook, posted, data)))

    @post("/compare", role="operator", status_code=200)
    async def compare(self, data: JSONBody[CompareRequest], operations: Operations) -> RulebookComparison:
        """Evaluate the newest stored events by a candidate and by the active rules, and return the differences."""
        _check_rules(operations, data)
        return await operations.compare_rules(data, data.last)


def _check_rules(operations: AdminOperations, candidate: Candidate) -> None:
    """Compile the rules one by one, so that an error points to its rule in the request."""
    names = actions_by_name(operations.installation.actions())
    for index, rule in enumerate(candidate.rules or ()):
        try:
            compile_rule(rule, names, "rule", operations.installation.records())
            for mistake in check_lookups(operations.installation.config(), rule, "rule"):
                raise mistake
        except ConfigError as error:
            raise invalid(error, "rule", f"/rules/{index}") from None


def _check_kind(operations: AdminOperations, kind: str, pointer: str) -> None:
    """Check that rules can be about a record kind: a built-in one, or one that waybill.yaml declares."""
    records = operations.installation.records()
    if kind not in records:
        raise ValidationProblem([FieldError(pointer, f"no record kind {kind!r}", did_you_mean(kind, records))])


def _point_to(error: ConfigError, pointers: Mapping[str, str]) -> ValidationProblem:
    """Return a 422 for all mistakes of an error. `pointers` maps paths that are not in the request."""
    return ValidationProblem(
        [FieldError(pointers.get(each.path, pointer_of(each.path)), each.reason, each.fix) for each in error.mistakes]
    )


def _posted(rulebook: Rulebook, posted: PostedRecord, data: DryRunRequest) -> Subject:
    try:
        given = {"id": "posted"} | posted.record if posted.kind == EVENT_KIND else posted.record
        record = read_record(rulebook.records, posted.kind, given, "post.record")
        event = structs.replace(
            synthetic_event(RecordRef("posted", posted.kind, record.id), data.change, data.source),
            body=b"" if posted.delivery is UNSET else msgspec.json.encode(posted.delivery),
            headers={name.lower(): value for name, value in posted.headers.items()},
        )
        previous = None
        if posted.previous is not None:
            before = read_record(rulebook.records, posted.kind, {"id": record.id} | posted.previous, "post.previous")
            previous = rulebook.previous_fields(Subject(event, before))
        lookups = read_lookups(posted.lookups, event.record.platform, rulebook.records, "post.lookups")
    except ConfigError as error:
        raise invalid(error) from None
    return Subject(event, record, read_raw(posted.raw), previous, lookups=lookups)
