"""Templates of signed bytes: fixed text and placeholders, such as `v0:{timestamp}:{body}`.

Placeholders without an argument: `{id}`, `{timestamp}`, `{body}`, `{method}`, `{url}`, `{path}`, `{query}`,
`{sorted_form}`. With an argument: `{header:NAME}`, `{query:NAME}`, `{form:NAME}`, `{value:POINTER}`,
`{bytes:POINTER}` and `{body:base64}`. A value that the delivery does not have is empty text.
"""

import base64
import re
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import urlsplit

from service.bodies.forms import only_field, parse_form, parse_query
from service.bodies.pointers import parse_pointer
from service.bodies.values import bytes_at, text_at
from service.errors import ConfigError
from service.events import Delivery

PlaceholderReader = Callable[[Delivery], bytes]

_PLACEHOLDER = re.compile(r"\{([a-z_]+(?::[^{}()]*)?)\}")
PLACEHOLDER_FIX = "use {body}, {id}, {timestamp} or another one of docs/reference/senders.md, and text without braces"
_OWN = ("id", "timestamp", "body")
_COVERS_BODY = frozenset({"body", "body:base64", "sorted_form"})


class SignedTemplate:
    """Parsed template."""

    __slots__ = ("_body_only", "_format", "_readers", "covers_body", "names", "separators")

    def __init__(
        self,
        parts: tuple[tuple[str, str], ...],
        separators: tuple[str, ...],
        readers: Mapping[str, PlaceholderReader],
    ) -> None:
        self.names = frozenset(name for _, name in parts if name)
        self._body_only = parts == (("", "body"), ("", ""))
        escaped = [(fixed.replace("%", "%%"), name) for fixed, name in parts]
        self._format = "".join(fixed + (f"%({name})b" if name else "") for fixed, name in escaped).encode()
        self._readers = {name.encode(): read for name, read in readers.items()}
        self.separators = separators
        """Fixed text before and after the id."""
        self.covers_body = not self.names.isdisjoint(_COVERS_BODY)

    def fill(self, id_text: str, timestamp: str, delivery: Delivery) -> bytes:
        """Return the signed bytes. The body is not decoded.

        Raises:
            Rejection: 400 `malformed_payload`: a placeholder requires JSON or a form, and the body is not.
        """
        # Most senders sign `{body}` only: avoid copying it.
        if self._body_only:
            return delivery.body
        values = {b"id": id_text.encode(), b"timestamp": timestamp.encode(), b"body": delivery.body}
        for name, read in self._readers.items():
            values[name] = read(delivery)
        return self._format % values


def parse_template(template: str, at: str, url: str | None = None, depth_max: int = 64) -> SignedTemplate:
    """Parse a template. `at` is its path in waybill.yaml, for error messages. `url` is the address of the source.

    Returns:
        The parsed template.

    Raises:
        ConfigError: A placeholder is unknown or repeated, {url} has no address, nothing of the delivery is signed, or
            {id} is adjacent to another placeholder. Then bytes could be moved from one value to the other without a
            change of the signature.
    """
    fixed, names = _PLACEHOLDER.split(template)[::2], _PLACEHOLDER.findall(template)
    if any("{" in text or "}" in text for text in fixed):
        raise ConfigError(at, "has an unknown placeholder", PLACEHOLDER_FIX)
    readers = {name: _reader(name, at, url, depth_max) for name in names if name not in _OWN}
    if len(set(names)) != len(names) or not set(names) - {"id", "timestamp", "method", "url", "path"}:
        fix = 'use {body} once and the others at most once, such as "{id}.{body}"'
        raise ConfigError(at, "{body} is missing, or a placeholder is repeated", fix)
    if re.search(r"\{id\}\{|\}\{id\}", template):
        reason = "{id} is adjacent to another placeholder, so the id could be changed"
        raise ConfigError(at, reason, "separate them with text")
    parts = tuple(zip(fixed, [*names, ""], strict=True))
    at_id = names.index("id") if "id" in names else len(fixed)
    separators = [fixed[index] for index in (at_id, at_id + 1) if 0 < index < len(names)]
    return SignedTemplate(parts, tuple(separators), readers)


def _reader(name: str, at: str, url: str | None, depth_max: int) -> PlaceholderReader:
    if name in {"url", "path"}:
        if not url:
            fix = "add url: https://…, the address as it is registered at the sender"
            raise ConfigError(at, f"{{{name}}} requires the address of the source", fix)
        return partial(_read_url, url) if name == "url" else _constant(urlsplit(url).path.encode())
    kind, colon, argument = name.partition(":")
    build = _WITH_ARGUMENT.get(kind) if colon else _WITHOUT_ARGUMENT.get(kind)
    if build is None or (kind == "body" and argument != "base64"):
        raise ConfigError(at, f"has an unknown placeholder {{{name}}}", PLACEHOLDER_FIX)
    if kind in {"value", "bytes"} and not argument.startswith("/"):
        raise ConfigError(at, f"{{{name}}} has no JSON pointer", f"write {{{kind}:/data/id}}")
    return build(argument, depth_max)


def _constant(value: bytes) -> PlaceholderReader:
    return lambda _: value


def _read_url(url: str, delivery: Delivery) -> bytes:
    """Return the registered address and the query of the request, unless the address has a query."""
    return (f"{url}?{delivery.query}" if delivery.query and "?" not in url else url).encode()


def _read_sorted_form(delivery: Delivery) -> bytes:
    """Return the names and values of all fields, sorted and without repetitions (Twilio)."""
    return "".join(name + value for name, value in sorted(set(parse_form(delivery.body)))).encode()


_WITHOUT_ARGUMENT: dict[str, Callable[[str, int], PlaceholderReader]] = {
    "method": lambda _, __: lambda delivery: delivery.method.encode(),
    "query": lambda _, __: lambda delivery: delivery.query.encode(),
    "sorted_form": lambda _, __: _read_sorted_form,
}
_WITH_ARGUMENT: dict[str, Callable[[str, int], PlaceholderReader]] = {
    "body": lambda _, __: lambda delivery: base64.b64encode(delivery.body),
    "header": lambda name, _: lambda delivery: delivery.headers.get(name.lower(), "").encode("latin-1", "replace"),
    "query": lambda name, _: lambda delivery: parse_query(delivery.query).get(name, "").encode(),
    "form": lambda name, _: lambda delivery: only_field(parse_form(delivery.body), name).encode(),
    "value": lambda pointer, depth_max: (
        lambda delivery: text_at(delivery.body, parse_pointer(pointer), depth_max).encode()
    ),
    "bytes": lambda pointer, depth_max: lambda delivery: bytes_at(delivery.body, parse_pointer(pointer), depth_max),
}
