"""The senders' door: one delivery, from its first byte to the 202, in the order that lets a stranger cost least.

Limits and headers before the body, the body's proof before its meaning, one store call, the answer. No platform is
called and no rule is asked. Whatever goes wrong on our side is a 5xx, so the sender keeps its event and comes again;
what is refused for the sender's part is put aside, so that a mistake of ours costs no event.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from litestar.types import Receive, Send
from litestar.types.asgi_types import HTTPScope

from service.challenges.challenge_response import ChallengeResponse
from service.errors import Rejection, StoreNotDurable, StoreUnavailable
from service.events import Delivery
from service.ingestion.arrivals import IGNORED, DeliveryContext, build_ingest_requests, match_outcomes
from service.ingestion.event_store import EventStore
from service.ingestion.headers import check_content_type
from service.ingestion.sources import Source
from service.ingestion.trace_context import continue_trace
from service.ingress.cloudevents_handshake import METHODS, answer_cloudevents_handshake
from service.ingress.delivery_log import DeliveryLog
from service.ingress.http.fast_path import FastRequestCycle, request_cycle_of
from service.ingress.http.problems import INTERNAL, problem, retry_later, store_unavailable
from service.ingress.http.responses import AsgiResponse, accepted_response, make_response, send_response
from service.ingress.http.timeouts import SharedTimeout
from service.ingress.limits.rate_limits import RateLimited, RateLimits
from service.ingress.quarantine_writer import QuarantineWriter
from service.ingress.request.body import (
    BodyMemoryLimit,
    BodyReservation,
    ClientDisconnect,
    payload_too_large,
    read_body,
)
from service.ingress.request.decompression import decompressor_for
from service.ingress.request.headers import read_headers
from service.log import get_logger
from service.settings import Settings
from service.store import IngestRequest, IngestResult

CLIENT_CLOSED_REQUEST = 499
"""What the log line says of a sender that left before it could be answered (nginx's number; nobody is sent it)."""

CHALLENGE = "challenge"
"""The event type that the log line of an answered challenge has."""

SERVER_SIDE_CODES = frozenset({"too_many_requests", "store_unavailable", "store_full", "internal"})
"""Refusals that are no sender's doing."""


class WebhookHandler:
    """POST /webhooks/{source}: joined from the sources and the store, with the limits of `settings`.

    Raises:
        ConfigError: a setting that cannot be read.
    """

    def __init__(self, settings: Settings, sources: Mapping[str, Source], store: EventStore) -> None:
        self._settings = settings
        self._sources = sources
        self._store = store
        self._gate = RateLimits(settings)
        self._body_memory = BodyMemoryLimit(settings.in_flight_body_bytes_max, settings.retry_after_seconds)
        self._quarantine = QuarantineWriter(settings, store)
        self._body_deadlines = SharedTimeout(settings.body_timeout_seconds)
        self._ingest_deadlines = SharedTimeout(settings.ingest_timeout_seconds)
        self._in_flight = 0
        self._log = get_logger().bind()

    async def receive_webhook(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Take in one delivery, answer it, and write its line."""
        passage = DeliveryLog()
        portion = BodyReservation(self._body_memory)
        exchange = request_cycle_of(receive)
        self._in_flight += 1
        try:
            answer = await self._take(passage, portion, scope, receive, exchange)
            await send_response(exchange, send, answer)
            if passage.outcomes:
                passage.log_accepted(answer.status)
        except ClientDisconnect as error:
            # Who leaves in the middle has cost what was unfolded for them.
            self._gate.record_rejection(passage.address, portion.unfolded)
            passage.log_rejected(self._log, CLIENT_CLOSED_REQUEST, error.kind, quarantined=False)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the one place that may not let anything by
            refusal = self._refusal_of(passage, error)
            await send_response(exchange, send, problem(refusal))
            self._settle(passage, refusal, portion.unfolded)
            refusal.__traceback__ = None  # which leads to this frame and to it again: a circle that holds the body
        finally:
            self._in_flight -= 1
            portion.release()

    async def close(self) -> None:
        """Write down what waits to be put aside."""
        await self._quarantine.close()

    async def _take(
        self,
        passage: DeliveryLog,
        portion: BodyReservation,
        scope: HTTPScope,
        receive: Receive,
        exchange: FastRequestCycle | None,
    ) -> AsgiResponse:
        settings = self._settings
        # Before anything is read: beyond this all would be late, and the sender comes again.
        if self._in_flight > settings.requests_in_flight_max:
            detail = "Too many deliveries are being taken in at once."
            raise retry_later("too_many_requests", detail, settings.retry_after_seconds)
        client = scope["client"]
        passage.address = client[0] if client else ""
        headers = read_headers(scope["headers"], settings.header_fields_max, settings.header_bytes_max)
        passage.address = self._gate.address_of(passage.address, headers)
        traceparent, passage.trace_id = continue_trace(headers.get("traceparent"), passage.id)
        name, token = split_path(scope["path"])
        found = self._sources.get(name)
        # Before the method, the source and the body are looked at, so that guessing has its bound, too.
        self._gate.check_address(passage.address, found)
        if (
            found is not None
            and (echo := found.answer_verification_request(scope["method"], scope["query_string"], headers)) is not None
        ):
            self._gate.record_rejection(passage.address)  # as with OPTIONS below
            return _say_back(passage, found, echo)
        source = _check_asked(passage, found, scope["method"])
        if scope["method"] == "OPTIONS":
            self._gate.record_rejection(passage.address)  # it costs nothing to ask, and so may be asked too often
            return answer_cloudevents_handshake(headers, settings.source_deliveries_per_second_max)
        now = time.time()
        passage.delivery = Delivery(source.name, headers, b"", now, passage.address, token)  # as far as it is known
        # Most bodies are here already, and then need neither a timer nor a turn of the loop.
        body = self._read_whole(headers, portion, exchange)
        if body is None:
            body = await self._read(headers, portion, receive)
        passage.body_bytes = len(body)
        passage.delivery = delivery = Delivery(source.name, headers, body, now, passage.address, token)
        passage.whole = True
        # Behind the body, so that what is refused for its type lies whole in quarantine.
        check_content_type(headers, source.content_types)
        # The raw bytes, before anything has parsed them: a parser would be open to strangers.
        verified = source.verify(delivery)
        # Behind the proof, or strangers could use up what a source may send.
        self._gate.check_source(source)
        if source.challenger is not None and (echo := source.answer_challenge(delivery)) is not None:
            return _say_back(passage, source, echo)
        admission = source.parse(delivery, verified)
        passage.set_facts(admission.facts)
        origin = DeliveryContext(delivery, traceparent, source.window_ms, passage.id)
        receipts = await self._ingest(build_ingest_requests(admission, origin))
        passage.outcomes = match_outcomes(admission.facts, receipts)
        return accepted_response(passage.outcomes)

    def _read_whole(
        self, headers: Mapping[str, str], portion: BodyReservation, exchange: FastRequestCycle | None
    ) -> bytes | None:
        """Give a body that is here already, as it is; None for one that must be waited for, or inflated."""
        if exchange is None or "content-encoding" in headers:
            return None
        body = exchange.whole_body()
        if body is None:
            return None
        portion.unfolded = len(body)
        if len(body) > self._settings.body_bytes_max:
            raise payload_too_large(self._settings.body_bytes_max)
        portion.reserve(len(body))
        return body

    async def _read(self, headers: Mapping[str, str], portion: BodyReservation, receive: Receive) -> bytes:
        inflater = decompressor_for(headers.get("content-encoding"))
        try:
            with self._body_deadlines.start():
                bytes_max = self._settings.body_bytes_max
                return await read_body(receive, headers.get("content-length"), inflater, bytes_max, portion)
        except TimeoutError:
            detail = f"The body took longer than {self._settings.body_timeout_seconds:g} seconds to arrive."
            raise Rejection(408, "request_timeout", detail, {"connection": "close"}) from None

    async def _ingest(self, arrivals: Sequence[IngestRequest]) -> Sequence[IngestResult]:
        if not arrivals:
            return ()
        try:
            with self._ingest_deadlines.start():
                return await self._store.ingest_all(arrivals)
        except TimeoutError as error:
            seconds = self._settings.ingest_timeout_seconds
            raise StoreUnavailable(f"no answer in {seconds:g} seconds", self._settings.retry_after_seconds) from error

    def _refusal_of(self, passage: DeliveryLog, error: BaseException) -> Rejection:
        """Name the refusal that answers `error`; what nobody foresaw is logged here, once, with its traceback."""
        if isinstance(error, Rejection):
            return error
        if isinstance(error, StoreUnavailable | StoreNotDurable):
            return store_unavailable(error, self._settings.retry_after_seconds)
        if isinstance(error, asyncio.CancelledError):
            return retry_later("store_unavailable", "This process is stopping.", self._settings.retry_after_seconds)
        self._log.error("delivery.crashed", trace_id=passage.trace_id, exc_info=error)
        return INTERNAL

    def _settle(self, passage: DeliveryLog, refusal: Rejection, unfolded: int) -> None:
        """Write the line of a refused delivery, count it against its address, and put it aside."""
        if isinstance(refusal, RateLimited):
            passage.count_rejected(refusal.code)
            return
        if refusal.code not in SERVER_SIDE_CODES:
            self._gate.record_rejection(passage.address, unfolded)
        put_aside = passage.delivery and self._quarantine.enqueue(passage.delivery, refusal, whole=passage.whole)
        passage.log_rejected(self._log, refusal.status, refusal.code, quarantined=bool(put_aside))


def split_path(path: str) -> tuple[str, str | None]:
    """Split what follows `/webhooks` into the source's name and the token, which only `path_token` sources have.

    A path of any other form gives the empty name, which no source has.
    """
    parts = path.strip("/").split("/")
    if len(parts) > 2 or not path.startswith("/"):
        return "", None
    return parts[0], parts[1] if len(parts) == 2 else None


def _say_back(passage: DeliveryLog, source: Source, echo: ChallengeResponse) -> AsgiResponse:
    passage.source, passage.outcomes, passage.event_type = source.name, (IGNORED,), CHALLENGE
    return make_response(200, echo.content_type, echo.body)


def _check_asked(passage: DeliveryLog, source: Source | None, method: str) -> Source:
    """See that a source there is was asked in a way it can be; the method first, which says nothing of the source.

    Raises:
        Rejection: 405, 404.
    """
    if source is not None:
        passage.source = source.name
    if method not in {"POST", "OPTIONS"}:
        detail = "This address takes webhooks: send them with POST, signed as the source asks for. It shows nothing."
        raise Rejection(405, "method_not_allowed", detail, {"allow": METHODS})
    if source is None:
        detail = "No source of this name is configured here. Webhooks are sent to /webhooks/ and the name of a source."
        raise Rejection(404, "unknown_source", detail)
    return source
