"""The CloudEvents handshake: a sender asks by OPTIONS whether it may deliver (HTTP Webhook 1.0.2, section 4). Pure.

A configured source has consented by being configured, so the answer is yes to the origin that asks, at the rate that
the source may send. Permission needs both headers, the origin's and the rate's, asked for or not. The answer looks at
no token: it says nothing about a secret, and nothing is taken in.
"""

import re
from collections.abc import Mapping

from service.ingress.http.responses import AsgiResponse, make_response

METHODS = "POST, OPTIONS"

_ORIGIN = re.compile(r"[A-Za-z0-9.:*_-]{1,255}")


def answer_cloudevents_handshake(headers: Mapping[str, str], deliveries_per_second_max: float) -> AsgiResponse:
    """Answer OPTIONS: what is allowed, and the consent if it was asked for by a well-formed origin. 0 is any rate."""
    consent = {"allow": METHODS}
    origin = headers.get("webhook-request-origin", "")
    if _ORIGIN.fullmatch(origin):
        consent["webhook-allowed-origin"] = origin
        per_minute = int(deliveries_per_second_max * 60)
        consent["webhook-allowed-rate"] = str(max(per_minute, 1)) if deliveries_per_second_max else "*"
    return make_response(200, "text/plain", b"", consent)
