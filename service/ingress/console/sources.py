"""/sources: senders of deliveries with their paths and state, and test deliveries."""

from typing import Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath

from service.errors import ConfigError, PermanentError, Rejection
from service.ingress.admin.dependencies import Operations
from service.ingress.admin.problems import not_found
from service.ingress.console.forms import Form, FormData
from service.ingress.console.pages import Page, render_page
from service.management.operations import AdminOperations
from service.management.settings_view import show_config
from service.management.source_tests import EVENT_CHARACTERS_MAX, RECORD_ID_CHARACTERS_MAX
from service.sending.source_tester import TestDelivery


class SourcePages(Controller):
    """Sources."""

    path = "/sources"

    @get("/", role="viewer")
    async def show_sources(self, request: Request[Any, Any, Any], operations: Operations) -> Page:
        """Show the sources."""
        return render_page(
            request,
            "sources",
            active="sources",
            sources=await operations.list_sources(),
            polls={poll.source: poll for poll in await operations.list_polls()},
            activity={each.source: each for each in await operations.list_activity()},
        )

    @get("/{name:str}", role="viewer")
    async def show_source(self, request: Request[Any, Any, Any], name: FromPath[str], operations: Operations) -> Page:
        """Show one source with its configuration."""
        return await _source_page(request, operations, name)

    @post("/{name:str}/test", role="operator")
    async def test(
        self, request: Request[Any, Any, Any], name: FromPath[str], operations: Operations, form: Form
    ) -> Page:
        """Send a test delivery, and show its answer."""
        event = form.required("event", EVENT_CHARACTERS_MAX, "Give an event type.")
        record_id = form.required("record_id", RECORD_ID_CHARACTERS_MAX, "Give the id of a record.")
        sent: TestDelivery | None = None
        if not form.errors:
            try:
                sent = await operations.test_source(name, event, record_id)
            except Rejection as rejection:
                if rejection.status == 404:
                    raise
                form.errors["event"] = rejection.detail
            except (ConfigError, PermanentError) as error:
                form.errors["event"] = str(error)
        return await _source_page(request, operations, name, form, sent)


async def _source_page(
    request: Request[Any, Any, Any],
    operations: AdminOperations,
    name: str,
    form: FormData | None = None,
    sent: TestDelivery | None = None,
) -> Page:
    found = next((each for each in await operations.list_sources() if each.name == name), None)
    if found is None:
        raise not_found(f"source {name[:64]}")
    activity = await operations.list_activity()
    test_event = operations.find_test_event(name)
    errors = form.errors if form else {}
    return render_page(
        request,
        "source",
        status=422 if errors else 200,
        active="sources",
        source=found,
        settings=operations.installation.stores[0].settings,
        config=msgspec.yaml.encode(show_config(operations.installation.config())["sources"][name]).decode(),
        activity=next(each for each in activity if each.source == name),
        test_event=test_event,
        sent=sent,
        fields=form.fields if form else {"event": test_event or ""},
        errors=errors,
    )
