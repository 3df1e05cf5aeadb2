"""Email destination: sends one message per connection by SMTP, within limits and circuit breaker.

A message goes to all of its recipients or to none: the server accepts or rejects each recipient before the text.
"""

import asyncio
import functools
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email.message import EmailMessage

from aiosmtplib import SMTP
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponseException,
)
from msgspec import Struct

from service.destinations.connection import ConnectedDestination
from service.destinations.destination import Probe, ShownRequest
from service.destinations.email.config import EmailConfig
from service.destinations.email.message import Mail, build_message, check_recipients
from service.destinations.http.request import SendContext
from service.destinations.http.tls import TlsFiles
from service.destinations.kind import DestinationDependencies
from service.egress import tls_context
from service.errors import PermanentError, TransientError
from service.exchange import SMTP_METHOD, connection_facts
from service.lease import check_lease
from service.open_socket import open_socket
from service.platforms.api.error_messages import scrub_secrets
from service.secrets import SecretRef

ANSWER_CHARACTERS_MAX = 500
TRANSIENT_CODES = range(400, 500)
SHOWN_HEADERS = ("From", "Subject", "Date", "Message-ID")
"""Headers of a stored exchange. The recipients are in the inputs of the effect."""

_system_tls = functools.lru_cache(maxsize=1)(ssl.create_default_context)  # reading the authorities takes 30 ms


class SmtpAnswer(Struct, frozen=True):
    """Code of the answer to a message, and the duration of the call."""

    status: int
    duration_ms: float


