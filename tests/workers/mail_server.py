"""A real SMTP server for tests: it requires STARTTLS and a password."""

import asyncio
import os
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.certificates import write_server_certificate

NOT_TLS = "this is no record of TLS"
"""Answer to a message that is written past the encryption."""
PASSWORD = "planted-password-0815"


class Mailbox:
    """Handler of the server: notes messages, and rejects as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[list[str], Message]] = []
        self.rejected = {"nobody@example.com": "550 No such user here"}
        self.data_answer = "250 queued as 7"

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: Any) -> str:  # noqa: N802
        if address not in self.rejected:
            envelope.rcpt_tos.append(address)
        return self.rejected.get(address, "250 OK")

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert server.transport is not None
        if not self.data_answer:
            server.transport.close()
        if self.data_answer == NOT_TLS:
            os.write(server.transport.get_extra_info("socket").fileno(), NOT_TLS.encode())
        assert isinstance(envelope.content, bytes)
        if self.data_answer.startswith("250"):
            self.got.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=default)))
        return self.data_answer


class MailServer(Controller):
    """Server in a thread. Its connections are closed before its loop: an open one is a warning in a later test."""

    def stop(self, no_assert: bool = False) -> None:  # noqa: FBT001, FBT002 - as the base class
        asyncio.run_coroutine_threadsafe(end_connections(), self.loop).result(60)
        super().stop(no_assert)


async def end_connections() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(3):  # a closed transport releases its socket in a later turn of the loop
        await asyncio.sleep(0)


def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@contextmanager
def running_mail_server(folder: Path, port: int) -> Generator[Mailbox]:
    """Run a server on a port of localhost. The certificate of its authority is `ca.pem` in the folder."""
    tls, mailbox = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), Mailbox()
    tls.load_cert_chain(*write_server_certificate(folder))
    server = MailServer(
        mailbox, hostname="127.0.0.1", port=port, tls_context=tls, require_starttls=True,
        auth_required=True, authenticator=authenticate,
    )  # fmt: skip
    server.start()
    yield mailbox
    server.stop()
