"""CloudEvents handshake: a sender requests permission to deliver by OPTIONS (HTTP Webhook 1.0.2, section 4). Pure.

Every configured source is permitted, for the requested origin and the rate limit of a source. The response has both
headers, origin and rate, whether requested or not. No signature is checked, since nothing is ingested.
"""

import re
from collections.abc import Mapping

from service.ingress.http.responses import AsgiResponse, make_response

METHODS = "POST, OPTIONS"

_ORIGIN = re.compile(r"[A-Za-z0-9.:*_-]{1,255}")


def answer_cloudevents_handshake(headers: Mapping[str, str], deliveries_per_second_max: float) -> AsgiResponse:
    """Build the response to OPTIONS: the allowed methods, and the permission if the origin header is well-formed.

    A rate of 0 means no limit.
    """
    consent = {"allow": METHODS}
    origin = headers.get("webhook-request-origin", "")
    if _ORIGIN.fullmatch(origin):
        consent["webhook-allowed-origin"] = origin
        per_minute = int(deliveries_per_second_max * 60)
        consent["webhook-allowed-rate"] = str(max(per_minute, 1)) if deliveries_per_second_max else "*"
    return make_response(200, "text/plain", b"", consent)
