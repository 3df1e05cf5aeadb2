"""POST /webhooks/{source}. Checks run from cheapest to most expensive, so that unauthenticated requests cost little.

Order: limits, headers, body, signature, envelope, one store call, response. No platform is called and no rule is
evaluated. Errors on our side are a 5xx, so that the sender retries. Deliveries rejected with a 4xx are quarantined.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import Receive, Scope, Send
from litestar.types.asgi_types import HTTPScope

from service.challenges.challenge_response import ChallengeResponse
from service.errors import Rejection, StoreNotDurable, StoreUnavailable
from service.events import Delivery
from service.ingestion.arrivals import IGNORED, DeliveryContext, build_ingest_requests, match_outcomes
from service.ingestion.event_store import EventStore
from service.ingestion.headers import check_content_type
from service.ingestion.sources import Source, VerifiedDelivery
from service.ingestion.trace_context import continue_trace
from service.ingress.cloudevents_handshake import METHODS, answer_cloudevents_handshake
from service.ingress.delivery_log import DeliveryLog
from service.ingress.http.fast_path import FastRequestCycle, request_cycle_of
from service.ingress.http.problems import (
    INTERNAL,
    TRACE_ID,
    handle_http_error,
    http_error_code,
    problem,
    retry_later,
    store_unavailable,
)
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
from service.signatures import Verified
from service.store import IngestRequest, IngestResult

CLIENT_CLOSED_REQUEST = 499
"""Status in the log line of a sender that disconnected (from nginx); it is never sent."""

CHALLENGE = "challenge"
"""Event type in the log line of an answered challenge."""

SERVER_SIDE_CODES = frozenset({"too_many_requests", "store_unavailable", "store_full", "internal"})
"""Codes of rejections that are not the sender's fault."""


