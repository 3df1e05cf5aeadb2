"""Content-Digest (RFC 9530): digest of the body in a header."""

import base64
import hashlib
import hmac

from service.signatures.structured_fields import parse_bytes, parse_dictionary

_HASHES = {"sha-256": "sha256", "sha-512": "sha512"}
"""Algorithms by their registered names. Digests by other algorithms are ignored."""


def matches_digest(header: str, body: bytes) -> bool:
    """Return whether the header has at least one known digest, and every known digest is that of the body."""
    try:
        members = parse_dictionary(header)
        given = {name: parse_bytes(value) for name, value in members.items() if name in _HASHES}
    except ValueError:
        return False
    digests = [(value, hashlib.new(_HASHES[name], body).digest()) for name, value in given.items()]
    return bool(digests) and all(hmac.compare_digest(value, expected) for value, expected in digests)


def content_digest(body: bytes) -> str:
    """Return the header of a body."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
