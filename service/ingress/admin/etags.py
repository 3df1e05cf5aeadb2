"""ETags: a digest of what was given, asked back by If-Match before it is overwritten, so that no update is lost."""

import hashlib

import msgspec

from service.errors import Rejection


def etag_of(value: object) -> str:
    """Give the strong entity tag of a value, by its canonical JSON."""
    body = msgspec.json.encode(value, order="sorted")
    return f'"{hashlib.sha256(body).hexdigest()[:24]}"'


def check_match(if_match: str | None, etag: str) -> None:
    """Let a change through that was made on what is there now; `*` takes whatever is there.

    Raises:
        Rejection: 428 `precondition_required` without If-Match, 412 `precondition_failed` for another state.
    """
    if if_match is None:
        raise Rejection(428, "precondition_required", "Send the ETag you read as If-Match, or * to take any state.")
    # Proxies that compress an answer call its tag weak; it stands for the same state.
    tags = {tag.strip().removeprefix("W/") for tag in if_match.split(",")}
    if "*" not in tags and etag not in tags:
        raise Rejection(412, "precondition_failed", "It is no longer what you read; read it again.", {"etag": etag})
