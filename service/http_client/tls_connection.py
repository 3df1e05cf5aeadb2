"""Connection with TLS: encrypts and decrypts by the module ssl, without a further transport.

The TLS transports of asyncio and uvloop cost more CPU time, and write later: the lease would be checked long before.
"""

import asyncio
import ssl

from service.exchange import ConnectionFacts, connection_facts
from service.http_client.connection import Connection, Owner

READ_BYTES = 16_384
"""Largest TLS record."""
WRITE_BYTES = 1_048_576
"""Part of a request that is encrypted before it is written."""


class TlsConnection(Connection):
    """Connection that is usable after `wait_until_ready`."""

    def __init__(self, owner: Owner, context: ssl.SSLContext, host: str) -> None:
        super().__init__(owner)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait_until_ready(self) -> None:
        """Wait for the end of the handshake.

        Raises:
            ssl.SSLError: The handshake failed, also because of the certificate.
            OSError: The server closed the connection.
        """
        try:
            await self._ready
        except BaseException:
            self.close()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake."""
        super().connection_made(transport)
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        """Decrypt bytes, and parse their content."""
        self._incoming.write(data)
        if not self._ready.done() and not self._shake_hands():
            return
        try:
            while not self._is_closed and (self._incoming.pending or self._tls.pending()):
                content = self._tls.read(READ_BYTES)
                if not content:
                    self._end()
                    break
                super().data_received(content)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._end()
        except ssl.SSLError as error:
            super().connection_lost(error)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the handshake or the call. A missing close_notify is tolerated, since many servers send none."""
        self._fail_handshake(exc or ConnectionResetError("the server closed the connection"))
        super().connection_lost(exc)

    def facts(self) -> ConnectionFacts:
        """Return the facts of the connection. They are read once."""
        if self._facts is None:
            self._facts = connection_facts(self._transport, self._tls)
        return self._facts

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[self._tls.write(left[:WRITE_BYTES]) :]
                self._flush()
        except ssl.SSLError as error:
            super().connection_lost(error)

    def _shake_hands(self) -> bool:
        """Continue the handshake, and return whether it is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert
            self._fail_handshake(error)
            return False
        self._flush()
        if not self._ready.done():
            self._ready.set_result(None)
        return True

    def _fail_handshake(self, error: Exception) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # the call may be cancelled, and not wait for it

    def _flush(self) -> None:
        if self._outgoing.pending and not self._is_closed:
            self._transport.write(self._outgoing.read())

    def _end(self) -> None:
        """End the call at the server's close_notify."""
        super().connection_lost(None)
