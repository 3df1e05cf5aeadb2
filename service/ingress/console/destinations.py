"""/destinations: targets of actions with their circuits: pause, resume and test."""

from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath

from service.destinations.destination import Probe
from service.errors import PermanentError, Rejection, TransientError
from service.ingress.admin.dependencies import Operations
from service.ingress.console.circuits import CircuitPages
from service.ingress.console.forms import Form, FormData
from service.ingress.console.pages import Page, render_page
from service.management.destinations import TEST_METHODS
from service.management.operations import AdminOperations


async def _destinations_page(request: Request[Any, Any, Any], operations: AdminOperations, done: str = "") -> Page:
    notice = {"tone": "ok", "text": done} if done else None
    found = await operations.list_destinations()
    return render_page(request, "destinations", active="destinations", destinations=found, notice=notice)


class DestinationPages(CircuitPages):
    """Destinations."""

    path = "/destinations"
    pause_part = AdminOperations.pause_destination
    resume_part = AdminOperations.resume_destination
    list_page = staticmethod(_destinations_page)

    @get("/", role="viewer")
    async def show_destinations(self, request: Request[Any, Any, Any], operations: Operations) -> Page:
        """Show the destinations with their circuits."""
        return await _destinations_page(request, operations)

    @get("/{name:str}", role="viewer")
    async def show_destination(
        self, request: Request[Any, Any, Any], name: FromPath[str], operations: Operations
    ) -> Page:
        """Show one destination with its configuration."""
        return await _destination_page(request, operations, name)

    @post("/{name:str}/test", role="admin")
    async def test(
        self, request: Request[Any, Any, Any], name: FromPath[str], operations: Operations, form: Form
    ) -> Page:
        """Send a test request, and show it with its answer."""
        probe: Probe | None = None
        try:
            probe = await operations.test_destination(name, form.text("method"), form.text("path"))
        except Rejection as rejection:
            if rejection.status == 404:
                raise
            form.errors["path"] = rejection.detail
        except (TransientError, PermanentError) as error:
            form.errors["path"] = f"{error.kind}: {error}"
        return await _destination_page(request, operations, name, form, probe)


async def _destination_page(
    request: Request[Any, Any, Any],
    operations: AdminOperations,
    name: str,
    form: FormData | None = None,
    probe: Probe | None = None,
) -> Page:
    found = await operations.get_destination(name)
    errors = form.errors if form else {}
    return render_page(
        request,
        "destination",
        status=422 if errors else 200,
        active="destinations",
        destination=found,
        config=msgspec.yaml.encode(found.config).decode() if found.config else "",
        methods=TEST_METHODS,
        probe=probe,
        fields=form.fields if form else {"method": TEST_METHODS[0]},
        errors=errors,
    )
