"""Paths of the sandbox below /_sandbox: faults, records, changes of records, and the targets of actions."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec

from service.mock.catalog import Catalog
from service.mock.http import Reply, Request, json_reply, plain_reply
from service.sandbox.chat import check_slack, check_teams
from service.sandbox.custom_platform import check_custom_platform
from service.sandbox.faults import Fault, Faults
from service.sandbox.sink import Sink
from service.sandbox.subscriber import check_signature

ROOT = "_sandbox"
TARGETS: Mapping[str, Callable[[Request], Reply | None]] = {
    "sink": lambda _request: None,
    "slack": check_slack,
    "teams": check_teams,
    "platform": check_custom_platform,
    "webhook": check_signature,
}
"""Answers of the targets of actions, by their path below the root; None is the answer of the sink."""

_faults = msgspec.json.Decoder(Fault)
_record = msgspec.json.Decoder(dict[str, object])


class Control:
    """Handler of the control paths."""

    def __init__(self, catalog: Catalog, faults: Faults, sink: Sink) -> None:
        self._catalog = catalog
        self._faults = faults
        self._sink = sink

    def answer(self, request: Request) -> Reply:
        """Handle a request. An invalid body is answered with 400 and the reason."""
        try:
            match request.segments[1:]:
                case ("faults",):
                    return self._answer_faults(request)
                case ("records", platform, kind, record_id):
                    return self._answer_record(request, platform, kind, record_id)
                case ("changed", record_id):
                    return self._mark_changed(request, record_id)
                case (target, *path) if target in TARGETS:
                    return self._answer_target(request, target) if path else self._answer_sink(request)
                case _:
                    return plain_reply(HTTPStatus.NOT_FOUND)
        except msgspec.MsgspecError as error:
            return json_reply(400, {"message": str(error)})

    def _answer_faults(self, request: Request) -> Reply:
        if request.method == "POST":
            self._faults.add(_faults.decode(request.body))
            return json_reply(201, self._faults.waiting)
        if request.method == "DELETE":
            self._faults.clear()
            return Reply(204)
        return json_reply(200, self._faults.waiting)

    def _answer_record(self, request: Request, platform: str, kind: str, record_id: str) -> Reply:
        if not self._catalog.has(platform, kind):
            return plain_reply(HTTPStatus.NOT_FOUND)
        if request.method == "PUT":
            self._catalog.put(platform, kind, record_id, _record.decode(request.body))
            return Reply(204)
        if request.method == "DELETE":
            self._catalog.delete(platform, kind, record_id)
            return Reply(204)
        record = self._catalog.get(platform, kind, record_id)
        return Reply(200, record) if record is not None else plain_reply(HTTPStatus.NOT_FOUND)

    def _mark_changed(self, request: Request, record_id: str) -> Reply:
        if request.method != "POST":
            return plain_reply(HTTPStatus.METHOD_NOT_ALLOWED)
        self._catalog.mark_changed(record_id, datetime.now(UTC).isoformat(timespec="milliseconds"))
        return Reply(204)

    def _answer_target(self, request: Request, target: str) -> Reply:
        reply = TARGETS[target](request)
        if reply is None or reply.status < HTTPStatus.BAD_REQUEST:
            self._sink.keep(request)
        return reply or json_reply(200, {"count": self._sink.count})

    def _answer_sink(self, request: Request) -> Reply:
        if request.method == "DELETE":
            self._sink.clear()
            return Reply(204)
        return json_reply(200, {"count": self._sink.count, "requests": list(self._sink.requests)})
