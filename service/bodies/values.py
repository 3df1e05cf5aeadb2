"""Single values in a JSON body, at a pointer."""

from service.bodies.strict_json import check_body, read_children, read_scalar

VALUE_BYTES_MAX = 65_536


def bytes_at(body: bytes, steps: tuple[str, ...], depth_max: int) -> bytes:
    """Return the bytes of the value at a pointer, as they are in the body; empty if it is missing.

    Raises:
        Rejection: 400 `malformed_payload`: the body is not JSON, nests too deep, or has a duplicate key on the path.
    """
    check_body(body, depth_max)
    for step in steps:
        members = read_children(body)
        if step not in members:
            return b""
        body = bytes(members[step])
    return body


def text_at(body: bytes, steps: tuple[str, ...], depth_max: int) -> str:
    """Return the value at a pointer as text: text without quotes, any other value as its JSON, null and absent empty.

    Raises:
        Rejection: 400 `malformed_payload`, as `bytes_at`.
    """
    raw = bytes_at(body, steps, depth_max)
    if not 0 < len(raw) <= VALUE_BYTES_MAX or raw == b"null":
        return ""
    value = read_scalar(raw) if raw[:1] == b'"' else None
    return value if isinstance(value, str) else raw.decode()
