"""Pages of parts with a circuit, platform accounts and destinations: pause and resume."""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from litestar import Controller, Request, post
from litestar.params import FromPath

from service.ingress.admin.dependencies import Operations
from service.ingress.console.forms import Form
from service.ingress.console.pages import Page
from service.management.operations import AdminOperations

Change = Callable[[AdminOperations, str], Awaitable[object]]


class CircuitPages(Controller):
    """Pages of parts with a circuit. `list_page` shows all parts, and a text about the change."""

    pause_part: ClassVar[Change]
    resume_part: ClassVar[Change]
    list_page: ClassVar[Callable[[Request[Any, Any, Any], AdminOperations, str], Awaitable[Page]]]

    @post(["/{name:str}/pause", "/{name:str}/resume"], role="operator")
    async def change_circuit(
        self, request: Request[Any, Any, Any], name: FromPath[str], operations: Operations, form: Form
    ) -> Page:
        """Open the circuit of a part until it is resumed, or close it."""
        del form  # its token was checked
        if request.url.path.endswith("/pause"):
            change, done = type(self).pause_part, f"{name} is paused. Its events are parked."
        else:
            change, done = type(self).resume_part, f"{name} is resumed. Its events are freed gradually."
        await change(operations, name)
        return await type(self).list_page(request, operations, done)
