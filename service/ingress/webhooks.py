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

from service.envelopes import Echo
from service.errors import Refusal, StoreUnavailable, StoreUnsafe
from service.events import Delivery
from service.ingestion.arrivals import IGNORED, Origin, build_arrivals, match_outcomes
from service.ingestion.event_store import EventStore
from service.ingestion.headers import check_media
from service.ingestion.trace_context import continue_trace
from service.ingress.answers import Answer, accepted, make_answer, send_answer
from service.ingress.bodies import Disconnected, Portion, Room, read_body, too_large
from service.ingress.deadlines import Deadlines
from service.ingress.exchanges import Exchange, exchange_of
from service.ingress.gate import Gate, Throttled
from service.ingress.handshake import METHODS, shake_hands
from service.ingress.headers import read_headers
from service.ingress.inflation import inflater_for
from service.ingress.keeping import Quarantine
from service.ingress.passage import Passage
from service.ingress.problems import INTERNAL, busy, problem, try_later
from service.log import get_logger
from service.settings import Settings
from service.sources import Source
from service.store import Arrival, Receipt

LEFT_STATUS = 499
"""What the log line says of a sender that left before it could be answered (nginx's number; nobody is sent it)."""

CHALLENGE = "challenge"
"""The event type that the log line of an answered challenge has."""

OURS = frozenset({"too_many_requests", "store_unavailable", "store_full", "internal"})
"""Refusals that are no sender's doing."""


