"""The CloudEvents handshake: a sender asks by OPTIONS whether it may deliver (HTTP Webhook 1.0.1, section 4). Pure.

A configured source has consented by being configured, so the answer is yes to the origin that asks, at any rate.
"""

import re
from collections.abc import Mapping

from service.ingress.answers import Answer, make_answer

METHODS = "POST, OPTIONS"

_ORIGIN = re.compile(r"[A-Za-z0-9.:*_-]{1,255}")


def shake_hands(headers: Mapping[str, str]) -> Answer:
    """Answer OPTIONS: what is allowed, and the consent if it was asked for by a well-formed origin."""
    consent = {"allow": METHODS}
    origin = headers.get("webhook-request-origin", "")
    if _ORIGIN.fullmatch(origin):
        consent["webhook-allowed-origin"] = origin
        if "webhook-request-rate" in headers:
            consent["webhook-allowed-rate"] = "*"
    return make_answer(200, "text/plain", b"", consent)
