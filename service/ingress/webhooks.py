"""The senders' door: one delivery, from its first byte to the 202, in the order that lets a stranger cost least.

Limits and headers before the body, the body's proof before its meaning, one store call, the answer. No platform is
called and no rule is asked. Whatever goes wrong on our side is a 5xx, so the sender keeps its event and comes again.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from litestar.types import Receive, Send
from litestar.types.asgi_types import HTTPScope

from service.errors import Refusal, StoreUnavailable, StoreUnsafe
from service.events import Delivery
from service.ingress.answers import Answer, accepted, send_answer
from service.ingress.arrivals import Origin, build_arrivals, match_outcomes
from service.ingress.bodies import Disconnected, read_body
from service.ingress.deadlines import Deadlines
from service.ingress.handshake import METHODS, shake_hands
from service.ingress.headers import check_media, read_headers
from service.ingress.late_store import EventStore
from service.ingress.passage import Passage
from service.ingress.problems import INTERNAL, busy, problem, try_later
from service.ingress.traces import continue_trace
from service.log import get_logger
from service.settings import Settings
from service.sources import Source
from service.store import Arrival, Receipt

LEFT_STATUS = 499
"""What the log line says of a sender that left before it could be answered (nginx's number; nobody is sent it)."""


class Webhooks:
    """POST /webhooks/{source}: joined from the sources and the store, with the limits of `settings`."""

    def __init__(self, settings: Settings, sources: Mapping[str, Source], store: EventStore) -> None:
        self._settings = settings
        self._sources = sources
        self._store = store
        self._body_deadlines = Deadlines(settings.body_seconds_max)
        self._ingest_deadlines = Deadlines(settings.ingest_seconds_max)
        self._in_flight = 0
        self._log = get_logger().bind()

    async def receive_webhook(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Take in one delivery, answer it, and write its line."""
        passage = Passage()
        self._in_flight += 1
        try:
            answer = await self._take(passage, scope, receive)
            await send_answer(send, answer)
            if passage.outcomes:
                passage.log_accepted(self._log, answer.status)
        except Disconnected as error:
            passage.log_refused(self._log, LEFT_STATUS, error.kind)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the one place that may not let anything by
            refusal = self._refusal_of(error)
            await send_answer(send, problem(refusal))
            passage.log_refused(self._log, refusal.status, refusal.code)
        finally:
            self._in_flight -= 1

    async def _take(self, passage: Passage, scope: HTTPScope, receive: Receive) -> Answer:
        if self._in_flight > self._settings.requests_in_flight_max:
            detail = "Too many deliveries are being taken in at once."
            raise try_later("too_many_requests", detail, self._settings.retry_after_seconds)
        headers = read_headers(scope["headers"])
        traceparent, passage.trace_id = continue_trace(headers.get("traceparent"), passage.id)
        name, token = split_path(scope["path"])
        source = self._find_source(passage, name, scope["method"])
        if scope["method"] == "OPTIONS":
            return shake_hands(headers)
        check_media(headers)
        body = await self._read(receive, headers.get("content-length"))
        passage.body_bytes = len(body)
        client = scope["client"]
        delivery = Delivery(passage.source, headers, body, time.time(), client[0] if client else "", token)
        admission = source.admit(delivery)
        passage.read(admission.facts)
        origin = Origin(delivery, traceparent, source.window_ms, passage.id)
        receipts = await self._ingest(build_arrivals(admission.facts, admission.claims, origin))
        passage.outcomes = match_outcomes(admission.facts, receipts)
        return accepted(passage.outcomes)

    def _find_source(self, passage: Passage, name: str, method: str) -> Source:
        source = self._sources.get(name)
        if source is None:
            passage.path_source = name
        else:
            passage.source = name
        if method not in ("POST", "OPTIONS"):
            detail = "This address takes webhooks: send them with POST."
            raise Refusal(405, "method_not_allowed", detail, {"allow": METHODS})
        if source is None:
            raise Refusal(404, "unknown_source", "No source of this name is configured here.")
        return source

    async def _read(self, receive: Receive, declared_length: str | None) -> bytes:
        try:
            with self._body_deadlines.limit():
                return await read_body(receive, declared_length, self._settings.body_bytes_max)
        except TimeoutError:
            detail = f"The body took longer than {self._settings.body_seconds_max:g} seconds to arrive."
            raise Refusal(408, "slow_body", detail, {"connection": "close"}) from None

    async def _ingest(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        if not arrivals:
            return ()
        try:
            with self._ingest_deadlines.limit():
                return await self._store.ingest_all(arrivals)
        except TimeoutError as error:
            seconds = self._settings.ingest_seconds_max
            raise StoreUnavailable(f"no answer in {seconds:g} seconds", self._settings.retry_after_seconds) from error

    def _refusal_of(self, error: BaseException) -> Refusal:
        """Name the refusal that answers `error`; what nobody foresaw is logged here, once, with its traceback."""
        if isinstance(error, Refusal):
            return error
        if isinstance(error, StoreUnavailable | StoreUnsafe):
            return busy(error, self._settings.retry_after_seconds)
        if isinstance(error, asyncio.CancelledError):
            return try_later("store_unavailable", "This process is stopping.", self._settings.retry_after_seconds)
        self._log.error("delivery.failed", exc_info=error)
        return INTERNAL


def split_path(path: str) -> tuple[str, str | None]:
    """Split what follows `/webhooks` into the source's name and the token, which only `path_token` sources have.

    Raises:
        Refusal: 404, it is neither one part nor two.
    """
    parts = path.strip("/").split("/")
    if len(parts) > 2 or not path.startswith("/"):
        raise Refusal(404, "unknown_source", "Webhooks are sent to /webhooks/ and the name of a source.")
    return parts[0], parts[1] if len(parts) == 2 else None
