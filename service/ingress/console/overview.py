"""/: readiness, queue, activity, sources, accounts, and conditions to act on."""

from typing import Any

from litestar import Controller, Request, get

from service.ingress.admin.dependencies import Operations
from service.ingress.console.pages import Page, render_page
from service.ingress.http.health import READINESS, Readiness


class OverviewPages(Controller):
    """Overview."""

    @get("/", role="viewer")
    async def show_overview(self, request: Request[Any, Any, Any], operations: Operations) -> Page:
        """Show the overview."""
        readiness: Readiness = request.app.state[READINESS]
        reason = await readiness.reason()
        overview = await operations.get_overview()
        return render_page(
            request, "overview", active="overview", overview=overview, ready=readiness.describe(reason), reason=reason
        )