class EmailDestination(ConnectedDestination[EmailConfig]):
    """One mail server and sender.

    Raises:
        ConfigError: A secret or a certificate cannot be read.
    """

    def __init__(self, name: str, config: EmailConfig, dependencies: DestinationDependencies) -> None:
        super().__init__(name, config, dependencies)
        settings = dependencies.http_client.settings
        self._tls = TlsFiles(config.tls, settings, f"{self.at}.tls") if config.tls else None
        self._default_tls = tls_context(settings) or _system_tls()
        self._credentials()

    async def send(self, mail: Mail, context: SendContext) -> SmtpAnswer:
        """Send a message within the limits of the destination.

        Returns:
            The answer of the server, with its code.

        Raises:
            Deferred: A limit is reached, or the circuit is open.
            TransientError: `connect`, `tls`, `timeout`, `reset`; `target_unavailable` for an answer 4xx.
            PermanentError: `target_rejected` for an answer 5xx; `invalid_recipient`; `recipient_not_permitted`.
        """
        check_recipients(mail.to, self.config.recipients)
        message = build_message(mail, self.config.sender, self.dependencies.clock())
        started = time.perf_counter()
        async with self.slot(""):
            code = await self._send(mail, message, context)
        return SmtpAnswer(code, (time.perf_counter() - started) * 1000)

    async def probe(self, _method: str, _path: str, /) -> Probe:
        """Connect, log in and send NOOP. No message is sent."""
        request = ShownRequest(method=SMTP_METHOD, url=self.config.shown_url, headers={}, body="NOOP")
        started = time.perf_counter()
        try:
            async with self._session(self.config.timeouts.total_seconds) as client:
                answer = await client.noop()
        except (TransientError, PermanentError) as error:
            return Probe(request=request, error=f"{error.kind}: {error}")
        duration_ms = round((time.perf_counter() - started) * 1000, 1)
        return Probe(request=request, status=answer.code, body=self._scrub(answer.message), duration_ms=duration_ms)

    async def check(self) -> str:
        """Connect and log in. No message is sent.

        Returns:
            One line about the result.

        Raises:
            TransientError, PermanentError: As `send`.
        """
        started = time.perf_counter()
        async with self._session(self.config.timeouts.total_seconds) as client:
            await client.noop()
        login = "" if self.config.password is None else ", credentials accepted"
        return f"reachable{login} (in {(time.perf_counter() - started) * 1000:.0f} ms)"

    async def _send(self, mail: Mail, message: EmailMessage, context: SendContext) -> int:
        exchange, is_sent = context.exchange, False
        exchange.secrets.extend(self._known_secrets())
        headers = {name: str(message[name]) for name in SHOWN_HEADERS}
        exchange.begin(SMTP_METHOD, self.config.shown_url, headers, mail.text.encode())
        started = time.perf_counter()
        try:
            async with self._session(min(self.config.timeouts.total_seconds, context.seconds_max)) as client:
                if client.transport is not None:
                    exchange.connection = connection_facts(client.transport)
                await client.mail(self.config.sender)
                for recipient in mail.to:
                    await client.rcpt(recipient)
                check_lease()
                is_sent = True
                answer = await client.data(message.as_bytes())
                exchange.status, exchange.response_body = answer.code, answer.message.encode()
                return answer.code
        except (TransientError, PermanentError) as error:
            error.is_sent = is_sent
            cause = error.__cause__
            if isinstance(cause, SMTPResponseException):  # an answer proves that the message was not accepted
                exchange.status, exchange.response_body = cause.code, cause.message.encode()
                if isinstance(error, TransientError):
                    error.is_performed = False
            raise
        finally:
            exchange.duration_ms = (time.perf_counter() - started) * 1000

    @asynccontextmanager
    async def _session(self, seconds_max: float) -> AsyncGenerator[SMTP]:
        """Open a connection with credentials, and classify the errors of its use."""
        config = self.config
        username, password = self._credentials()
        client = SMTP(
            hostname=config.host,
            username=username,
            password=password,
            local_hostname=socket.gethostname(),
            timeout=min(config.timeouts.connect_seconds, seconds_max),
            use_tls=config.security == "tls",
            start_tls=config.security == "starttls",
            tls_context=None if config.security == "none" else self._context(),
        )
        is_connected = False
        try:
            async with asyncio.timeout(seconds_max):
                await client.connect(sock=await self._open_socket(seconds_max))
                is_connected = True
                client.timeout = seconds_max
                yield client
                await _quit(client)
        except (SMTPException, OSError) as error:
            raise self._classify(error, is_connected=is_connected) from error
        finally:
            client.close()

    async def _open_socket(self, seconds_max: float) -> socket.socket:
        config = self.config
        async with asyncio.timeout(min(config.timeouts.connect_seconds, seconds_max)):
            return await open_socket(self.dependencies.http_client.resolver, config.host, config.server_port)

    def _context(self) -> ssl.SSLContext:
        return self._tls.context() if self._tls else self._default_tls

    def _credentials(self) -> tuple[str | None, str | None]:
        config = self.config
        username = config.username
        if isinstance(username, SecretRef):
            username = self.secrets.read(username, f"{self.at}.username")
        return username, self.secrets.read(config.password, f"{self.at}.password") if config.password else None

    def _classify(self, error: Exception, *, is_connected: bool) -> TransientError | PermanentError:
        """Return the error for an exception of the session. It has the server's own words."""
        if isinstance(error, SMTPResponseException):
            return self._classify_answer(error, is_connected=is_connected)
        is_tls = isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError)
        if is_tls and not is_connected:
            return TransientError("tls", f"TLS handshake with {self.name} failed: check its certificate")
        if isinstance(error, TimeoutError):
            return TransientError("timeout" if is_connected else "connect", f"{self.name} did not answer in time")
        if is_connected and (is_tls or isinstance(error, OSError)):  # no proof about a message that was sent before
            return TransientError("reset", f"{self.name} closed the connection")
        if isinstance(error, OSError):
            return TransientError("connect", f"cannot connect to {self.name} at {self.config.shown_url}")
        return TransientError("connect", f"{self.name} cannot be used: {error}")  # no STARTTLS, no AUTH

    def _classify_answer(self, error: SMTPResponseException, *, is_connected: bool) -> TransientError | PermanentError:
        reason = f"{self.name} answered {error.code}: {self._scrub(error.message)}"
        if isinstance(error, SMTPAuthenticationError) and error.code not in TRANSIENT_CODES:
            return PermanentError("config_unauthorized", reason)
        if not is_connected:
            return TransientError("connect", reason)
        if error.code in TRANSIENT_CODES:
            return TransientError("target_unavailable", reason)
        return PermanentError("target_rejected", reason)

    def _known_secrets(self) -> tuple[str, ...]:
        """Return the secrets, also in the forms of AUTH PLAIN and AUTH LOGIN (RFC 4616)."""
        username, password = self._credentials()
        if password is None:
            return self.secrets.values()
        forms = (f"\0{username}\0{password}", password)
        return (*self.secrets.values(), *(b64encode(form.encode()).decode() for form in forms))

    def _scrub(self, text: str) -> str:
        return scrub_secrets(" ".join(text.split()), self._known_secrets())[:ANSWER_CHARACTERS_MAX]


async def _quit(client: SMTP) -> None:
    """End the session. The message is accepted already, so an error changes nothing."""
    try:
        await client.quit()
    except (SMTPException, OSError):
        return
