"""What a delivery's headers say: read once into text, judged, and thinned to the few that an event keeps. Pure."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from service.errors import Refusal

KEPT = frozenset({
    "content-type", "user-agent", "webhook-id", "webhook-timestamp", "ce-id", "ce-source", "ce-type", "ce-subject",
    "ce-specversion", "ce-time", "ce-dataschema",
})  # fmt: skip
"""What an event keeps: ids and descriptions. Never credentials or signatures: the store is no place for secrets."""

KEPT_CHARACTERS_MAX = 256


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Read ASGI's pairs; a repeated header becomes one list (RFC 9110, 5.2), so that no repetition can hide another."""
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name = name_bytes.decode("latin-1")
        value = value_bytes.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def keep(headers: Mapping[str, str]) -> dict[str, str]:
    """Give the headers that an event keeps, each bounded in length."""
    return {name: headers[name][:KEPT_CHARACTERS_MAX] for name in KEPT & headers.keys()}


def check_media(headers: Mapping[str, str]) -> None:
    """See that the body will be JSON as it stands.

    A charset is not looked at: JSON has none but UTF-8 (RFC 8259, 8.1), and reading it will tell.

    Raises:
        Refusal: 415, neither JSON nor a `+json` type, or compressed.
    """
    content_type = headers.get("content-type", "")
    if not _is_json(content_type):
        detail = "Send the body as application/json or another +json type, named in Content-Type."
        raise Refusal(415, "unsupported_media_type", detail, {"accept": "application/json"})
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        detail = "Send the body uncompressed, without a Content-Encoding."
        raise Refusal(415, "unsupported_media_type", detail, {"accept-encoding": "identity"})


@lru_cache(maxsize=256)
def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or ("/" in media and media.endswith("+json"))
