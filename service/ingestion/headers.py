"""Headers of a delivery: selection of the stored ones, the correlation id, and the check of the media type."""

from collections.abc import Mapping
from functools import lru_cache

from service.errors import Rejection
from service.events import CORRELATION_HEADER, CORRELATION_ID_CHARACTERS_MAX, STORED_HEADERS, Fact

STORED_CHARACTERS_MAX = 256


def stored_headers(headers: Mapping[str, str], more: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the headers to store, with those of `more`, each cut at `STORED_CHARACTERS_MAX` characters."""
    return {name: headers[name][:STORED_CHARACTERS_MAX] for name in (STORED_HEADERS | more) & headers.keys()}


def correlation_id_of(fact: Fact, headers: Mapping[str, str]) -> str | None:
    """Return the sender's correlation id: printable ASCII of at most `CORRELATION_ID_CHARACTERS_MAX` characters.

    The body takes precedence over the header, because proxies add headers of this name.
    """
    for sent in (fact.correlation_id, headers.get(CORRELATION_HEADER)):
        if sent and len(sent) <= CORRELATION_ID_CHARACTERS_MAX and sent.isascii() and sent.isprintable():
            return sent
    return None


def check_content_type(headers: Mapping[str, str], accepted: frozenset[str]) -> None:
    """Check the media type. `accepted` holds media types, suffixes such as `+json`, or `*` for all.

    The charset parameter is ignored: JSON is always UTF-8 (RFC 8259, 8.1).

    Raises:
        Rejection: 415 `unsupported_media_type`.
    """
    if not _is_accepted(headers.get("content-type", ""), accepted):
        whole = sorted(name for name in accepted if "/" in name)
        named = whole + sorted(f"another {name} type" for name in accepted if "/" not in name)
        detail = f"The media type is not accepted here. Send the body as {' or '.join(named)}, named in Content-Type."
        accept = ", ".join(whole)
        raise Rejection(415, "unsupported_media_type", detail, {"accept": accept} if accept else None)


# Bounded, since a sender can name any media type.
@lru_cache(maxsize=256)
def _is_accepted(content_type: str, accepted: frozenset[str]) -> bool:
    if "*" in accepted:
        return True
    # A repeated header is joined by commas. Equal values are one (RFC 9110, 5.3).
    sent = {part.partition(";")[0].strip().lower() for part in content_type.split(",")}
    media = sent.pop() if len(sent) == 1 else content_type.partition(";")[0].strip().lower()
    return "/" in media and (media in accepted or any(media.endswith(name) for name in accepted if name[0] == "+"))
