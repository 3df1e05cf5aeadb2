"""/quarantine: rejected deliveries, with the reason, the diagnosis, release and deletion."""

from typing import Any

from litestar import Controller, Request, get, post
from litestar.params import FromPath

from service.ingress.admin.dependencies import Operations
from service.ingress.console.events import PAGE_EVENTS, After, Raw
from service.ingress.console.forms import Form
from service.ingress.console.pages import Page, render_page
from service.management.operations import AdminOperations

RELEASED_MAX = 200
"""Deliveries of one bulk release."""


class QuarantinePages(Controller):
    """Quarantine."""

    path = "/quarantine"

    @get("/", role="viewer")
    async def show_quarantine(
        self, request: Request[Any, Any, Any], operations: Operations, after: After = None
    ) -> Page:
        """Show a page of rejected deliveries."""
        return await _list_page(request, operations, after)

    @post("/release", role="operator")
    async def release_all(self, request: Request[Any, Any, Any], operations: Operations, form: Form) -> Page:
        """Release the newest deliveries of a source that verify now."""
        source = form.required("source", 64, "Choose a source.")
        counts: dict[str, int] = {}
        if not form.errors:
            page = await operations.list_quarantine(source, RELEASED_MAX, None)
            for row in page.items:
                result = (await operations.release_quarantined(row.id)).result
                counts[result] = counts.get(result, 0) + 1
        return await _list_page(request, operations, None, counts=counts, errors=form.errors)

    @get("/{quarantined_id:str}", role="viewer")
    async def show_delivery(
        self, request: Request[Any, Any, Any], quarantined_id: FromPath[str], operations: Operations, raw: Raw = False
    ) -> Page:
        """Show one rejected delivery."""
        return await _delivery_page(request, operations, quarantined_id, raw=raw)

    @post("/{quarantined_id:str}/diagnose", role="operator")
    async def diagnose(
        self, request: Request[Any, Any, Any], quarantined_id: FromPath[str], operations: Operations, form: Form
    ) -> Page:
        """Verify a delivery with the current configuration, and find the schemes that would verify it."""
        del form  # its token was checked
        verified = await operations.reverify_quarantined(quarantined_id)
        diagnosis = None if verified.result == "verified" else await operations.diagnose_quarantined(quarantined_id)
        return await _delivery_page(request, operations, quarantined_id, verified=verified, diagnosis=diagnosis)

    @post("/{quarantined_id:str}/release", role="operator")
    async def release(
        self, request: Request[Any, Any, Any], quarantined_id: FromPath[str], operations: Operations, form: Form
    ) -> Page:
        """Release a delivery if it verifies now."""
        del form  # its token was checked
        released = await operations.release_quarantined(quarantined_id)
        if released.result != "released":
            return await _delivery_page(request, operations, quarantined_id, verified=released)
        return await _list_page(request, operations, None, released=released)

    @post("/{quarantined_id:str}/delete", role="operator")
    async def delete(
        self, request: Request[Any, Any, Any], quarantined_id: FromPath[str], operations: Operations, form: Form
    ) -> Page:
        """Delete a delivery."""
        del form  # its token was checked
        deleted = await operations.delete_quarantined(quarantined_id)
        return await _list_page(request, operations, None, deleted=deleted)


async def _list_page(
    request: Request[Any, Any, Any], operations: AdminOperations, after: str | None, **variables: object
) -> Page:
    source = request.query_params.get("source", "").strip()
    page = await operations.list_quarantine(source or None, PAGE_EVENTS, after)
    context: dict[str, object] = {"released": None, "deleted": None, "counts": {}, **variables}
    return render_page(
        request,
        "quarantine",
        status=422 if variables.get("errors") else 200,
        active="quarantine",
        page=page,
        sources=sorted(operations.installation.config().sources),
        fields={"source": source},
        **context,
    )


async def _delivery_page(
    request: Request[Any, Any, Any],
    operations: AdminOperations,
    quarantined_id: str,
    *,
    raw: bool = False,
    **variables: object,
) -> Page:
    delivery = await operations.get_quarantined(quarantined_id, raw=raw)
    context: dict[str, object] = {"verified": None, "diagnosis": None, **variables}
    return render_page(request, "delivery", status=200, active="quarantine", delivery=delivery, raw=raw, **context)
