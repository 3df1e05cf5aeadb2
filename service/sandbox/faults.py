"""Fault injection: faults for requests whose path starts with `match`, a limited number of times."""

from typing import Annotated

from msgspec import Meta, Struct

from service.mock.http import Reply

PROBLEM = b'{"message":"Injected fault."}'


class Fault(Struct, forbid_unknown_fields=True, kw_only=True):
    """One fault: a delay, then a connection reset, a response with `status`, or the normal response.

    `body` replaces the body of the response. `retry_after` is sent unchanged: seconds or a date. `drip_ms` is the delay
    before each byte of the body.
    """

    match: str = "/"
    times: Annotated[int, Meta(ge=1)] = 1
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    delay_ms: Annotated[int, Meta(ge=0, le=600_000)] = 0
    drip_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    reset: bool = False
    retry_after: int | str | None = None
    body: str | None = None
    content_type: str = "application/json"

    def reply(self) -> Reply | None:
        """Return the response of the fault, None for the normal response."""
        if self.status is None:
            return None
        headers = () if self.retry_after is None else ((b"retry-after", str(self.retry_after).encode("latin-1")),)
        body = PROBLEM if self.body is None else self.body.encode()
        return Reply(self.status, body, headers, self.content_type.encode("latin-1"))


class Faults:
    """Pending faults, oldest first."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Append a fault."""
        self.waiting.append(fault)

    def take(self, path: str) -> Fault | None:
        """Return the first fault that matches the path and count its use, None if no fault matches."""
        for fault in self.waiting:
            if path.startswith(fault.match):
                fault.times -= 1
                if fault.times == 0:
                    self.waiting.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """Remove all faults."""
        self.waiting.clear()
