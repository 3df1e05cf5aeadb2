"""Headers of a delivery: the few that an event keeps, and the check of the media type."""

from collections.abc import Mapping
from functools import lru_cache

from service.errors import Rejection

STORED_HEADERS = frozenset({
    "content-type", "user-agent", "webhook-id", "webhook-timestamp", "ce-id", "ce-source", "ce-type", "ce-subject",
    "ce-specversion", "ce-time", "ce-dataschema",
})  # fmt: skip
"""What an event keeps: ids and descriptions. Never credentials or signatures: the store is no place for secrets."""

STORED_CHARACTERS_MAX = 256


def stored_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Give the headers that an event keeps, each bounded in length."""
    return {name: headers[name][:STORED_CHARACTERS_MAX] for name in STORED_HEADERS & headers.keys()}


def check_content_type(headers: Mapping[str, str], accepted: frozenset[str]) -> None:
    """See that the body is of a media type the source takes: names, ends such as `+json`, or `*` for all.

    A charset is not looked at: JSON has none but UTF-8 (RFC 8259, 8.1), and reading it will tell.

    Raises:
        Rejection: 415.
    """
    if not _is_accepted(headers.get("content-type", ""), accepted):
        whole = sorted(name for name in accepted if "/" in name)
        named = whole + sorted(f"another {name} type" for name in accepted if "/" not in name)
        detail = f"Send the body as {' or '.join(named)}, named in Content-Type."
        accept = ", ".join(whole)
        raise Rejection(415, "unsupported_media_type", detail, {"accept": accept} if accept else None)


# Few types are in use; bounded, since anyone may name any.
@lru_cache(maxsize=256)
def _is_accepted(content_type: str, accepted: frozenset[str]) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    if "*" in accepted:
        return True
    return "/" in media and (media in accepted or any(media.endswith(name) for name in accepted if name[0] == "+"))
