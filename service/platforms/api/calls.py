"""HTTP calls of one account. `service.platforms.api.responses` maps the responses to errors."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import quote, urlencode

from service.compute_thread import LARGE_BYTES, run_in_thread
from service.config.platforms import NO_ERRORS_CONFIG, ErrorsConfig, GoneResponse
from service.errors import Deferred, PermanentError, TransientError
from service.exchange import Exchange
from service.http_client import HttpClient, HttpResponse
from service.platforms.api.credentials import Credentials
from service.platforms.api.responses import (
    CREDENTIAL_STATUSES,
    GONE_STATUSES,
    RETRYABLE_STATUSES,
    GoneResponses,
    PlatformResponse,
    TypedReader,
    classify_response,
)
from service.platforms.base import CallContext
from service.throttles.throttle import NO_THROTTLE, Throttle

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

T = TypeVar("T")

_UNSAFE_SEGMENTS = frozenset({"", ".", ".."})


class ApiClient:
    """Calls of one account, each through the account's throttle.

    `errors` has the statuses of waybill.yaml. `read_transient` lists further statuses that a retry of a read may fix.
    """

    def __init__(
        self,
        account: str,
        base_url: str,
        outbound: HttpClient,
        credentials: Credentials,
        *,
        errors: ErrorsConfig = NO_ERRORS_CONFIG,
        read_transient: frozenset[int] = frozenset(),
        throttle: Throttle = NO_THROTTLE,
    ) -> None:
        self.account = account
        self._base_url = base_url.rstrip("/")
        self._outbound = outbound
        self._credentials = credentials
        self._transient = frozenset(errors.transient)
        gone = frozenset(each for each in errors.gone if isinstance(each, int))
        bodies = tuple(each for each in errors.gone if isinstance(each, GoneResponse))
        self._gone = GoneResponses(gone | GONE_STATUSES, bodies)
        self._read_transient = (read_transient | self._transient | RETRYABLE_STATUSES) - gone
        self._throttle = throttle

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return self._base_url + path

    async def get(
        self,
        operation: str,
        path: str,
        context: CallContext,
        headers: Mapping[str, str] = NO_HEADERS,
        read_typed: TypedReader | None = None,
    ) -> PlatformResponse:
        """Send a GET request. `read_typed` is as in `classify_response`.

        Returns:
            The response.

        Raises:
            TransientError, PermanentError, Deferred: As `call`.
        """
        return await self.call(operation, "GET", path, context, headers=headers, repeatable=True, read_typed=read_typed)

    async def call(
        self,
        operation: str,
        method: str,
        path: str,
        context: CallContext,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        repeatable: bool = False,
        read_typed: TypedReader | None = None,
    ) -> PlatformResponse:
        """Send one request. `path` starts with a slash; ids in it are quoted by `segment`.

        A 2xx response to a call that is not `repeatable` means success, with any body; `data` is then None or
        readable JSON.

        Returns:
            The response.

        Raises:
            TransientError: `platform_unavailable`, `platform_rate_limited`, an error of decoding or of the connection.
            PermanentError: `config_unauthorized`, `config_forbidden`, `config_redirected`, `config_wrong_address`,
                `platform_rejected`, an error of decoding or of the connection.
            Deferred: The account is throttled or its circuit is open.
        """
        target = path + ("?" + urlencode(query) if query else "")
        try:
            sent = _headers(context, headers, body)
            exchange = context.exchange
            return await self._repeated(
                operation, method, target, sent, body, exchange=exchange, repeatable=repeatable, read_typed=read_typed
            )
        except (TransientError, PermanentError, Deferred) as error:
            error.operation = operation
            raise

    async def _repeated(
        self,
        operation: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        exchange: Exchange | None,
        repeatable: bool,
        read_typed: TypedReader | None,
    ) -> PlatformResponse:
        """Repeat a call that was answered 401 or 403 once, if the credentials can be renewed."""
        renewed = False
        while True:
            async with self._throttle.slot(repeatable=repeatable, target=target):
                permit = await self._permit()
                if exchange is not None:
                    exchange.secrets.extend(permit.values())
                sent = {**headers, **permit}
                answer = await self._send(method, target, sent, body, exchange=exchange, body_needed=repeatable)
                rejected = answer.status in CREDENTIAL_STATUSES and not renewed
                again = rejected and await self._credentials.refreshable(permit, answer.status)
                if not again:
                    rest = operation, answer, permit, read_typed
                    if len(answer.body) > LARGE_BYTES:
                        return await run_in_thread(partial(self._classify, *rest, repeatable=repeatable))
                    return self._classify(*rest, repeatable=repeatable)
            renewed = True

    async def _permit(self) -> Mapping[str, str]:
        """Return the headers of the credentials. A failure of the token server is not one of the call itself."""
        try:
            return await self._credentials.headers()
        except (TransientError, PermanentError) as error:
            error.is_sent = False
            raise

    def _classify(
        self,
        operation: str,
        answer: HttpResponse,
        permit: Mapping[str, str],
        read_typed: TypedReader | None,
        *,
        repeatable: bool,
    ) -> PlatformResponse:
        return classify_response(
            f"{self.account}: {operation}",
            answer,
            transient=self._read_transient if repeatable else self._transient | RETRYABLE_STATUSES,
            gone=self._gone,
            secrets=permit.values(),
            now=time.time(),
            body_needed=repeatable,
            read_typed=read_typed,
        )

    async def _send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        exchange: Exchange | None,
        body_needed: bool,
    ) -> HttpResponse:
        settings = self._outbound.settings
        try:
            return await self._outbound.request(
                method,
                self._base_url + target,
                headers=headers,
                body=body,
                seconds_max=settings.fetch_timeout_seconds,
                bytes_max=settings.fetch_bytes_max,
                guarded=False,
                body_needed=body_needed,
                exchange=exchange,
            )
        except PermanentError as error:
            if error.kind != "response_too_large":
                raise
            reason = f"{error}. Increase WAYBILL_FETCH_BYTES_MAX, or request fewer fields by the path"
            raise PermanentError(error.kind, reason, http_status=error.http_status) from error


def _headers(context: CallContext, headers: Mapping[str, str], body: bytes | None) -> Mapping[str, str]:
    sent = {"Accept": "application/json", **headers}
    if body is not None:
        sent["Content-Type"] = "application/json"
    if context.traceparent:
        sent["traceparent"] = context.traceparent
    return sent


def segment(text: str) -> str:
    """Quote one id for a path.

    Returns:
        The quoted id.

    Raises:
        PermanentError: `invalid_id`: empty, or a dot segment, which would change the path.
    """
    if text in _UNSAFE_SEGMENTS:
        raise PermanentError("invalid_id", "the id cannot be part of a path")
    return quote(text, safe="")


def unknown_kind(account: str, kind: str) -> PermanentError:
    """Return the error for a kind of record that a platform does not have."""
    return PermanentError("unknown_kind", f"{account} has no {kind} to fetch")
