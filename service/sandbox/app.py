"""ASGI application of the sandbox: first the faults, then its own paths, then the platforms."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from service.mock.http import AsgiScope, Receive, Request, Send, plain_reply, read_request, send_reply
from service.sandbox.control import ROOT, TARGETS, Control
from service.sandbox.faults import Faults
from service.sandbox.platforms import handle, new_catalog
from service.sandbox.sink import Sink

Reset = Callable[[tuple[str, int] | None], None]
"""Resets the connection of a client, by its address."""


class Sandbox:
    """State of the sandbox; tests use `catalog`, `faults` and `sink` directly."""

    def __init__(self, reset: Reset) -> None:
        self.catalog = new_catalog()
        self.faults = Faults()
        self.sink = Sink()
        self._control = Control(self.catalog, self.faults, self.sink)
        self._reset = reset

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = await read_request(scope, receive)
        if request is None:
            await send_reply(send, plain_reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
            return
        fault = None if _control_itself(request) else self.faults.take(request.path)
        if fault is not None:
            await asyncio.sleep(fault.delay_ms / 1000)
            if fault.reset:
                self._reset(request.client)
                await asyncio.sleep(0)  # lets the server process the reset before the missing answer
                return
        reply = fault.reply() if fault is not None else None
        if reply is None:
            ours = request.segments[0] == ROOT
            reply = self._control.answer(request) if ours else handle(request, self.catalog)
        await send_reply(send, reply, fault.drip_ms if fault is not None else 0)


def _control_itself(request: Request) -> bool:
    """Return True for the control paths, which faults never affect; the targets of actions are none."""
    return request.segments[0] == ROOT and not (len(request.segments) > 2 and request.segments[1] in TARGETS)
