"""Text of exchanges: lines for people, and curl commands that repeat a request. Pure."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from service.exchange import SMTP_METHOD
from service.redaction import REDACTED

Exchange = Mapping[str, Any]
"""Exchange of `service.management.exchange_view`."""

LINE_CHARACTERS_MAX = 300
PLACEHOLDER = "REDACTED"
"""Shell variable for a redacted part of a URL or a body."""


def format_exchange(exchange: Exchange) -> Iterator[str]:
    """Yield the lines of an exchange: a summary, the request after `>`, the response after `<`."""
    request, response = exchange.get("request", {}), exchange.get("response")
    status = f"-> {response['status']}" if response else "-> no response"
    target = f"{request['method']} {_shorten(request['url'])} " if "url" in request else ""
    facts = [f"{target}{status} after {exchange.get('duration_ms', 0)} ms"]
    if exchange.get("peer"):
        facts.append(f"peer {exchange['peer']}")
    yield ", ".join(facts + _format_tls(exchange.get("tls")))
    yield from _format_side(">", request)
    yield from _format_side("<", response or {})


def format_curl(exchange: Exchange) -> Iterator[str]:
    """Yield the lines of a shell command that repeats a request. Redacted parts are shell variables."""
    request = exchange["request"]
    if request["method"] == SMTP_METHOD:
        yield f"# an email by {request['url']}, which curl does not repeat"
        return
    headers: Mapping[str, str] = request["headers"]
    names = [_variable(name) for name, value in headers.items() if REDACTED in value]
    names += [PLACEHOLDER] if REDACTED in request["url"] + request["body"] else []
    if names:
        yield f"# redacted, set before: {', '.join(dict.fromkeys(names))}"
    if (missing := request["body_bytes"] - len(request["body"].encode())) > 0 and REDACTED not in request["body"]:
        yield f"# the last {missing} of {request['body_bytes']} bytes of the body were not stored"
    options = [f"--request {shlex.quote(request['method'])} {_quote(request['url'], PLACEHOLDER)}"]
    options += [f"--header {_quote(f'{name}: {value}', _variable(name))}" for name, value in headers.items()]
    if request["body"]:
        if "content-type" not in map(str.lower, headers):
            options.append("--header Content-Type:")  # curl would add that of a form
        options.append(f"--data-raw {_quote(request['body'], PLACEHOLDER)}")
    yield " \\\n  ".join(["curl --globoff", *options])


def _format_tls(tls: Mapping[str, str] | None) -> list[str]:
    if not tls:
        return []
    certificate = f"certificate {tls['subject']}" if tls.get("subject") else "certificate"
    expiry = f" valid until {tls['expires_at']}" if tls.get("expires_at") else " not verified"
    return [f"{tls['version']} {tls['cipher']}", certificate + expiry]


def _format_side(mark: str, side: Mapping[str, Any]) -> Iterator[str]:
    for name, value in side.get("headers", {}).items():
        yield f"  {mark} {name}: {_shorten(value)}"
    body: str = side.get("body", "")
    for line in body.splitlines():
        yield f"  {mark} {_shorten(line)}"
    if side.get("body_bytes", 0) > len(body.encode()) and REDACTED not in body:
        yield f"  {mark} … ({side['body_bytes']} bytes)"


def _shorten(text: str) -> str:
    return text if len(text) <= LINE_CHARACTERS_MAX else text[:LINE_CHARACTERS_MAX] + "…"


def _quote(text: str, variable: str) -> str:
    """Quote text for a shell, with `variable` in place of each redacted part."""
    parts = [shlex.quote(part) if part else "" for part in text.split(REDACTED)]
    return f'"${variable}"'.join(parts)


def _variable(header: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in header.upper())
