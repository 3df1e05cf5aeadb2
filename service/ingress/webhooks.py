"""POST /webhooks/{source}. Checks run from cheapest to most expensive, so that unauthenticated requests cost little.

Order: limits, headers, body, signature, envelope, one store call, response. No platform is called and no rule is
evaluated. Errors on our side are a 5xx, so that the sender retries. Deliveries rejected with a 4xx are quarantined.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import Receive, Scope, Send
from litestar.types.asgi_types import HTTPScope

from service.challenges.challenge_response import ChallengeResponse
from service.compute_thread import LARGE_BYTES, run_in_thread
from service.errors import Rejection, StoreNotDurable, StoreUnavailable
from service.events import Delivery
from service.ingestion.arrivals import IGNORED, DeliveryContext, build_ingest_requests, match_outcomes
from service.ingestion.event_store import EventStore
from service.ingestion.headers import check_content_type
from service.ingestion.sources import Source
from service.ingestion.trace_context import continue_trace
from service.ingress.cloudevents_handshake import METHODS, answer_cloudevents_handshake
from service.ingress.delivery_log import UNKNOWN_SOURCE, DeliveryLog
from service.ingress.http.fast_path import (
    CLIENT_CLOSED_REQUEST,
    ON_SENT,
    SENT_STATUS,
    FastRequestCycle,
    request_cycle_of,
)
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
from service.ingress.limits.rate_limits import RateLimited, RateLimits
from service.ingress.quarantine_writer import QuarantineWriter
from service.ingress.request.body import BodyReader, BodyReservation, ClientDisconnect
from service.ingress.request.headers import read_headers
from service.log import get_logger
from service.settings import Settings
from service.shared_timeouts import SharedTimeout
from service.signatures import Verified
from service.store import IngestRequest, IngestResult

BAD_REQUEST = 400, "bad_request"
"""Status and code of a body that is not valid HTTP; `service.ingress.http.connection_limits` answers it."""

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
        self._bodies = BodyReader(settings)
        self._quarantine = QuarantineWriter(settings, store)
        self._ingest_timeout = SharedTimeout(settings.ingest_timeout_seconds)
        self._in_flight = 0
        self._log = get_logger().bind()

    async def receive_webhook(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one delivery, send the response, and write its log line. Handler of a Litestar mount.

        Raises:
            Exception: an unexpected exception, for the exception handlers of Litestar to log and answer.
        """
        delivery_log = DeliveryLog()
        reservation = self._bodies.reservation()
        cycle = request_cycle_of(receive)
        try:
            response = await self._handle(delivery_log, reservation, cast("HTTPScope", scope), receive, cycle)
        except ClientDisconnect as error:
            if self._rate_limits.record_rejection(delivery_log.address, delivery_log.source, reservation.sent_bytes):
                delivery_log.count_rejected(error.kind)
            else:
                status, reason = CLIENT_CLOSED_REQUEST, error.kind
                if cycle is not None and cycle.is_malformed:
                    status, reason = BAD_REQUEST
                delivery_log.log_rejected(self._log, status, reason, quarantined=False)
        except (Exception, asyncio.CancelledError) as error:
            rejection = self._rejection_for(error)
            if rejection is None:
                delivery_log.span.fail(INTERNAL.code)
                scope["state"][TRACE_ID] = delivery_log.trace_id
                scope["state"][ON_SENT] = partial(self._record_rejection, delivery_log, INTERNAL)
                raise
            if not delivery_log.verified and rejection.code not in SERVER_SIDE_CODES:
                rejection = self._limited(delivery_log, rejection, reservation.sent_bytes)
            await send_response(send, problem(rejection))
            self._record_rejection(delivery_log, rejection, _sent_status(scope, rejection.status))
            rejection.__traceback__ = None  # break the reference cycle through this frame, which holds the body
        else:
            try:
                await send_response(send, response)
            finally:
                if delivery_log.outcomes:  # the events are stored, whether or not the sender reads the response
                    delivery_log.log_accepted(_sent_status(scope, response.status))
        finally:
            delivery_log.span.end()
            reservation.release()

    def handle_http_error(self, request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
        """Answer an error that Litestar or a middleware raised before `receive_webhook`, and log a delivery."""
        if request.scope["raw_path"].startswith(b"/webhooks"):
            delivery_log, code = DeliveryLog(), http_error_code(error)
            if self._rate_limits.record_rejection(request.client.host if request.client else "", UNKNOWN_SOURCE):
                delivery_log.count_rejected(code)
            else:
                log = partial(delivery_log.log_rejected, self._log, reason=code, quarantined=False)
                request.scope["state"][ON_SENT] = log
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
        delivery_log.address = peer = (scope["client"] or ("", 0))[0]
        url_bytes = len(scope["raw_path"]) + len(scope["query_string"])
        headers = read_headers(scope["headers"], settings.header_fields_max, settings.header_bytes_max, url_bytes)
        delivery_log.address = self._rate_limits.address_of(delivery_log.address, headers)
        traceparent, delivery_log.trace_id = continue_trace(headers.get("traceparent"), delivery_log.id)
        name, token = split_path(scope["path"])
        found = self._sources.get(name)
        if found is not None:
            delivery_log.source = found.name
            challenge_response = found.answer_verification_request(scope["method"], scope["query_string"], headers)
            if challenge_response is not None:
                self._check_unauthenticated(delivery_log, found)
                return _answer_challenge(delivery_log, challenge_response)
        source, query = _check_request(found, scope["method"]), scope["query_string"].decode("latin-1")
        if scope["method"] == "OPTIONS":
            self._check_unauthenticated(delivery_log, source)
            return answer_cloudevents_handshake(headers, settings.source_deliveries_per_second_max)
        now, body = time.time(), b""
        try:
            # Most bodies have arrived completely, and need neither a timer nor a switch of the event loop.
            if (complete := self._bodies.take(headers, reservation, cycle)) is not None:
                body = complete
            else:
                limited = self._rate_limits.is_limited(delivery_log.address, source.name)
                body = await self._bodies.read(headers, reservation, receive, limited=limited)
            delivery_log.body_bytes, delivery_log.whole = len(body), True
        finally:  # without a body if reading failed, for quarantine
            delivery = Delivery(source.name, headers, body, now, delivery_log.address, token, query)
            delivery_log.delivery = delivery
        # After the body is read, so that a rejected delivery is complete in quarantine.
        check_content_type(headers, source.content_types)
        verified = self._verify(delivery_log, source, delivery)
        if isinstance(verified, AsgiResponse):
            return verified
        traceparent = delivery_log.set_verified(traceparent)
        if self._rate_limits.warn_of_untrusted_proxy(peer, headers):
            await self._store.record_untrusted_proxy(peer)
        # After verification, or unauthenticated requests could use up the rate limit of a source.
        self._rate_limits.check_source(source)
        if source.challenger is not None and (challenge_response := source.answer_challenge(delivery)) is not None:
            return _answer_challenge(delivery_log, challenge_response)
        large = len(body) > LARGE_BYTES
        parsed = await run_in_thread(source.parse, delivery, verified) if large else source.parse(delivery, verified)
        delivery_log.set_facts(parsed.facts)
        delivery_log.repaired = parsed.repaired
        context = DeliveryContext(delivery, traceparent, source.window_ms, delivery_log.id, source.stored_headers)
        results = await self._ingest(build_ingest_requests(parsed, context))
        if parsed.rejected:
            await self._quarantine.write_items(delivery, parsed.rejected)
        delivery_log.set_results(match_outcomes(parsed, results), results)
        return accepted_response(delivery_log.outcomes, source.success_status, source.success_body)

    def _verify(self, delivery_log: DeliveryLog, source: Source, delivery: Delivery) -> Verified | AsgiResponse:
        """Verify the raw bytes before they are parsed; return the response to a challenge without a signature."""
        try:
            return source.verify(delivery)
        except Rejection:
            challenge_response = source.answer_challenge(delivery) if source.answers_unsigned_challenges else None
            if challenge_response is None:
                raise
        self._check_unauthenticated(delivery_log, source)
        return _answer_challenge(delivery_log, challenge_response)

    def _check_unauthenticated(self, delivery_log: DeliveryLog, source: Source) -> None:
        """Count an answered request that proves nothing about its sender.

        Raises:
            RateLimited: the client is above its limit.
        """
        if wait := self._rate_limits.record_rejection(delivery_log.address, source.name):
            raise self._rate_limits.limit(wait, source)

    async def _ingest(self, requests: Sequence[IngestRequest]) -> Sequence[IngestResult]:
        if not requests:
            return ()
        # After verification, or unauthenticated requests could cause this rejection.
        if self._in_flight >= self._settings.requests_in_flight_max:
            detail = "Too many deliveries are in progress."
            raise retry_later("too_many_requests", detail, self._settings.retry_after_seconds)
        self._in_flight += 1
        try:
            with self._ingest_timeout.start():
                return await self._store.ingest_all(requests)
        except TimeoutError as error:
            seconds = self._settings.ingest_timeout_seconds
            reason = f"the store did not answer within {seconds:g} s (WAYBILL_INGEST_TIMEOUT_SECONDS)"
            raise StoreUnavailable(reason, self._settings.retry_after_seconds) from error
        finally:
            self._in_flight -= 1

    def _rejection_for(self, error: BaseException) -> Rejection | None:
        """Return the rejection to answer `error` with, None for an unexpected exception."""
        if isinstance(error, Rejection):
            return error
        if isinstance(error, StoreUnavailable | StoreNotDurable):
            return store_unavailable(error, self._settings.retry_after_seconds)
        if isinstance(error, asyncio.CancelledError):
            return retry_later("store_unavailable", "This process is stopping.", self._settings.retry_after_seconds)
        return None

    def _limited(self, delivery_log: DeliveryLog, rejection: Rejection, body_bytes: int) -> Rejection:
        """Count a rejection caused by the sender. Return it, or the one of a client above its limit."""
        wait = self._rate_limits.record_rejection(delivery_log.address, delivery_log.source, body_bytes)
        return self._rate_limits.limit(wait, self._sources.get(delivery_log.source)) if wait else rejection

    def _record_rejection(self, delivery_log: DeliveryLog, rejection: Rejection, http_status: int) -> None:
        """Log and quarantine a rejected delivery. Only count it if its client is above its limit."""
        if isinstance(rejection, RateLimited):
            delivery_log.count_rejected(rejection.code)
            return
        quarantined = delivery_log.delivery and self._quarantine.enqueue(
            delivery_log.delivery, rejection, whole=delivery_log.whole, verified=delivery_log.verified
        )
        delivery_log.log_rejected(self._log, http_status, rejection.code, quarantined=bool(quarantined))


def _sent_status(scope: Scope, status: int) -> int:
    """Return the status that the sender got, which a middleware may have changed: 499 if it disconnected before."""
    return scope["state"].get(SENT_STATUS, status)


def split_path(path: str) -> tuple[str, str | None]:
    """Split the path after `/webhooks` into the name of the source and the token of `path_token` sources.

    Returns:
        The name and the token, or an empty name for an invalid path.
    """
    parts = path.strip("/").split("/")
    if len(parts) > 2 or not path.startswith("/"):
        return "", None
    return parts[0], parts[1] if len(parts) == 2 else None


def _answer_challenge(delivery_log: DeliveryLog, challenge_response: ChallengeResponse) -> AsgiResponse:
    delivery_log.outcomes, delivery_log.event_type = (IGNORED,), CHALLENGE
    headers = dict([challenge_response.header]) if challenge_response.header is not None else None
    return make_response(challenge_response.status, challenge_response.content_type, challenge_response.body, headers)


def _check_request(source: Source | None, method: str) -> Source:
    """Check the method, then the source, so that a wrong method does not reveal whether the source exists.

    Raises:
        Rejection: 405, 404.
    """
    if method not in {"POST", "OPTIONS"}:
        detail = "This endpoint receives webhooks only. Send a signed POST request."
        raise Rejection(405, "method_not_allowed", detail, {"allow": METHODS})
    if source is None:
        detail = "No source with this name is configured. Send webhooks to /webhooks/{source}."
        raise Rejection(404, "unknown_source", detail)
    return source
