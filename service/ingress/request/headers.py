"""Headers of a request: decoded within limits, repeated ones joined. Pure."""

from collections.abc import Iterable

from service.errors import Rejection


def read_headers(raw: Iterable[tuple[bytes, bytes]], fields_max: int, bytes_max: int) -> dict[str, str]:
    """Read ASGI's pairs; a repeated header becomes one list (RFC 9110, 5.2), so that no repetition can hide another.

    Raises:
        Rejection: 431, more fields, or more bytes of them, than allowed.
    """
    headers: dict[str, str] = {}
    size = fields = 0
    for name_bytes, value_bytes in raw:
        fields += 1
        size += len(name_bytes) + len(value_bytes)
        name = name_bytes.decode("latin-1")
        value = value_bytes.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if fields > fields_max:
        raise headers_too_large(f"Send at most {fields_max} header fields.")
    if size > bytes_max:
        raise headers_too_large(f"Send at most {bytes_max} bytes of header fields.")
    return headers


def headers_too_large(detail: str) -> Rejection:
    """Make the refusal of too many header fields, or too large ones (RFC 6585, 5)."""
    return Rejection(431, "headers_too_large", detail, {"connection": "close"})
