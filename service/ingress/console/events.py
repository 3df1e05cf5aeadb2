"""/events: list, search, one event with its tabs, replay and dry run."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import quote, urlsplit

from litestar import Controller, Request, get, post
from litestar.params import FromPath, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage
from msgspec import structs

from service.errors import Rejection
from service.events import JsonValue, RecordRef
from service.ingress.admin.dependencies import Operations
from service.ingress.console.event_fields import CHOICES, read_filter
from service.ingress.console.forms import Form
from service.ingress.console.log_lines import FoundLines, event_log_url, read_event_lines
from service.ingress.console.pages import Page, redirect, render_page
from service.ingress.live import stream_live
from service.management.dry_run import Candidate
from service.management.event_filter import Cursor, EventFilter
from service.management.event_search import EventPage
from service.management.event_view import EventView
from service.management.live import LiveBatch
from service.management.operations import AdminOperations

PAGE_EVENTS = 50
SEARCH_EVENTS_MAX = 100
NEIGHBOURS_MAX = 20
TABS = ("timeline", "delivery", "record", "rules", "effects", "log", "related")

After = Annotated[str | None, QueryParameter(max_length=100)]
Tab = Annotated[str, QueryParameter(max_length=20)]
Raw = Annotated[bool, QueryParameter()]


class EventPages(Controller):
    """Events."""

    path = "/events"

    @get("/", role="viewer")
    async def show_events(self, request: Request[Any, Any, Any], operations: Operations, after: After = None) -> Page:
        """Show a page of events that match the filter of the query."""
        filters = read_filter(request.query_params)
        page = EventPage([])
        if not filters.errors:
            page = await operations.list_events(filters.event_filter, PAGE_EVENTS, cursor_of(after))
        return render_page(
            request,
            "events",
            active="events",
            page=page,
            filters=filters,
            choices=CHOICES,
            sources=sorted(operations.installation.config().sources),
            older=f"/events?{filters.query(after=page.next)}" if page.next else None,
            is_first=after is None,
            is_live=after is None and not filters.errors and not filters.event_filter.until,
            fields=filters.fields,
            errors=filters.errors,
        )

    @get("/live", role="viewer", media_type="text/event-stream")
    async def follow_events(self, request: Request[Any, Any, Any], operations: Operations) -> ServerSentEvent:
        """Send `changed` when an event that matches the filter of the query arrived or ended."""
        event_filter = structs.replace(read_filter(request.query_params).event_filter, since=None)
        return await stream_live(request, operations, event_filter, _render_changed)

    @get("/search", role="viewer")
    async def search(
        self,
        request: Request[Any, Any, Any],
        operations: Operations,
        q: Annotated[str, QueryParameter(max_length=500)] = "",
    ) -> Page:
        """Find events by any id; show the only one at once."""
        text = q.strip()
        if not text:
            return redirect(request, "/events")
        found = await operations.search_events(text, SEARCH_EVENTS_MAX)
        if len(found.items) == 1 and found.complete:
            return redirect(request, f"/events/{quote(found.items[0].event.id, safe='')}")
        return render_page(request, "search", active="events", text=text, found=found)

    @get("/{event_id:str}", role="viewer")
    async def show_event(
        self,
        request: Request[Any, Any, Any],
        event_id: FromPath[str],
        operations: Operations,
        tab: Tab = TABS[0],
        raw: Raw = False,
    ) -> Page:
        """Show one event."""
        return await _event_page(request, operations, event_id, tab=tab, raw=raw)

    @post("/{event_id:str}/replay", role="operator")
    async def replay(
        self, request: Request[Any, Any, Any], event_id: FromPath[str], operations: Operations, form: Form
    ) -> Page:
        """Replay an event, or report the effect of a replay."""
        dry_run, rerun = form.is_checked("dry_run"), form.is_checked("rerun_done")
        change = await operations.replay_event(event_id, rerun_done=rerun, dry_run=dry_run)
        return await _event_page(request, operations, event_id, change=change)

    @post("/{event_id:str}/discard", role="operator")
    async def discard(
        self, request: Request[Any, Any, Any], event_id: FromPath[str], operations: Operations, form: Form
    ) -> Page:
        """Discard a dead letter."""
        reason = form.required("reason", 500, "Give a reason. It is stored with the event.")
        change = None if form.errors else await operations.discard_event(event_id, reason)
        return await _event_page(request, operations, event_id, change=change, errors=form.errors, fields=form.fields)

    @post("/{event_id:str}/dry-run", role="operator")
    async def dry_run(
        self, request: Request[Any, Any, Any], event_id: FromPath[str], operations: Operations, form: Form
    ) -> Page:
        """Fetch the record now and evaluate the active rules on it, without effects."""
        del form  # its token was checked
        result = await operations.dry_run_event(Candidate(), event_id)
        return await _event_page(request, operations, event_id, tab="record", dry_run=result)


def _render_changed(batch: LiveBatch) -> Iterable[ServerSentEventMessage]:
    if batch.items or batch.skipped:
        yield ServerSentEventMessage(event="changed", data=str(len(batch.items) + batch.skipped))


async def _event_page(
    request: Request[Any, Any, Any],
    operations: AdminOperations,
    event_id: str,
    *,
    tab: str = TABS[0],
    raw: bool = False,
    **variables: object,
) -> Page:
    if tab not in TABS:
        raise Rejection(404, "not_found", f"Tab {tab} not found. Use one of: {', '.join(TABS)}.")
    event = await operations.get_event(event_id, raw=raw)
    explanation = await operations.explain_view(event)
    neighbours = EventPage([])
    if tab == "related":
        neighbours = await operations.list_events(EventFilter(record=event.record), NEIGHBOURS_MAX, None)
    lines, log_url = await _log_of(operations, event) if tab == "log" else (None, "")
    status = 422 if variables.get("errors") else 200
    context = {
        "event": event,
        "history": [_with_defaults(entry) for entry in event.history],
        "explanation": explanation,
        "rules": [rule for decision in explanation.decisions for rule in decision.rules],
        "neighbours": neighbours,
        "lines": lines,
        "log_url": log_url,
        "tab": tab,
        "tabs": TABS,
        "raw": raw,
        "change": None,
        "dry_run": None,
        "commands": _commands(request, event),
        "record": RecordRef(*event.record.split(":", 2)) if event.record.count(":") >= 2 else None,
    }
    return render_page(request, "event", status=status, active="events", **context | variables)


async def _log_of(operations: AdminOperations, event: EventView) -> tuple[FoundLines | None, str]:
    """Return the lines of an event, None without a folder of logs or for viewers, and its page in the log store."""
    settings = operations.installation.stores[0].settings
    # Lines can have texts of rules, which are inputs of effects.
    is_shown = bool(settings.log_folder) and operations.actor.role != "viewer"
    lines = await asyncio.to_thread(read_event_lines, Path(settings.log_folder), event.id) if is_shown else None
    if not settings.log_url:
        return lines, ""
    ended_at = event.at if event.state in {"ended", "dead"} else None
    now_ms = int(time.time() * 1000)
    return lines, event_log_url(settings.log_url, event.id, event.received_at, ended_at, now_ms)


def _with_defaults(value: JsonValue) -> JsonValue:
    """Return history data in which a missing field is None: entries do not store defaults."""
    if isinstance(value, Mapping):
        named = cast("Mapping[str, Any]", value)
        return defaultdict(lambda: None, {name: _with_defaults(item) for name, item in named.items()})
    return [_with_defaults(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _commands(request: Request[Any, Any, Any], event: EventView) -> dict[str, str]:
    """Return commands to copy. The token stays a variable."""
    base = f"{urlsplit(str(request.base_url)).scheme}://{request.headers.get('host', '')}"
    authorization = '-H "Authorization: Bearer $WAYBILL_ADMIN_TOKEN"'
    return {
        "show with curl": f"curl -s {authorization} {base}/api/v1/events/{event.id}",
        "replay with curl": f"curl -s -X POST {authorization} -H 'Content-Type: application/json' -d '{{}}' "
        f"{base}/api/v1/events/{event.id}/replay",
        "explain": f"waybill explain {event.id}",
    }


def cursor_of(after: str | None) -> str | None:
    """Return the cursor of a query; a wrong one starts at the first page."""
    try:
        Cursor.parse(after)
    except Rejection:
        return None
    return after or None
