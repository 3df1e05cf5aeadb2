"""HTTP destination: sends requests with credentials and signature, within limits and circuit breaker.

Secrets are read again when their files change. An answer 401 or 403 is repeated once with renewed credentials.
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from service.config.auth import NoAuth
from service.destinations.connection import ConnectedDestination
from service.destinations.destination import Probe, ShownRequest
from service.destinations.http.config import HIDDEN_URL, HttpConfig, url_mistake
from service.destinations.http.request import (
    SHOWN_BODY_CHARACTERS_MAX,
    OutgoingRequest,
    PreparedRequest,
    SendContext,
    format_key,
    join_url,
    merge_headers,
    shown_headers,
)
from service.destinations.http.signing import UnsignedRequest
from service.destinations.http.transport import Transport
from service.destinations.kind import DestinationDependencies
from service.errors import ConfigError, PermanentError, Rejection, TransientError
from service.events import new_event_id
from service.exchange import Exchange
from service.http_client import HttpResponse
from service.platforms.api.credentials import TokenRoute, build_credentials
from service.platforms.api.error_messages import scrub_secrets
from service.platforms.api.responses import CREDENTIAL_STATUSES, describe_failure, is_transient, retry_after_seconds
from service.secrets import SecretReader, SecretRef
from service.throttles.throttles import DESTINATION_PREFIX

ANSWER_BYTES_MAX = 65_536
CONFLICT = 409
"""Response to a repeated request while the first one with the same idempotency key is in progress."""
CREDENTIAL_KINDS = {401: "config_unauthorized", 403: "config_forbidden"}


class HttpDestination(ConnectedDestination[HttpConfig]):
    """One HTTP destination.

    Raises:
        ConfigError: A secret or a certificate cannot be read.
    """

    def __init__(self, name: str, config: HttpConfig, dependencies: DestinationDependencies) -> None:
        super().__init__(name, config, dependencies)
        self._transport = Transport(config, self.secrets, dependencies.http_client.settings, self.at)
        self._credentials = build_credentials(
            config.auth,
            DESTINATION_PREFIX + name,
            dependencies.http_client,
            lambda ref, field: self.secrets.read(ref, f"{self.at}.auth.{field}"),
            token_cache=dependencies.token_cache,
            route=TokenRoute(self._transport.options, guarded=not config.allow_private_host),
            static=lambda build: CurrentHeaders(build, self.secrets),
        )
        self._base_url()
        self._fixed_headers()
        self._transport.options()

    async def send(self, request: OutgoingRequest, context: SendContext) -> HttpResponse:
        """Send a request within the limits of the destination.

        Returns:
            A successful response.

        Raises:
            Deferred: A limit is reached, or the circuit is open.
            TransientError: `target_unavailable`: the status means that a retry can succeed; or an error of the
                connection.
            PermanentError: `target_rejected`: any other status outside 200 to 299; `secret_unusable`; `invalid_url`.
        """
        async with self.slot(request.path):
            return await self._exchange(request, context)

    async def prepare(self, request: OutgoingRequest, context: SendContext) -> PreparedRequest:
        """Build the request with credentials, idempotency key and signature.

        Returns:
            The request.

        Raises:
            TransientError: The token server is unavailable.
            PermanentError: As `send`.
        """
        config = self.config
        try:
            permit = await self._credentials.headers()
        except (TransientError, PermanentError) as error:
            error.is_sent = False
            raise
        except ConfigError as error:
            raise PermanentError("secret_unusable", f"{error.path}: {error.reason}") from None
        key = format_key(context.idempotency_key, config.idempotency.form)
        try:
            url = join_url(self._base_url(), request.path, request.query)
            fixed = self._fixed_headers()
            headers = merge_headers(
                {"content-type": request.content_type} if request.content_type else {},
                fixed,
                request.headers,
                {config.idempotency.header: key},
                {"traceparent": context.traceparent} if context.traceparent else {},
                permit,
            )
            added = self._signature(request, url, headers, key)
        except ConfigError as error:
            raise PermanentError("secret_unusable", f"{error.path}: {error.reason}") from None
        except Rejection as error:
            raise PermanentError("unsignable", error.detail) from None
        headers = merge_headers(headers, added) if added else headers
        return PreparedRequest(method=request.method, url=url, headers=headers, body=request.body, permit=permit)

    def show(self, prepared: PreparedRequest) -> ShownRequest:
        """Return a request without secrets."""
        fixed = self.config.headers.items()
        names = {name.lower() for name, value in fixed if isinstance(value, SecretRef)}
        secrets = self._known_secrets(prepared)
        return ShownRequest(
            method=prepared.method,
            url=self._shown_target(prepared.url, secrets),
            headers=shown_headers(prepared.headers, names | {name.lower() for name in prepared.permit}, secrets),
            body=_shown_text(prepared.body or b"", secrets),
        )

    async def probe(self, method: str, path: str) -> Probe:
        """Send a test request without limits and retries. Return the request and the answer without secrets."""
        return await self.probe_request(OutgoingRequest(method=method, path=path))

    async def probe_request(self, request: OutgoingRequest) -> Probe:
        """As `probe`, with any request."""
        context = SendContext(idempotency_key=f"test:{new_event_id()}")
        prepared, seconds_max = await self.prepare(request, context), self.config.timeouts.total_seconds
        try:
            answer = await self._call(prepared, seconds_max, body_needed=True, exchange=context.exchange)
        except (TransientError, PermanentError) as error:
            return Probe(request=self.show(prepared), status=error.http_status, error=f"{error.kind}: {error}")
        secrets = (*self._known_secrets(prepared), *context.exchange.secrets)
        return Probe(
            request=self.show(prepared),
            status=answer.status,
            headers=shown_headers(answer.headers, {"set-cookie"}, secrets),
            body=_shown_text(answer.body, secrets),
            duration_ms=round(answer.duration_ms, 1),
        )

    async def check(self) -> str:
        """Fetch the OAuth2 token, if any, and send HEAD without credentials. Any answer shows that the target is there.

        Returns:
            One line about the result.

        Raises:
            TransientError: No connection, or the token server is unavailable.
            PermanentError: `address_blocked`; `secret_unusable`; or the token server rejects the credentials.
        """
        try:
            await self._credentials.headers()
            request = PreparedRequest(method="HEAD", url=self._base_url(), headers={}, body=None, permit={})
        except ConfigError as error:
            raise PermanentError("secret_unusable", f"{error.path}: {error.reason}") from None
        answer = await self._call(request, self.config.timeouts.total_seconds, body_needed=False)
        return f"reachable ({answer.status} to HEAD without credentials, in {answer.duration_ms:.0f} ms)"

    async def _exchange(self, request: OutgoingRequest, context: SendContext) -> HttpResponse:
        renewed = False
        while True:
            prepared = await self.prepare(request, context)
            seconds_max = min(self.config.timeouts.total_seconds, context.seconds_max)
            context.exchange.secrets.extend(self._known_secrets(prepared))
            answer = await self._call(prepared, seconds_max, body_needed=False, exchange=context.exchange)
            rejected = answer.status in CREDENTIAL_STATUSES and not renewed
            if not (rejected and await self._credentials.refreshable(prepared.permit, answer.status)):
                self._check_status(answer, context)
                return answer
            renewed = True

    async def _call(
        self, prepared: PreparedRequest, seconds_max: float, *, body_needed: bool, exchange: Exchange | None = None
    ) -> HttpResponse:
        try:
            transport = self._transport.options()
        except ConfigError as error:
            raise PermanentError("secret_unusable", f"{error.path}: {error.reason}") from None
        return await self.dependencies.http_client.request(
            prepared.method,
            prepared.url,
            headers=prepared.headers,
            body=prepared.body,
            seconds_max=seconds_max,
            bytes_max=ANSWER_BYTES_MAX,
            guarded=not self.config.allow_private_host,
            body_needed=body_needed,
            exchange=exchange,
            transport=transport,
        )

    def _check_status(self, answer: HttpResponse, context: SendContext) -> None:
        """Classify a response that is not successful. The error has the target's own words.

        Raises:
            TransientError: 408, 425, 429, 5xx, a 4xx with Retry-After, or a status of the retry policy.
            PermanentError: Any other status outside 200 to 299.
        """
        status, retry = answer.status, self.config.retry
        if 200 <= status < 300:
            return
        wait = retry_after_seconds(answer.headers.get("retry-after"), self.dependencies.clock())
        reason = describe_failure(self.name, answer, context.exchange.known_secrets())
        conflict = context.is_repeated and status == CONFLICT
        if is_transient(status, wait) or conflict or status in (*retry.statuses, *retry.ambiguous_statuses):
            error = TransientError("target_unavailable", reason, http_status=status, retry_after_seconds=wait)
            if status in retry.statuses:
                error.is_performed = False
            elif status in retry.ambiguous_statuses:
                error.is_performed = True
            raise error
        kind = "target_rejected" if isinstance(self.config.auth, NoAuth) else CREDENTIAL_KINDS.get(status)
        raise PermanentError(kind or "target_rejected", reason, http_status=status)

    def _base_url(self) -> str:
        url = self.config.url
        if isinstance(url, str):
            return url
        text = self.secrets.read(url, f"{self.at}.url")
        reason = url_mistake(text)
        if reason:
            raise ConfigError(f"{self.at}.url", reason, "write a URL such as https://erp.example.com/api into it")
        return text

    def _fixed_headers(self) -> dict[str, str]:
        return {
            name: self.secrets.read(value, f"{self.at}.headers.{name}") if isinstance(value, SecretRef) else value
            for name, value in self.config.headers.items()
        }

    def _signature(self, request: OutgoingRequest, url: str, headers: Mapping[str, str], key: str) -> Mapping[str, str]:
        if self.config.signature is None:
            return {}
        unsigned = UnsignedRequest(
            method=request.method,
            url=url,
            headers=headers,
            body=request.body or b"",
            key=key,
            now=self.dependencies.clock(),
        )
        return self.config.signature.headers(unsigned, lambda ref: self.secrets.read(ref, f"{self.at}.signature"))

    def _known_secrets(self, prepared: PreparedRequest) -> tuple[str, ...]:
        secrets = (*self.secrets.values(), *prepared.permit.values())
        if isinstance(self.config.url, str):
            return secrets
        base = urlsplit(self._base_url())
        return (*secrets, base.path.rstrip("/"), base.query)

    def _shown_target(self, url: str, secrets: tuple[str, ...]) -> str:
        if isinstance(self.config.url, str):
            return scrub_secrets(url, secrets)
        base = self._base_url()
        return HIDDEN_URL + (scrub_secrets(url[len(base) :], secrets) if url.startswith(base) else "")


class CurrentHeaders:
    """Headers of credentials that follow their secrets. `build` reads the secrets."""

    def __init__(self, build: Callable[[], Mapping[str, str]], secrets: SecretReader) -> None:
        self._build = build
        self.secrets = secrets
        build()

    async def headers(self) -> Mapping[str, str]:
        """Return the headers."""
        return self._build()

    async def refreshable(self, sent: Mapping[str, str], _status: int, /) -> bool:
        """Read changed secrets again. Return True if the headers differ from the sent ones."""
        self.secrets.refresh()
        return self._build() != sent


def _shown_text(body: bytes, secrets: tuple[str, ...]) -> str:
    text = body[: 4 * SHOWN_BODY_CHARACTERS_MAX].decode(errors="replace")
    return scrub_secrets(text, secrets)[:SHOWN_BODY_CHARACTERS_MAX]
