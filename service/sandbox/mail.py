"""Mail server of the sandbox: accepts each message without TLS and credentials, and keeps it in the sink."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiosmtpd.smtp import SMTP, Envelope, Session

from service.sandbox.sink import Sink

MESSAGE_BYTES_MAX = 1_048_576


class MailHandler:
    """Handler of messages, as aiosmtpd calls it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - of aiosmtpd
        """Keep the message."""
        content = envelope.content or b""
        self._sink.keep_mail(envelope.rcpt_tos, content if isinstance(content, bytes) else content.encode())
        return "250 Message accepted"


@asynccontextmanager
async def running_mail_server(sink: Sink, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[str, None]:
    """Run a mail server until the context exits, and return its URL. Port 0 selects a free port.

    Raises:
        OSError: The address cannot be bound.
    """

    def connect() -> SMTP:
        return SMTP(MailHandler(sink), hostname="sandbox", data_size_limit=MESSAGE_BYTES_MAX)

    server = await asyncio.get_running_loop().create_server(connect, host, port)
    name = f"[{host}]" if ":" in host else host
    try:
        yield f"smtp://{name}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
