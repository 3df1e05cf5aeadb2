"""Faults on demand: a fault affects the next `times` calls whose path starts with `match`."""

from typing import Annotated

from msgspec import Meta, Struct

from service.mock.http import Reply

PROBLEM = b'{"message":"A fault that was asked for."}'


class Fault(Struct, forbid_unknown_fields=True, kw_only=True):
    """One fault: a delay, then a reset connection, the response `status`, or the usual response.

    `body` replaces the body of the response. `retry_after` is sent as it is, seconds or a date. `drip_ms` is the delay
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
        """Return the response of the fault, None if it has none."""
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
        """Add a fault behind the others."""
        self.waiting.append(fault)

    def take(self, path: str) -> Fault | None:
        """Return the fault of this call, and count it."""
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
