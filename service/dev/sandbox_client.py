"""The sandbox's switches, as its own paths offer them over HTTP: records, faults, and what its sink received."""

from typing import Any

import msgspec
from msgspec import Struct

from service.dev.demo_senders import DeliveryResponse, call
from service.errors import WaybillError


class SandboxError(WaybillError):
    """The sandbox did not take what it was told; the text is its answer."""

    kind = "sandbox_refused"


class Seed(Struct, frozen=True):
    """A record that one of the sandbox's platforms holds, in that platform's own shape."""

    platform: str
    kind: str
    id: str
    record: dict[str, Any]


class FaultRequest(Struct, frozen=True, omit_defaults=True):
    """What goes wrong with the next `times` calls whose path begins with `match`: a status, a delay in ms, or both."""

    match: str
    times: int = 1
    status: int | None = None
    delay_ms: int = 0


class SandboxClient:
    """Sets the sandbox at `url`. Each call raises SwitchFailed where the sandbox says no."""

    def __init__(self, url: str) -> None:
        self._root = f"{url}/_sandbox"

    def put_record(self, seed: Seed) -> None:
        """Let a platform hold a record."""
        _checked(call("PUT", f"{self._root}/records/{seed.platform}/{seed.kind}/{seed.id}", body=_json(seed.record)))

    def delete_record(self, platform: str, kind: str, record_id: str) -> None:
        """Let a platform answer 404 for a record."""
        _checked(call("DELETE", f"{self._root}/records/{platform}/{kind}/{record_id}"))

    def add_fault(self, fault: FaultRequest) -> None:
        """Let something go wrong."""
        _checked(call("POST", f"{self._root}/faults", body=_json(fault)))

    def faults_waiting(self) -> int:
        """How many faults have not met their call yet."""
        return len(_checked(call("GET", f"{self._root}/faults")).body)

    def sink_bodies(self) -> list[str]:
        """Bodies of all requests that the sink received, oldest first."""
        answer = _checked(call("GET", f"{self._root}/sink"))
        return [str(request["body"]) for request in answer.body["requests"]]


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _checked(answer: DeliveryResponse) -> DeliveryResponse:
    if answer.status >= 300:
        raise SandboxError(f"the sandbox answered {answer.status}: {answer.body}")
    return answer
