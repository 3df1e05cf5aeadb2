"""`do: http`: send one HTTP request to a destination of waybill.yaml, or to a URL without credentials.

Rules contain no secret: credentials, signature and limits belong to the destination. The request carries an idempotency
key that is the same on every repetition, and the trace of the delivery. Redirects are not followed.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Meta, field

from service.actions import (
    JSON_STYLES,
    ActionContext,
    CompileTemplate,
    JsonNumbers,
    TemplateRenderer,
)
from service.destinations.action import DestinationAction, DestinationName
from service.destinations.http import HttpDestination
from service.destinations.http.config import RESERVED_HEADERS
from service.destinations.http.request import OutgoingRequest, SendContext
from service.destinations.registry import Destinations
from service.errors import ConfigError
from service.http_client import HttpResponse
from service.mistakes import Mistakes
from service.secret_names import find_secret_in_header, find_secret_in_url, has_secret_segment

_FIXED_HOST = re.compile(r"https?://[^/?#{}\s\\@]+([/?#][^\s\\]*)?", re.ASCII)
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
_DESTINATION_FIX = "declare a destination in waybill.yaml with auth:, or with url: {env: NAME}, and name it here"

EXTENDED_VALUE_CHARACTERS = "!#$&+^`|"
"""The characters of an extended value (RFC 8187, section 3.2.1) that `quote` would encode."""

FORMS = {
    "body": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
    "xml": "application/xml; charset=utf-8",
}
"""Fields with the content of a request, and the content types of the latter."""


class Http(DestinationAction, frozen=True, kw_only=True, tag="http"):
    """Either `destination` with a `path`, or `url`. Only one of `body` (JSON), `form`, `text` and `xml`.

    Path, query, headers and content are templates. `content_type` replaces that of the content. `repeat: unsafe` is for
    a target that would perform a repeated request twice.
    """

    target: ClassVar[type] = HttpDestination
    requires_admin: ClassVar[bool] = True
    summary: ClassVar[str] = "Sends an HTTP request to another system."

    destination: DestinationName | None = None  # pyright: ignore[reportIncompatibleVariableOverride] - or `url`
    path: Annotated[str, Meta(max_length=2_000)] = ""
    url: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    query: dict[str, str] = field(default_factory=dict[str, str])
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "MERGE"] = "POST"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: Any = None
    json: JsonNumbers = "number"
    form: dict[str, str] | None = None
    text: str | None = None
    xml: str | None = None
    content_type: Annotated[str, Meta(pattern=r"^[!-~][ -~]{0,199}\Z")] | None = None

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of address, headers and content.

        Returns:
            A renderer of the inputs of `run`.
        """
        headers = {
            name: _encoded_header(compile_template(f"headers.{name}", value, "header"))
            for name, value in self.headers.items()
        }
        query = {name: compile_template(f"query.{name}", value, "json_text") for name, value in self.query.items()}
        content_name, content = self._compile_content(compile_template)
        # Last, so that the mistakes of the templates are reported as well.
        mistakes, address = Mistakes(), ("", _render_nothing)
        with mistakes.collect():
            address = _compile_address(self, compile_template)
        with mistakes.collect():
            _check_headers(self.headers)
        with mistakes.collect():
            _check_query(self.query)
        mistakes.raise_all()
        constant: dict[str, Any] = {"method": self.method}
        if self.destination is not None:
            constant["destination"] = self.destination
        if self.content_type is not None:
            constant["content_type"] = self.content_type
        return lambda scope: {
            **constant,
            address[0]: address[1](scope),
            "headers": {name: render(scope) for name, render in headers.items()},
            **({"query": {name: render(scope) for name, render in query.items()}} if query else {}),
            **({content_name: content(scope)} if content else {}),
        }

    def _compile_content(self, compile_template: CompileTemplate) -> tuple[str, TemplateRenderer | None]:
        written = [name for name in FORMS if getattr(self, name) is not None]
        if len(written) > 1:
            raise ConfigError(written[1], f"contradicts {written[0]}", "write one of body, form, text and xml")
        if not written:
            return "", None
        name = written[0]
        style = JSON_STYLES[self.json] if name == "body" else "xml" if name == "xml" else "json_text"
        return name, compile_template(name, getattr(self, name), style)

    @classmethod
    def find(cls, destinations: Destinations, inputs: Mapping[str, Any]) -> HttpDestination:
        """Return the destination of rendered inputs: by name, or that of the host of the URL.

        Raises:
            TransientError, PermanentError: As `Destinations.find` and `Destinations.host`.
        """
        return super().find(destinations, inputs) if "destination" in inputs else destinations.host(inputs["url"])

    @classmethod
    async def send(
        cls, destination: HttpDestination, inputs: Mapping[str, Any], _context: ActionContext, call: SendContext, /
    ) -> HttpResponse:
        """Send the request."""
        content_type, body = _content(inputs)
        request = OutgoingRequest(
            method=inputs["method"],
            path=_path(inputs),
            query=_query(inputs.get("query", {})),
            headers=inputs["headers"],
            body=body,
            content_type=inputs.get("content_type", content_type),
        )
        return await destination.send(request, call)


