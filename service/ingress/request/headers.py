"""Decode the headers of a request within limits; join repeated ones. Pure."""

from collections.abc import Iterable

from service.errors import Rejection


def read_headers(
    raw: Iterable[tuple[bytes, bytes]], fields_max: int, bytes_max: int, url_bytes: int = 0
) -> dict[str, str]:
    """Decode ASGI's header pairs. Repeated headers are joined by commas (RFC 9110, 5.2).

    Raises:
        Rejection: 431, more than `fields_max` fields, or more than `bytes_max` bytes together with the URL.
    """
    headers: dict[str, str] = {}
    size, fields = url_bytes, 0
    for name_bytes, value_bytes in raw:
        fields += 1
        size += len(name_bytes) + len(value_bytes)
        name = name_bytes.decode("latin-1")
        value = value_bytes.decode("latin-1").strip(" \t")  # the parser keeps trailing blanks (RFC 9110, 5.5)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if fields > fields_max:
        raise headers_too_large(f"The request has {fields} header fields. Send at most {fields_max}.")
    if size > bytes_max:
        raise headers_too_large(f"The URL and the header fields have {size} bytes. Send at most {bytes_max}.")
    return headers


def headers_too_large(detail: str) -> Rejection:
    """Build the rejection of too many or too large header fields (RFC 6585, 5)."""
    return Rejection(431, "headers_too_large", detail, {"connection": "close"})
