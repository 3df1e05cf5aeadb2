"""Fields of the delivery in rules: `delivery.` reads the payload, `delivery.headers.` the stored headers.

Both are claims of the sender: the signature proves who sent them, and no platform confirms them. The payload is decoded
when a rule reads it first, once per event.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET

from service.errors import ConfigError
from service.events import CORRELATION_HEADER, CREDENTIAL_HEADER, STORED_HEADERS
from service.rules.scope import Scope, Value

DELIVERY = "delivery"
READABLE_HEADERS = STORED_HEADERS | {CORRELATION_HEADER}

_NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_decode = msgspec.json.Decoder[Any](float_hook=Decimal).decode
_KNOWN = "delivery."
"""Key of the decoded payload in `Scope.known`, which is no name of a derived field."""


def payload_of(scope: Scope) -> Value:
    """Return the decoded payload of the delivery; UNSET if it is not stored any more, or is not JSON."""
    known = scope.known
    if _KNOWN not in known:
        try:
            known[_KNOWN] = _decode(scope.event.body) if scope.event.body else UNSET
        except (ValueError, ArithmeticError, RecursionError):  # Decimal rejects huge exponents
            known[_KNOWN] = UNSET
    return known[_KNOWN]


def header_of(names: Sequence[str], at: str) -> str:
    """Return the name of a header. `check_headers` checks that the sources of a rule store it.

    Raises:
        ConfigError: no event stores such a header.
    """
    name = ".".join(names)
    if name not in READABLE_HEADERS and (not _NAME.fullmatch(name) or CREDENTIAL_HEADER.search(name)):
        fix = f"use one of {', '.join(sorted(READABLE_HEADERS))}, or a field of the payload"
        raise ConfigError(at, f"the header {name[:64]!r} is not stored with an event", fix)
    return name


def is_claim(path: object) -> bool:
    """Return whether a field is part of the delivery."""
    return isinstance(path, str) and path.removeprefix("$root.").startswith(f"{DELIVERY}.")