def _render_nothing(_scope: object) -> str:
    return ""


def _encoded_header(render: TemplateRenderer) -> TemplateRenderer:
    """Encode rendered values with characters outside ASCII: HTTP has no encoding for them in a header."""

    def encoded(scope: object) -> str:
        value: str = render(scope)
        return value if value.isascii() else f"UTF-8''{quote(value, safe=EXTENDED_VALUE_CHARACTERS)}"

    return encoded


def _compile_address(action: Http, compile_template: CompileTemplate) -> tuple[str, TemplateRenderer]:
    """Return the name of the input with the address, and its renderer."""
    if (action.destination is None) == (action.url is None):
        reason = "is missing" if action.url is None else "contradicts url"
        raise ConfigError(
            "destination", reason, "name a destination of waybill.yaml, or write a url without credentials"
        )
    if action.url is not None:
        if action.path:
            raise ConfigError("path", "requires destination", "write the path into url")
        _check_url(action.url)
        return "url", compile_template("url", action.url, "url")
    if action.path and not action.path.startswith("/"):
        raise ConfigError("path", "does not start with /", 'write a path such as "/orders/{id}"')
    if re.search(r"[\s\\#]", _PLACEHOLDER.sub("", action.path)):
        raise ConfigError("path", "contains a blank, # or a backslash", "percent-encode it")
    found = find_secret_in_url(f"https://host{action.path}")
    if found:
        raise ConfigError("path", f"contains {found}", _DESTINATION_FIX)
    return "path", compile_template("path", action.path, "url")


def _check_url(url: str) -> None:
    found = find_secret_in_url(url) or ("a path that looks like a secret" if has_secret_segment(url) else "")
    if found:
        raise ConfigError("url", f"contains {found}", _DESTINATION_FIX)
    # Text from outside must not select the host that receives the request of a rule.
    if not _FIXED_HOST.fullmatch(_PLACEHOLDER.sub("{}", url)):
        fix = "begin with https:// and the host as it is, placeholders only after it: https://erp.example.com/{id}"
        raise ConfigError("url", "does not name its host", fix)
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise ConfigError("url", f"cannot be used: {error}", "correct host and port") from None


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in RESERVED_HEADERS:
            raise ConfigError(f"headers.{name[:100]}", "cannot be set", "remove it; waybill sets such headers itself")
        if not value.isascii() or not value.isprintable():
            raise ConfigError(f"headers.{name}", "is not printable ASCII on one line", "write it so")
        found = find_secret_in_header(name, value)
        if found:
            raise ConfigError(f"headers.{name}", f"contains {found}", _DESTINATION_FIX)


def _check_query(query: Mapping[str, str]) -> None:
    for name, value in query.items():
        if find_secret_in_url(f"https://host/?{urlencode({name: value}, safe='{}')}"):
            raise ConfigError(f"query.{name[:100]}", "contains a value that looks like a secret", _DESTINATION_FIX)


def _path(inputs: Mapping[str, Any]) -> str:
    """Return the path below the URL of the destination."""
    if "destination" in inputs:
        return inputs["path"]
    url: str = inputs["url"]
    parts = urlsplit(url)
    return url[len(f"{parts.scheme}://{parts.netloc}") :].partition("#")[0]


def _query(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Return the parameters with a value; numbers and booleans as JSON writes them."""
    return [(name, _text(value)) for name, value in values.items() if value is not None]


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _content(inputs: Mapping[str, Any]) -> tuple[str | None, bytes | None]:
    """Return content type and content of the request."""
    for name, content_type in FORMS.items():
        if inputs.get(name) is not None:
            value = inputs[name]
            match name:
                case "body":
                    return content_type, msgspec.json.encode(value)
                case "form":
                    return content_type, urlencode(list(_query(value))).encode()
                case _:
                    return content_type, _text(value).encode()
    return None, None
