"""HTTP client of the sandbox's control paths: records, faults and received requests."""

from typing import Any

import msgspec
from msgspec import Struct

from service.dev.demo_senders import DeliveryResponse, call
from service.errors import WaybillError


class SandboxError(WaybillError):
    """The sandbox rejected a request. The text contains its response."""

    kind = "sandbox_rejected"


class Seed(Struct, frozen=True):
    """A record of a platform in the sandbox, in the format of that platform."""

    platform: str
    kind: str
    id: str
    record: dict[str, Any]


class FaultRequest(Struct, frozen=True, omit_defaults=True):
    """A fault of the next `times` requests whose path starts with `match`: a status, a delay, or both."""

    match: str
    times: int = 1
    status: int | None = None
    delay_ms: int = 0


class SandboxClient:
    """Client of the sandbox at `url`. Each method raises SandboxError if the sandbox rejects the request."""

    def __init__(self, url: str) -> None:
        self._root = f"{url}/_sandbox"

    def put_record(self, seed: Seed) -> None:
        """Create or replace a record of a platform."""
        _checked(call("PUT", f"{self._root}/records/{seed.platform}/{seed.kind}/{seed.id}", body=_json(seed.record)))

    def delete_record(self, platform: str, kind: str, record_id: str) -> None:
        """Delete a record, so that the platform answers 404."""
        _checked(call("DELETE", f"{self._root}/records/{platform}/{kind}/{record_id}"))

    def add_fault(self, fault: FaultRequest) -> None:
        """Add a fault."""
        _checked(call("POST", f"{self._root}/faults", body=_json(fault)))

    def pending_fault_count(self) -> int:
        """Return the number of faults that have not been used up."""
        return len(_checked(call("GET", f"{self._root}/faults")).body)

    def sink_bodies(self) -> list[str]:
        """Return the bodies of all requests to the sink, oldest first."""
        answer = _checked(call("GET", f"{self._root}/sink"))
        return [str(request["body"]) for request in answer.body["requests"]]


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _checked(answer: DeliveryResponse) -> DeliveryResponse:
    if answer.status >= 300:
        raise SandboxError(f"the sandbox answered {answer.status}: {answer.body}")
    return answer
