"""The trace a delivery belongs to (W3C Trace Context, level 1 and 2). Pure.

A sender's valid `traceparent` is kept as it is, since Waybill makes no spans of its own; else a new one is made of the
delivery's id, so that one id finds the event and its trace alike.
"""

import re

from service.events import traceparent_from_id

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)
_LENGTH_MAX = 128


def continue_trace(sent: str | None, delivery_id: str) -> tuple[str, str]:
    """Give `(traceparent, trace_id)`: the sender's if it is valid, else one made of the 32 hex digits of `delivery_id`.

    Version 00 has exactly four parts; later versions may have more, which are passed on.
    """
    if sent is not None and len(sent) <= _LENGTH_MAX:
        match = _TRACEPARENT.fullmatch(sent)
        if match and not (match["more"] and sent.startswith("00")):
            return sent, match["trace_id"]
    return traceparent_from_id(delivery_id), delivery_id
