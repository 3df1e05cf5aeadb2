"""Forms of the console: fields, their errors, and the form token."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from msgspec import Struct, field

from service.errors import Rejection
from service.ingress.console.session import Session, check_form_token

FIELDS_MAX = 300
NUMBER_DIGITS_MAX = 9
FORM_TOKEN = "form_token"  # noqa: S105 - the name of the field


class FormData(Struct):
    """Fields of a form as they were typed, with repeated ones in `pairs`. `errors` holds one message per field."""

    fields: Mapping[str, str]
    pairs: Sequence[tuple[str, str]] = ()
    errors: dict[str, str] = field(default_factory=dict[str, str])

    def text(self, name: str) -> str:
        """Return a field without surrounding space; '' if it is missing."""
        return self.fields.get(name, "").strip()

    def required(self, name: str, characters_max: int, message: str) -> str:
        """Return a field, and note an error if it is empty or too long."""
        value = self.text(name)
        if not value:
            self.errors[name] = message
        elif len(value) > characters_max:
            self.errors[name] = f"{len(value)} characters; at most {characters_max} are possible."
        return value

    def number(self, name: str) -> int:
        """Return a field as a number; 0 if it is none, or too long."""
        value = self.text(name)
        return int(value) if value.isdecimal() and len(value) <= NUMBER_DIGITS_MAX else 0

    def all(self, name: str) -> list[str]:
        """Return all values of a field that occurs several times."""
        return [value for each, value in self.pairs if each == name]

    def is_checked(self, name: str) -> bool:
        """Return whether a checkbox is checked."""
        return name in self.fields


async def read_form(request: Request[Any, Session, Any]) -> FormData:
    """Read a form of the session. Provides the dependency `form`.

    Raises:
        Rejection: 403 `forged_request`, 400 `malformed_payload`.
    """
    pairs = await read_fields(request)
    fields = dict(pairs)
    check_form_token(request.auth, fields.get(FORM_TOKEN, request.headers.get("x-form-token", "")))
    return FormData(fields, pairs)


async def read_fields(request: Request[Any, Any, Any]) -> list[tuple[str, str]]:
    """Parse a form.

    Raises:
        Rejection: 400 `malformed_payload`.
    """
    try:
        text = (await request.body()).decode()
        return parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:
        raise Rejection(400, "malformed_payload", "The form cannot be read. Reload the page.") from None


Form = NamedDependency[SkipValidation[FormData]]
"""Type of the parameter `form` of a route: a form with a valid form token."""
