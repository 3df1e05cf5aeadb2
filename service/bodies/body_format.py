"""Format of a body: JSON, a form, or a JSON document in a field of a form."""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from service.bodies.forms import FORM, only_field, parse_form
from service.errors import Rejection

BodyDecoder = Callable[[bytes], bytes]
"""Converts a body into JSON. Raises Rejection with 400 `malformed_payload`."""


class FormField(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A form whose field `form` holds a JSON document."""

    form: Annotated[str, Meta(min_length=1, max_length=64, description="the name of a form field, such as payload")]


BodyFormat = Literal["json", "form"] | FormField


def build_body_decoder(written: BodyFormat) -> BodyDecoder | None:
    """Return the decoder of a source, None for JSON."""
    if written == "json":
        return None
    return form_to_json if written == "form" else lambda body: _field(body, written.form)


def form_media_types(written: BodyFormat) -> frozenset[str]:
    """Return the media types of a format beside those of JSON."""
    return frozenset() if written == "json" else frozenset({FORM})


def form_to_json(body: bytes) -> bytes:
    """Convert a form into a JSON object of texts. A field that occurs several times becomes a list.

    Raises:
        Rejection: 400 `malformed_payload`: the body is not a form.
    """
    values: dict[str, str | list[str]] = {}
    for name, value in parse_form(body):
        before = values.get(name)
        values[name] = value if before is None else [*([before] if isinstance(before, str) else before), value]
    return msgspec.json.encode(values)


def _field(body: bytes, name: str) -> bytes:
    document = only_field(parse_form(body), name)
    if not document:
        raise Rejection(400, "malformed_payload", f"Send a form with the field {name} once.")
    return document.encode()