class Webhooks:
    """POST /webhooks/{source}: joined from the sources and the store, with the limits of `settings`.

    Raises:
        ConfigError: a setting that cannot be read.
    """

    def __init__(self, settings: Settings, sources: Mapping[str, Source], store: EventStore) -> None:
        self._settings = settings
        self._sources = sources
        self._store = store
        self._gate = Gate(settings)
        self._room = Room(settings.in_flight_body_bytes_max, settings.retry_after_seconds)
        self._quarantine = Quarantine(settings, store)
        self._body_deadlines = Deadlines(settings.body_timeout_seconds)
        self._ingest_deadlines = Deadlines(settings.ingest_timeout_seconds)
        self._in_flight = 0
        self._log = get_logger().bind()

    async def receive_webhook(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Take in one delivery, answer it, and write its line."""
        passage = Passage()
        portion = Portion(self._room)
        exchange = exchange_of(receive)
        self._in_flight += 1
        try:
            answer = await self._take(passage, portion, scope, receive, exchange)
            await send_answer(exchange, send, answer)
            if passage.outcomes:
                passage.log_accepted(answer.status)
        except Disconnected as error:
            # Who leaves in the middle has cost what was unfolded for them.
            self._gate.charge(passage.address, portion.unfolded)
            passage.log_refused(self._log, LEFT_STATUS, error.kind, quarantined=False)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the one place that may not let anything by
            refusal = self._refusal_of(passage, error)
            await send_answer(exchange, send, problem(refusal))
            self._settle(passage, refusal, portion.unfolded)
            refusal.__traceback__ = None  # which leads to this frame and to it again: a circle that holds the body
        finally:
            self._in_flight -= 1
            portion.give_back()

    async def close(self) -> None:
        """Write down what waits to be put aside."""
        await self._quarantine.close()

    async def _take(
        self, passage: Passage, portion: Portion, scope: HTTPScope, receive: Receive, exchange: Exchange | None
    ) -> Answer:
        settings = self._settings
        # Before anything is read: beyond this all would be late, and the sender comes again.
        if self._in_flight > settings.requests_in_flight_max:
            detail = "Too many deliveries are being taken in at once."
            raise try_later("too_many_requests", detail, settings.retry_after_seconds)
        client = scope["client"]
        passage.address = client[0] if client else ""
        headers = read_headers(scope["headers"], settings.header_fields_max, settings.header_bytes_max)
        passage.address = self._gate.address_of(passage.address, headers)
        traceparent, passage.trace_id = continue_trace(headers.get("traceparent"), passage.id)
        name, token = split_path(scope["path"])
        found = self._sources.get(name)
        # Before the method, the source and the body are looked at, so that guessing has its bound, too.
        self._gate.pass_address(passage.address, found)
        if (
            found is not None
            and (echo := found.shake_hands(scope["method"], scope["query_string"], headers)) is not None
        ):
            self._gate.charge(passage.address)  # as with OPTIONS below
            return _say_back(passage, found, echo)
        source = _check_asked(passage, found, scope["method"])
        if scope["method"] == "OPTIONS":
            self._gate.charge(passage.address)  # it costs nothing to ask, and so may be asked too often
            return shake_hands(headers, settings.source_deliveries_per_second_max)
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
        check_media(headers, source.content_types)
        # The raw bytes, before anything has parsed them: a parser would be open to strangers.
        verified = source.verify(delivery)
        # Behind the proof, or strangers could use up what a source may send.
        self._gate.pass_source(source)
        if source.challenger is not None and (echo := source.challenge(delivery)) is not None:
            return _say_back(passage, source, echo)
        admission = source.read(delivery, verified)
        passage.read(admission.facts)
        origin = Origin(delivery, traceparent, source.window_ms, passage.id)
        receipts = await self._ingest(build_arrivals(admission, origin))
        passage.outcomes = match_outcomes(admission.facts, receipts)
        return accepted(passage.outcomes)

    def _read_whole(self, headers: Mapping[str, str], portion: Portion, exchange: Exchange | None) -> bytes | None:
        """Give a body that is here already, as it is; None for one that must be waited for, or inflated."""
        if exchange is None or "content-encoding" in headers:
            return None
        body = exchange.whole_body()
        if body is None:
            return None
        portion.unfolded = len(body)
        if len(body) > self._settings.body_bytes_max:
            raise too_large(self._settings.body_bytes_max)
        portion.take(len(body))
        return body

    async def _read(self, headers: Mapping[str, str], portion: Portion, receive: Receive) -> bytes:
        inflater = inflater_for(headers.get("content-encoding"))
        try:
            with self._body_deadlines.limit():
                bytes_max = self._settings.body_bytes_max
                return await read_body(receive, headers.get("content-length"), inflater, bytes_max, portion)
        except TimeoutError:
            detail = f"The body took longer than {self._settings.body_timeout_seconds:g} seconds to arrive."
            raise Refusal(408, "request_timeout", detail, {"connection": "close"}) from None

    async def _ingest(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        if not arrivals:
            return ()
        try:
            with self._ingest_deadlines.limit():
                return await self._store.ingest_all(arrivals)
        except TimeoutError as error:
            seconds = self._settings.ingest_timeout_seconds
            raise StoreUnavailable(f"no answer in {seconds:g} seconds", self._settings.retry_after_seconds) from error

    def _refusal_of(self, passage: Passage, error: BaseException) -> Refusal:
        """Name the refusal that answers `error`; what nobody foresaw is logged here, once, with its traceback."""
        if isinstance(error, Refusal):
            return error
        if isinstance(error, StoreUnavailable | StoreUnsafe):
            return busy(error, self._settings.retry_after_seconds)
        if isinstance(error, asyncio.CancelledError):
            return try_later("store_unavailable", "This process is stopping.", self._settings.retry_after_seconds)
        self._log.error("delivery.crashed", trace_id=passage.trace_id, exc_info=error)
        return INTERNAL

    def _settle(self, passage: Passage, refusal: Refusal, unfolded: int) -> None:
        """Write the line of a refused delivery, count it against its address, and put it aside."""
        if isinstance(refusal, Throttled):
            passage.count_refused(refusal.code)
            return
        if refusal.code not in OURS:
            self._gate.charge(passage.address, unfolded)
        put_aside = passage.delivery and self._quarantine.offer(passage.delivery, refusal, whole=passage.whole)
        passage.log_refused(self._log, refusal.status, refusal.code, quarantined=bool(put_aside))


def split_path(path: str) -> tuple[str, str | None]:
    """Split what follows `/webhooks` into the source's name and the token, which only `path_token` sources have.

    A path of any other form gives the empty name, which no source has.
    """
    parts = path.strip("/").split("/")
    if len(parts) > 2 or not path.startswith("/"):
        return "", None
    return parts[0], parts[1] if len(parts) == 2 else None


def _say_back(passage: Passage, source: Source, echo: Echo) -> Answer:
    passage.source, passage.outcomes, passage.event_type = source.name, (IGNORED,), CHALLENGE
    return make_answer(200, echo.content_type, echo.body)


def _check_asked(passage: Passage, source: Source | None, method: str) -> Source:
    """See that a source there is was asked in a way it can be; the method first, which says nothing of the source.

    Raises:
        Refusal: 405, 404.
    """
    if source is not None:
        passage.source = source.name
    if method not in {"POST", "OPTIONS"}:
        detail = "This address takes webhooks: send them with POST, signed as the source asks for. It shows nothing."
        raise Refusal(405, "method_not_allowed", detail, {"allow": METHODS})
    if source is None:
        detail = "No source of this name is configured here. Webhooks are sent to /webhooks/ and the name of a source."
        raise Refusal(404, "unknown_source", detail)
    return source