class WebhookHandler:
    """Handler of POST /webhooks/{source}.

    Raises:
        ConfigError: a setting is invalid.
    """

    def __init__(self, settings: Settings, sources: Mapping[str, Source], store: EventStore) -> None:
        self._settings = settings
        self._sources = sources
        self._store = store
        self._rate_limits = RateLimits(settings)
        self._body_memory = BodyMemoryLimit(settings.in_flight_body_bytes_max, settings.retry_after_seconds)
        self._quarantine = QuarantineWriter(settings, store)
        self._body_timeout = SharedTimeout(settings.body_timeout_seconds)
        self._ingest_timeout = SharedTimeout(settings.ingest_timeout_seconds)
        self._in_flight = 0
        self._log = get_logger().bind()

    async def receive_webhook(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one delivery, send the response, and write its log line. Handler of a Litestar mount.

        Raises:
            Exception: an unexpected exception, for the exception handlers of Litestar to log and answer.
        """
        delivery_log = DeliveryLog()
        reservation = BodyReservation(self._body_memory)
        cycle = request_cycle_of(receive)
        self._in_flight += 1
        try:
            response = await self._handle(delivery_log, reservation, cast("HTTPScope", scope), receive, cycle)
        except ClientDisconnect as error:
            # Charge the work of decompression to a sender that disconnects.
            self._rate_limits.record_rejection(delivery_log.address, reservation.decompressed_bytes)
            delivery_log.log_rejected(self._log, CLIENT_CLOSED_REQUEST, error.kind, quarantined=False)
        except (Exception, asyncio.CancelledError) as error:
            rejection = self._rejection_for(error)
            if rejection is None:
                scope["state"][TRACE_ID] = delivery_log.trace_id
                self._record_rejection(delivery_log, INTERNAL, reservation.decompressed_bytes)
                raise
            await send_response(send, problem(rejection))
            self._record_rejection(delivery_log, rejection, reservation.decompressed_bytes)
            rejection.__traceback__ = None  # break the reference cycle through this frame, which holds the body
        else:
            try:
                await send_response(send, response)
            finally:
                if delivery_log.outcomes:  # the events are stored, whether or not the sender reads the response
                    delivery_log.log_accepted(response.status)
        finally:
            self._in_flight -= 1
            reservation.release()

    def handle_http_error(self, request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
        """Answer an error that Litestar or a middleware raised before `receive_webhook`, and log a delivery."""
        if request.scope["raw_path"].startswith(b"/webhooks"):
            delivery_log = DeliveryLog()
            self._rate_limits.record_rejection(request.client.host if request.client else "")
            delivery_log.log_rejected(self._log, error.status_code, http_error_code(error), quarantined=False)
        return handle_http_error(request, error)

    async def close(self) -> None:
        """Write the queued deliveries to quarantine."""
        await self._quarantine.close()

    async def _handle(
        self,
        delivery_log: DeliveryLog,
        reservation: BodyReservation,
        scope: HTTPScope,
        receive: Receive,
        cycle: FastRequestCycle | None,
    ) -> AsgiResponse:
        settings = self._settings
        # Before anything is read: more concurrent requests would delay all of them.
        if self._in_flight > settings.requests_in_flight_max:
            detail = "Too many deliveries are in progress."
            raise retry_later("too_many_requests", detail, settings.retry_after_seconds)
        client = scope["client"]
        delivery_log.address = client[0] if client else ""
        headers = read_headers(scope["headers"], settings.header_fields_max, settings.header_bytes_max)
        delivery_log.address = self._rate_limits.address_of(delivery_log.address, headers)
        traceparent, delivery_log.trace_id = continue_trace(headers.get("traceparent"), delivery_log.id)
        name, token = split_path(scope["path"])
        found = self._sources.get(name)
        # Before the method and source are checked, so that guessing sources is limited, too.
        self._rate_limits.check_address(delivery_log.address, found)
        if found is not None:
            challenge_response = found.answer_verification_request(scope["method"], scope["query_string"], headers)
            if challenge_response is not None:
                self._rate_limits.record_rejection(delivery_log.address)  # as with OPTIONS below
                return _answer_challenge(delivery_log, found, challenge_response)
        source = _check_request(delivery_log, found, scope["method"])
        if scope["method"] == "OPTIONS":
            self._rate_limits.record_rejection(delivery_log.address)  # unauthenticated requests are limited, too
            return answer_cloudevents_handshake(headers, settings.source_deliveries_per_second_max)
        now = time.time()
        # Without a body, for quarantine if reading fails.
        query = scope["query_string"].decode("latin-1")
        delivery_log.delivery = Delivery(source.name, headers, b"", now, delivery_log.address, token, query)
        # Most bodies have arrived completely, and need neither a timer nor a switch of the event loop.
        body = self._take_body(headers, reservation, cycle)
        if body is None:
            body = await self._read(headers, reservation, receive)
        delivery_log.body_bytes = len(body)
        delivery_log.delivery = delivery = Delivery(source.name, headers, body, now, delivery_log.address, token, query)
        delivery_log.whole = True
        # After the body is read, so that a rejected delivery is complete in quarantine.
        check_content_type(headers, source.content_types)
        verified = self._verify(delivery_log, source, delivery)
        if isinstance(verified, AsgiResponse):
            return verified
        # After verification, or unauthenticated requests could use up the rate limit of a source.
        self._rate_limits.check_source(source)
        if source.challenger is not None and (challenge_response := source.answer_challenge(delivery)) is not None:
            return _answer_challenge(delivery_log, source, challenge_response)
        parsed = source.parse(delivery, verified)
        delivery_log.set_facts(parsed.facts)
        delivery_log.repaired = parsed.repaired
        context = DeliveryContext(delivery, traceparent, source.window_ms, delivery_log.id)
        results = await self._ingest(build_ingest_requests(parsed, context))
        if parsed.rejected:
            await self._quarantine_items(delivery, parsed)
        delivery_log.outcomes = match_outcomes(parsed, results)
        return accepted_response(delivery_log.outcomes, source.success_status, source.success_body)

    async def _quarantine_items(self, delivery: Delivery, parsed: VerifiedDelivery) -> None:
        """Store the rejected items of a batch.

        Raises:
            Rejection: the quarantine does not store them; that of the first item.
            StoreUnavailable: the store did not answer in time.
        """
        try:
            with self._ingest_timeout.start():
                stored = await self._quarantine.write_items(delivery, parsed.rejected)
        except TimeoutError as error:
            reason = "the store did not answer in time (WAYBILL_INGEST_TIMEOUT_SECONDS)"
            raise StoreUnavailable(reason, self._settings.retry_after_seconds) from error
        if not stored:
            raise parsed.rejected[0].item.rejection

    def _verify(self, delivery_log: DeliveryLog, source: Source, delivery: Delivery) -> Verified | AsgiResponse:
        """Verify the raw bytes before they are parsed; return the response to a challenge without a signature."""
        try:
            return source.verify(delivery)
        except Rejection:
            challenge_response = source.answer_challenge(delivery) if source.answers_unsigned_challenges else None
            if challenge_response is None:
                raise
        self._rate_limits.record_rejection(delivery_log.address)
        return _answer_challenge(delivery_log, source, challenge_response)

    def _take_body(
        self, headers: Mapping[str, str], reservation: BodyReservation, cycle: FastRequestCycle | None
    ) -> bytes | None:
        """Return a body that has arrived completely, None for an incomplete or compressed one."""
        if cycle is None or "content-encoding" in headers:
            return None
        body = cycle.whole_body()
        if body is None:
            return None
        reservation.decompressed_bytes = len(body)
        if len(body) > self._settings.body_bytes_max:
            raise payload_too_large(self._settings.body_bytes_max)
        reservation.reserve(len(body))
        return body

    async def _read(self, headers: Mapping[str, str], reservation: BodyReservation, receive: Receive) -> bytes:
        decompressor = decompressor_for(headers.get("content-encoding"))
        try:
            with self._body_timeout.start():
                bytes_max = self._settings.body_bytes_max
                return await read_body(receive, headers.get("content-length"), decompressor, bytes_max, reservation)
        except TimeoutError:
            detail = f"The body did not arrive within {self._settings.body_timeout_seconds:g} s. Send it faster."
            raise Rejection(408, "request_timeout", detail, {"connection": "close"}) from None

    async def _ingest(self, requests: Sequence[IngestRequest]) -> Sequence[IngestResult]:
        if not requests:
            return ()
        try:
            with self._ingest_timeout.start():
                return await self._store.ingest_all(requests)
        except TimeoutError as error:
            seconds = self._settings.ingest_timeout_seconds
            reason = f"the store did not answer within {seconds:g} s (WAYBILL_INGEST_TIMEOUT_SECONDS)"
            raise StoreUnavailable(reason, self._settings.retry_after_seconds) from error

    def _rejection_for(self, error: BaseException) -> Rejection | None:
        """Return the rejection to answer `error` with, None for an unexpected exception."""
        if isinstance(error, Rejection):
            return error
        if isinstance(error, StoreUnavailable | StoreNotDurable):
            return store_unavailable(error, self._settings.retry_after_seconds)
        if isinstance(error, asyncio.CancelledError):
            return retry_later("store_unavailable", "This process is stopping.", self._settings.retry_after_seconds)
        return None

    def _record_rejection(self, delivery_log: DeliveryLog, rejection: Rejection, decompressed_bytes: int) -> None:
        """Log a rejection, count it against the client address, and quarantine the delivery."""
        if isinstance(rejection, RateLimited):
            delivery_log.count_rejected(rejection.code)
            return
        if rejection.code not in SERVER_SIDE_CODES:
            self._rate_limits.record_rejection(delivery_log.address, decompressed_bytes)
        quarantined = delivery_log.delivery and self._quarantine.enqueue(
            delivery_log.delivery, rejection, whole=delivery_log.whole
        )
        delivery_log.log_rejected(self._log, rejection.status, rejection.code, quarantined=bool(quarantined))


def split_path(path: str) -> tuple[str, str | None]:
    """Split the path after `/webhooks` into the name of the source and the token of `path_token` sources.

    Returns:
        The name and the token, or an empty name for an invalid path.
    """
    parts = path.strip("/").split("/")
    if len(parts) > 2 or not path.startswith("/"):
        return "", None
    return parts[0], parts[1] if len(parts) == 2 else None


def _answer_challenge(delivery_log: DeliveryLog, source: Source, challenge_response: ChallengeResponse) -> AsgiResponse:
    delivery_log.source, delivery_log.outcomes, delivery_log.event_type = source.name, (IGNORED,), CHALLENGE
    headers = dict([challenge_response.header]) if challenge_response.header is not None else None
    return make_response(challenge_response.status, challenge_response.content_type, challenge_response.body, headers)


def _check_request(delivery_log: DeliveryLog, source: Source | None, method: str) -> Source:
    """Check the method, then the source, so that a wrong method does not reveal whether the source exists.

    Raises:
        Rejection: 405, 404.
    """
    if source is not None:
        delivery_log.source = source.name
    if method not in {"POST", "OPTIONS"}:
        detail = "This endpoint receives webhooks only. Send a signed POST request."
        raise Rejection(405, "method_not_allowed", detail, {"allow": METHODS})
    if source is None:
        detail = "No source with this name is configured. Send webhooks to /webhooks/{source}."
        raise Rejection(404, "unknown_source", detail)
    return source
