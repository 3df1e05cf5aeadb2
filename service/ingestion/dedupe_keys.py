"""Dedupe keys: identities of events, as digests of signed data. Pure."""

import base64
import hashlib
from collections.abc import Callable

from service.envelopes import ParsedDelivery

DEDUPE_KEY_BYTES = 18
"""144 bits: 24 characters in base64url, without padding."""


def dedupe_keys_of(
    source: str, parsed: ParsedDelivery, shared_identity: Callable[[], tuple[bytes, bytes]]
) -> tuple[str, ...]:
    """Return the dedupe key of each fact. `shared_identity` returns the identity of facts without an event id.

    A fact without an id is numbered by its position in the list, so that a corrected configuration changes no key. An
    id that occurs again with other bytes is numbered; with the same bytes it is a duplicate.
    """
    facts = parsed.facts
    # Fast path for the usual delivery: one event with an id.
    if len(facts) == 1 and facts[0].id is not None:
        return (dedupe_key_of_id(source, facts[0].id),)
    shared = shared_identity() if any(fact.id is None for fact in facts) else (b"", b"")
    # A connector reads several facts from one body. They differ, although their bytes are the same.
    own_bytes = len(set(parsed.bodies)) > 1 or bool(parsed.indexes)
    bodies_by_id: dict[str, dict[bytes, int]] = {}
    keys: list[str] = []
    for position, fact in enumerate(facts):
        if fact.id is None:
            keys.append(digest_identity(source, *shared, parsed.indexes[position] if parsed.indexes else position))
        else:
            numbers = bodies_by_id.setdefault(fact.id, {})
            body = parsed.bodies[position] if own_bytes else b"%d" % position
            keys.append(digest_identity(source, b"id", fact.id.encode(), numbers.setdefault(body, len(numbers))))
    return tuple(keys)


def dedupe_key_of_id(source: str, sender_id: str) -> str:
    """Return the dedupe key for the sender's event id, to find the event by it."""
    return digest_identity(source, b"id", sender_id.encode(), 0)


def digest_identity(source: str, kind: bytes, identity: bytes, occurrence: int) -> str:
    """Return the dedupe key of an identity. `occurrence` numbers equal identities in one delivery."""
    head = b"%b\0%b\0%d\0" % (source.encode(), kind, occurrence)
    digest = hashlib.blake2b(head + identity, digest_size=DEDUPE_KEY_BYTES).digest()
    return base64.urlsafe_b64encode(digest).decode()
