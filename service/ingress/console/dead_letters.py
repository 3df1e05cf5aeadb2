"""/dead-letters: groups, a selection, and bulk replay and discard page by page."""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Controller, Request, get, post
from msgspec import Struct

from service.errors import Rejection
from service.ingress.admin.dependencies import Operations
from service.ingress.console.event_fields import FilterFields, read_filter
from service.ingress.console.events import PAGE_EVENTS, After, cursor_of
from service.ingress.console.forms import Form, FormData
from service.ingress.console.pages import Page, render_page
from service.management.event_search import EventPage
from service.management.operations import AdminOperations
from service.management.replay import PAGE_EVENTS_MAX, REASON_CHARACTERS_MAX, BulkRequest, EventChange

RATES = (1, 10, 50, 200, 1_000)
RATE_DEFAULT = 50
ACTIONS = ("replay", "discard")


class Progress(Struct, frozen=True):
    """Progress of a bulk change: counts by result, the last reasons, and the cursor of the next page."""

    action: str
    counts: Mapping[str, int]
    total: int
    reasons: Sequence[str]
    after: str | None

    @property
    def processed(self) -> int:
        """Events of all pages so far."""
        return sum(self.counts.values())


class DeadLetterPages(Controller):
    """Dead letters."""

    path = "/dead-letters"

    @get("/", role="viewer")
    async def show_groups(self, request: Request[Any, Any, Any], operations: Operations) -> Page:
        """Show the groups."""
        return render_page(request, "dead_letters", active="dead-letters", groups=await operations.group_dead_letters())

    @get("/selection", role="viewer")
    async def show_selection(
        self, request: Request[Any, Any, Any], operations: Operations, after: After = None
    ) -> Page:
        """Show the dead letters that match the filter of the query, with the forms that change them."""
        return await _selection(request, operations, read_filter(request.query_params, state="dead"), after)

    @post("/change", role="operator")
    async def change(self, request: Request[Any, Any, Any], operations: Operations, form: Form) -> Page:
        """Replay or discard selected dead letters, or one page of all that match the filter."""
        filters = read_filter(form.fields, state="dead")
        action, reason, rate = _read_change(form)
        if form.errors or filters.errors:
            return await _selection(request, operations, filters, None, form)
        ids = form.all("id")
        if ids:
            changes = [await _change_one(operations, action, event_id, reason) for event_id in ids[:PAGE_EVENTS_MAX]]
            progress = _progress(form, action, changes, None)
        elif form.is_checked("everything"):
            progress = await _change_page(operations, form, filters, action, reason, rate)
        else:
            form.errors["selection"] = "Select events, or choose all that match."
            return await _selection(request, operations, filters, None, form)
        kept = {**filters.active, "reason": reason, "rate": f"{rate:g}"}
        return render_page(request, "progress", active="dead-letters", progress=progress, kept=kept, filters=filters)


async def _selection(
    request: Request[Any, Any, Any],
    operations: AdminOperations,
    filters: FilterFields,
    after: str | None,
    form: FormData | None = None,
) -> Page:
    page = EventPage([])
    if not filters.errors:
        page = await operations.list_events(filters.event_filter, PAGE_EVENTS, cursor_of(after))
    return render_page(
        request,
        "selection",
        status=422 if form else 200,
        active="dead-letters",
        page=page,
        filters=filters,
        total=form.text("total") if form else request.query_params.get("count", ""),
        older=f"/dead-letters/selection?{filters.query(after=page.next)}" if page.next else None,
        rates=RATES,
        fields={"rate": str(RATE_DEFAULT), **filters.fields, **(form.fields if form else {})},
        errors={**filters.errors, **(form.errors if form else {})},
        chosen=form.all("id") if form else (),
    )


def _read_change(form: FormData) -> tuple[str, str, float]:
    """Read action, reason and rate, and note the errors."""
    action = form.text("action")
    if action not in ACTIONS:
        form.errors["selection"] = f"Choose one of: {', '.join(ACTIONS)}."
    reason = form.text("reason")
    if action == "discard":
        form.required("reason", REASON_CHARACTERS_MAX, "Give a reason. It is stored with the events.")
    rate = form.text("rate") or str(RATE_DEFAULT)
    if rate not in map(str, RATES):
        form.errors["rate"] = f"Choose one of: {', '.join(map(str, RATES))}."
        rate = str(RATE_DEFAULT)
    return action, reason, float(rate)


async def _change_one(operations: AdminOperations, action: str, event_id: str, reason: str) -> EventChange:
    try:
        if action == "discard":
            return await operations.discard_event(event_id, reason)
        return await operations.replay_event(event_id, rerun_done=False, dry_run=False)
    except Rejection as error:
        return EventChange(event_id, "", "skipped", reason=error.detail)


async def _change_page(
    operations: AdminOperations, form: FormData, filters: FilterFields, action: str, reason: str, rate: float
) -> Progress:
    bulk = BulkRequest(
        filter=filters.event_filter,
        all=True,
        dry_run=False,
        limit=min(PAGE_EVENTS_MAX, max(int(rate), 1)),
        rate=rate,
        after=form.text("after") or None,
    )
    if action == "discard":
        page = await operations.discard_page(bulk, reason)
    else:
        page = await operations.replay_page(bulk, rerun_done=False)
    return _progress(form, action, page.items, page.next)


def _progress(form: FormData, action: str, changes: Sequence[EventChange], after: str | None) -> Progress:
    """Add the changes to the counts of the pages before, which the form carries."""
    counts = {name.removeprefix("n_"): form.number(name) for name in form.fields if name.startswith("n_")}
    for change in changes:
        counts[change.result] = counts.get(change.result, 0) + 1
    reasons = sorted({change.reason for change in changes if change.reason})
    total = max(form.number("total"), sum(counts.values()))
    return Progress(action, counts, total, reasons, after)
