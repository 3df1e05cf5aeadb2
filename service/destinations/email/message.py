"""Messages of email: headers, text, and checked recipients. Pure."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from msgspec import Struct

from service.destinations.email.config import DOMAIN, LOCAL_PART
from service.destinations.http.request import format_key
from service.errors import PermanentError

SUBJECT_CHARACTERS_MAX = 200
_ADDRESS = re.compile(rf"{LOCAL_PART}@{DOMAIN}")


class Mail(Struct, frozen=True, kw_only=True):
    """Rendered message. `key` is the idempotency key, which becomes the Message-ID."""

    to: Sequence[str]
    subject: str
    text: str
    key: str


def check_recipients(to: Sequence[str], permitted: Sequence[str]) -> None:
    """Check rendered recipients. No error contains an address, which may be personal data.

    Raises:
        PermanentError: `invalid_recipient`; `recipient_not_permitted`.
    """
    for index, address in enumerate(to):
        if not _ADDRESS.fullmatch(address) or len(address) > 254:
            raise PermanentError("invalid_recipient", f"to[{index}] is no email address: check its template")
        known = {address.lower(), f"@{address.rpartition('@')[2].lower()}"}
        if permitted and known.isdisjoint(each.lower() for each in permitted):
            reason = f"to[{index}] is not among the recipients of the destination: add it there, or correct the rule"
            raise PermanentError("recipient_not_permitted", reason)


def build_message(mail: Mail, sender: str, now: float) -> EmailMessage:
    """Build the message. A repeated one has the same Message-ID, by which mail servers and clients recognize it."""
    message = EmailMessage(policy=SMTP)
    subject = " ".join(mail.subject.split())
    message["Subject"] = subject if len(subject) <= SUBJECT_CHARACTERS_MAX else subject[:SUBJECT_CHARACTERS_MAX] + "…"
    message["From"] = sender
    message["To"] = ", ".join(mail.to)
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = f"<{format_key(mail.key, 'uuid')}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic reply
    message.set_content(mail.text)
    return message
