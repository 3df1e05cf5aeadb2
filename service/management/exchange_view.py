"""View of the exchanges in a history: what each attempt of an effect sent and received.

The history has a request without what equals the inputs of its effect; here it is complete. Secrets were removed before
it was stored. `redacted` has no personal data, `outline` has neither URLs nor headers nor bodies.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from service.body_redaction import redact_headers, redact_pairs, redact_text
from service.redaction import IS_SECRET_OR_PERSONAL, scrub

Visibility = Literal["outline", "redacted", "raw"]

Entry = Mapping[str, Any]


def complete_exchanges(history: Sequence[Entry]) -> list[Entry]:
    """Return the entries of a history with complete requests."""
    inputs: dict[tuple[str, str], Entry] = {
        (effect["rule_id"], effect["action_id"]): effect.get("inputs", {})
        for entry in history
        for effect in entry.get("effects", ())
    }
    return [
        {**entry, "exchange": _complete(entry["exchange"], inputs.get((entry["rule_id"], entry["action_id"]), {}))}
        if "exchange" in entry
        else entry
        for entry in history
    ]


def visible_exchange(exchange: Entry, visibility: Visibility) -> Entry:
    """Return the visible part of a complete exchange."""
    if visibility == "raw":
        return exchange
    if visibility == "redacted":
        sides = {name: _redact(exchange[name]) for name in ("request", "response") if name in exchange}
        return cast("Entry", scrub({**exchange, **sides}))
    response = exchange.get("response")
    return {
        **{name: value for name, value in exchange.items() if name not in {"request", "response"}},
        **({"response": {"status": response["status"]}} if response else {}),
    }


def _complete(exchange: Entry, inputs: Entry) -> Entry:
    request = exchange["request"]
    method, url = request.get("method") or inputs.get("method", ""), request.get("url") or inputs.get("url", "")
    known, added = inputs.get("headers", {}), request.get("headers", {})
    headers = {name.lower(): value for part in (known, added) for name, value in part.items()}
    body, size = request.get("body"), request.get("body_bytes", 0)
    if body is None and inputs.get("body") is not None and not size:
        encoded = msgspec.json.encode(inputs["body"])
        body, size = encoded.decode(), len(encoded)
    complete: Entry = {"method": method, "url": url, "headers": headers, "body": body or "", "body_bytes": size}
    return {**exchange, "request": complete}


def _redact(side: Entry) -> Entry:
    changes: dict[str, Any] = {
        "headers": redact_headers(side.get("headers", {}), IS_SECRET_OR_PERSONAL),
        "body": redact_text(side.get("body", ""), IS_SECRET_OR_PERSONAL),
    }
    if "url" in side:
        changes["url"] = redact_pairs(side["url"], IS_SECRET_OR_PERSONAL)
    return {**side, **changes}
