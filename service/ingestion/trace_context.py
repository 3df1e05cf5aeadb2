"""Trace context of a delivery (W3C Trace Context, levels 1 and 2). Pure.

Without traces (`service.tracing`), a valid `traceparent` header is stored unchanged. Otherwise the trace id is the id
of the delivery, so that one id finds the event and its trace.
"""

import re

from service.events import traceparent_from_id

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)
_LENGTH_MAX = 128


def continue_trace(sent: str | None, delivery_id: str) -> tuple[str, str]:
    """Return `(traceparent, trace_id)`: those of the sender if valid, else built from the hex digits of `delivery_id`.

    Version 00 has exactly four parts. Later versions may have more, which are kept.
    """
    if sent is not None and len(sent) <= _LENGTH_MAX:
        match = _TRACEPARENT.fullmatch(sent)
        if match and not (match["more"] and sent.startswith("00")):
            return sent, match["trace_id"]
    return traceparent_from_id(delivery_id), delivery_id
