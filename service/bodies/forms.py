"""Strict parsing of untrusted forms and queries (`application/x-www-form-urlencoded`)."""

from urllib.parse import parse_qsl

from service.errors import Rejection

FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 1_000
"""Maximum number of fields in one form."""
QUERY_BYTES_MAX = 8_192
QUERY_FIELDS_MAX = 32


def parse_form(body: bytes) -> list[tuple[str, str]]:
    """Parse a form into its fields, in their order. A name can occur several times.

    Raises:
        Rejection: 400 `malformed_payload`: not ASCII, not percent-encoded UTF-8, or too many fields.
    """
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        detail = f"Send a form of at most {FIELDS_MAX} fields, percent-encoded in UTF-8."
        raise Rejection(400, "malformed_payload", detail) from None


def parse_query(query: str) -> dict[str, str]:
    """Parse a query. Return an empty dict for an ambiguous one: too long, not UTF-8, or with a duplicate name."""
    if len(query) > QUERY_BYTES_MAX or not query.isascii():
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        return {}
    sent = dict(pairs)
    return sent if len(sent) == len(pairs) else {}


def only_field(fields: list[tuple[str, str]], name: str) -> str:
    """Return the value of a field; empty if it is missing or ambiguous because it was sent twice."""
    values = [value for field, value in fields if field == name]
    return values[0] if len(values) == 1 else ""
