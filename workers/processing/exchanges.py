"""Exchanges as stored in the history: without secrets, limited in size, and without what the decision contains.

Each text is limited to the setting for its side. Personal data stays: it is redacted when the history is shown.
"""

from collections.abc import Collection, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

from service.body_redaction import redact_pairs, redact_text, remove_secrets
from service.exchange import Exchange
from service.redaction import IS_SECRET, REDACTED
from service.settings import Settings
from workers.processing.history import StoredExchange, StoredRequest, StoredResponse

MARGIN_CHARACTERS = 4_096
"""Characters after the limit that are redacted too, so that no part of a secret at the limit is stored."""

UNKEPT_HEADERS = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding"})
"""Response headers about the transfer only. Time and size are stored anyway."""

EXCHANGE_FIELDS = frozenset({"http_status", "duration_ms"})
"""Fields of an action's result that an exchange contains too."""


class ExchangeLimits(Struct, frozen=True):
    """Exchanges of one effect that are stored, and bytes of the headers and of the body of each side."""

    exchanges_max: int
    request_bytes_max: int
    response_bytes_max: int


def exchange_limits(settings: Settings) -> ExchangeLimits:
    """Return the limits of the settings."""
    return ExchangeLimits(
        settings.exchanges_max, settings.exchange_request_bytes_max, settings.exchange_response_bytes_max
    )


def store_exchange(exchange: Exchange, inputs: Mapping[str, Any], limits: ExchangeLimits) -> StoredExchange | None:
    """Return an exchange as stored; None if no call was made, or if none are stored.

    Args:
        exchange: The exchange.
        inputs: The rendered inputs of the effect, which are stored with the decision.
        limits: The limits.
    """
    if not exchange.method or not limits.exchanges_max:
        return None
    secrets = exchange.known_secrets()
    response = None
    if exchange.status:
        maximum = limits.response_bytes_max
        body = exchange.response_body
        headers = {name: value for name, value in exchange.response_headers.items() if name not in UNKEPT_HEADERS}
        shown = _headers(headers, secrets, maximum)
        response = StoredResponse(exchange.status, shown, _text(body, secrets, maximum), len(body))
    return StoredExchange(
        _request(exchange, inputs, secrets, limits.request_bytes_max),
        response,
        round(exchange.duration_ms, 1),
        exchange.connection.peer,
        exchange.connection.tls,
    )


def stored_answer(answer: Mapping[str, Any] | None, exchange: StoredExchange | None) -> Mapping[str, Any] | None:
    """Return the result of an action without what its exchange contains."""
    known = EXCHANGE_FIELDS if exchange is not None else frozenset[str]()
    return {name: value for name, value in (answer or {}).items() if name not in known} or None


def _request(exchange: Exchange, inputs: Mapping[str, Any], secrets: Collection[str], bytes_max: int) -> StoredRequest:
    is_rendered_url = exchange.url == inputs.get("url")
    url = "" if is_rendered_url else remove_secrets(redact_pairs(exchange.url, IS_SECRET), secrets)
    known = {name.lower(): value for name, value in cast("Mapping[str, str]", inputs.get("headers") or {}).items()}
    added = {name: value for name, value in exchange.headers.items() if known.get(name.lower()) != value}
    body, rendered = exchange.body, inputs.get("body")
    is_rendered = rendered is not None and body == msgspec.json.encode(rendered)
    return StoredRequest(
        "" if exchange.method == inputs.get("method") else exchange.method,
        url[:bytes_max],
        _headers(added, secrets, bytes_max),
        None if is_rendered or body is None else _text(body, secrets, bytes_max),
        0 if is_rendered else len(body or b""),
    )


def _headers(headers: Mapping[str, str], secrets: Collection[str], bytes_max: int) -> dict[str, str]:
    """Return the headers that fit into the limit together."""
    kept: dict[str, str] = {}
    for name, value in headers.items():
        bytes_max -= len(name) + len(value)
        if bytes_max < 0:
            break
        kept[name] = REDACTED if IS_SECRET[name] else remove_secrets(value, secrets) if secrets else value
    return kept


def _text(body: bytes, secrets: Collection[str], bytes_max: int) -> str:
    """Return the first bytes of a body as text without secrets."""
    if not body or not bytes_max:
        return ""
    text = body[: bytes_max + MARGIN_CHARACTERS].decode(errors="replace")
    if "\0" in text:
        return "[binary]"
    redacted = remove_secrets(redact_text(text, IS_SECRET), secrets)
    if len(redacted) * 4 <= bytes_max:  # the usual case
        return redacted
    return redacted.encode()[:bytes_max].decode(errors="ignore")
