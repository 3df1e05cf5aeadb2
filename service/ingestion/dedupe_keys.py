"""Dedupe keys: identities of events, as digests of signed data. Pure."""

import base64
import hashlib
from collections.abc import Callable

from service.envelopes import ParsedDelivery
from service.events import Fact, RecordRef

DEDUPE_KEY_BYTES = 18
"""144 bits: 24 characters in base64url, without padding."""
CONTENT_BYTES = 6
"""48 bits: differing content is not noticed once in 280 billion duplicates. The store keeps it with the dedupe key."""


def dedupe_keys_of(
    source: str, parsed: ParsedDelivery, shared_identity: Callable[[], tuple[bytes, bytes]], *, by_record: bool = False
) -> tuple[str, ...]:
    """Return the dedupe key of each fact. `shared_identity` returns the identity of facts without an event id.

    A fact without an id is numbered by its position in the list, so that a corrected configuration changes no key. An
    id that occurs again with other bytes is numbered; with the same bytes it is a duplicate. With `by_record` the keys
    include the record.
    """
    facts = parsed.facts
    # Fast path for the usual delivery: one event with an id.
    if len(facts) == 1 and facts[0].id is not None:
        key = dedupe_key_of_id(source, facts[0].id)
        return (key_with_record(source, key, facts[0].record) if by_record else key,)
    shared = shared_identity() if any(fact.id is None for fact in facts) else (b"", b"")
    # A connector reads several facts from one body. They differ, although their bytes are the same.
    own_bytes = len(set(parsed.bodies)) > 1 or bool(parsed.indexes)
    bodies_by_id: dict[tuple[str, RecordRef | None], dict[bytes, int]] = {}
    keys: list[str] = []
    for position, fact in enumerate(facts):
        if fact.id is None:
            keys.append(digest_identity(source, *shared, parsed.indexes[position] if parsed.indexes else position))
        else:
            numbers = bodies_by_id.setdefault((fact.id, fact.record if by_record else None), {})
            body = parsed.bodies[position] if own_bytes else b"%d" % position
            keys.append(digest_identity(source, b"id", fact.id.encode(), numbers.setdefault(body, len(numbers))))
    if by_record:
        keys = [key_with_record(source, key, fact.record) for key, fact in zip(keys, facts, strict=True)]
    return tuple(keys)


def key_with_record(source: str, key: str, record: RecordRef | None) -> str:
    """Return a dedupe key that includes the record; unchanged for a fact without a record."""
    return key if record is None else digest_identity(source, b"record", f"{key}{record.lane}".encode(), 0)


def dedupe_key_of_id(source: str, sender_id: str) -> str:
    """Return the dedupe key for the sender's event id, to find the event by it."""
    return digest_identity(source, b"id", sender_id.encode(), 0)


def digest_content(fact: Fact, body: bytes) -> bytes:
    """Return the digest that tells two events with one dedupe key apart: of the type, the record and the body."""
    head = f"{fact.type}\0{fact.record and fact.record.lane}\0".encode()
    return hashlib.blake2b(head + body, digest_size=CONTENT_BYTES).digest()


def digest_identity(source: str, kind: bytes, identity: bytes, occurrence: int) -> str:
    """Return the dedupe key of an identity. `occurrence` numbers equal identities in one delivery."""
    head = b"%b\0%b\0%d\0" % (source.encode(), kind, occurrence)
    digest = hashlib.blake2b(head + identity, digest_size=DEDUPE_KEY_BYTES).digest()
    return base64.urlsafe_b64encode(digest).decode()
