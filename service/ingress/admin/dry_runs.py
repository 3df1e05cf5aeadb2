"""/dry-runs: what rules would say, without acting: of a stored event, a record fetched now, or a posted one."""

from typing import Annotated, Any

from litestar import Controller, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from service.dry_runs import (
    LAST_EVENTS_MAX,
    Comparison,
    DryRun,
    compare_last,
    last_events,
    load_rulebook,
    made_event,
    run_event,
    run_record,
    run_subject,
    stored_event,
)
from service.errors import ConfigError
from service.events import Change, Event, RecordRef
from service.ingress.admin.parts import AdminParts, Parts
from service.ingress.admin.problems import Fault, Invalid, invalid, not_found
from service.rules import Rule, Rulebook, Subject, write_document
from service.rules.compiling import by_name, compile_rule
from service.rules.examples import read_raw, read_record
from service.rules.language import RuleType


class Lookup(Struct, frozen=True, forbid_unknown_fields=True):
    """A record to fetch now, by the account of waybill.yaml, the kind, and the platform's own id."""

    platform: str
    kind: RuleType
    id: Annotated[str, Meta(min_length=1, max_length=256)]


class PostedRecord(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A record in our own shape, as rules see it, and as it was decided last."""

    kind: RuleType
    record: dict[str, Any]
    raw: Any = None
    previous: dict[str, Any] | None = None


class Candidate(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rules to try: these instead of all in force, or a former version; left out, those in force."""

    rules: tuple[Rule, ...] | None = None
    version: str | None = None


class DryRunRequest(Candidate, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to judge: exactly one of `event` (the id of a stored one), `fetch` and `post`."""

    event: str | None = None
    fetch: Lookup | None = None
    post: PostedRecord | None = None
    change: Change = "updated"
    source: str = ""


class CompareRequest(Candidate, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many of the last stored events to judge by the candidate and by the rules in force."""

    last: Annotated[int, Meta(ge=1, le=LAST_EVENTS_MAX)] = 20


class DryRuns(Controller):
    """Dry runs. They hold whole records and rendered effects, and so take an operator."""

    path = "/dry-runs"
    tags = ("Rules",)

    @post("/", role="operator", status_code=200)
    async def dry_run(self, data: JSONBody[DryRunRequest], parts: Parts) -> DryRun:
        """Judge one record and explain every node."""
        chosen = [name for name in ("event", "fetch", "post") if getattr(data, name) is not None]
        if len(chosen) != 1:
            raise Invalid([Fault("", f"{len(chosen)} of event, fetch and post are there", "send exactly one")])
        rulebook = await _rulebook(parts, data)
        if data.event is not None:
            event = await _event(parts, data.event)
            return await run_event(rulebook, parts.store_of(event.record.lane), parts.platforms, event)
        if data.fetch is not None:
            ref = RecordRef(data.fetch.platform, data.fetch.kind, data.fetch.id)
            store = parts.store_of(ref.lane)
            return await run_record(
                rulebook, store, parts.platforms, ref, change=data.change, source=data.source
            )  # fmt: skip
        return run_subject(rulebook, _posted(rulebook, data))

    @post("/compare", role="operator", status_code=200)
    async def compare(self, data: JSONBody[CompareRequest], parts: Parts) -> Comparison:
        """Judge the last stored events by a candidate and by the rules in force, and tell the differences."""
        live, candidate = await _rulebook(parts, Candidate()), await _rulebook(parts, data)
        events = await last_events(parts.stores, data.last)
        return await compare_last(live, candidate, parts.store_of, parts.platforms, events)


async def _rulebook(parts: AdminParts, wanted: Candidate) -> Rulebook:
    if wanted.rules is not None:
        # One by one at first, so that a mistake is told by the place of its rule in what was sent.
        names = by_name(parts.actions)
        for index, rule in enumerate(wanted.rules):
            try:
                compile_rule(rule, names, "rule")
            except ConfigError as error:
                raise invalid(error, "rule", f"/rules/{index}") from None
        return await load_rulebook(write_document((), wanted.rules), parts.actions)
    shelf = parts.store.rulebook
    if wanted.version is not None:
        document = await shelf.document(wanted.version) if wanted.version.isalnum() else None
    else:
        current = await shelf.current()
        document = current[1] if current else None
    if document is None:
        raise not_found(f"version {wanted.version[:64]}" if wanted.version else "rulebook in force")
    return await load_rulebook(document, parts.actions)


async def _event(parts: AdminParts, event_id: str) -> Event:
    # Whatever else stands in a path is no id, and could name another key.
    if event_id.isalnum():
        for store in parts.stores:
            event = await stored_event(store, event_id)
            if event is not None:
                return event
    raise not_found(f"event {event_id[:64]}")


def _posted(rulebook: Rulebook, data: DryRunRequest) -> Subject:
    posted = data.post
    assert posted is not None  # the caller's branch
    try:
        record = read_record(posted.kind, posted.record, "post.record")
        event = made_event(RecordRef("posted", posted.kind, record.id), data.change, data.source)
        previous = None
        if posted.previous is not None:
            before = read_record(posted.kind, {"id": record.id} | posted.previous, "post.previous")
            previous = rulebook.remember(Subject(event, before))
    except ConfigError as error:
        raise invalid(error) from None
    return Subject(event, record, read_raw(posted.raw), previous)
