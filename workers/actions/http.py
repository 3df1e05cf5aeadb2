"""`do: http`: send one HTTP request with a JSON body to another system.

The request carries an idempotency key that is the same on every repetition, the trace of the delivery and, if a secret
is set, a Standard Webhooks signature. Private addresses are blocked unless waybill.yaml allows the host. Redirects are
not followed.
"""

import re
from collections.abc import Container, Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, field

from service.actions import (
    JSON_STYLES,
    Action,
    ActionContext,
    CompileTemplate,
    JsonNumbers,
    RetrySafety,
    TemplateRenderer,
)
from service.config.platforms import Status
from service.errors import ConfigError, PermanentError, TransientError
from service.http_client import HttpClient, HttpResponse
from service.platforms.api.responses import describe_failure, is_transient, retry_after_seconds
from service.platforms.api.target_throttle import TargetThrottles, target_name
from service.secrets import SecretRef
from service.signatures.standard_webhooks import StandardWebhooks

ANSWER_BYTES_MAX = 65_536
CONFLICT = 409
"""Response to a repeated request while the first one with the same idempotency key is in progress."""

_FIXED_HOST = re.compile(r"https?://[^/?#{}\s\\@]+([/?#][^\s\\]*)?", re.ASCII)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
_RESERVED = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "idempotency-key", "traceparent",
     "webhook-id", "webhook-timestamp", "webhook-signature"}
)  # fmt: skip


class Http(Action, frozen=True, kw_only=True, tag="http"):
    """`url`, the values of `headers` and all texts of `body` are templates; `timeout_seconds` bounds the whole call.

    `transient` lists further statuses that a retry may fix.
    """

    repeat: ClassVar[RetrySafety] = "keyed"
    summary: ClassVar[str] = "Sends an HTTP request with a JSON body to another system."

    url: Annotated[str, Meta(min_length=1, max_length=2_000)]
    method: Literal["POST", "PUT", "PATCH", "DELETE", "GET"] = "POST"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: Any = None
    json: JsonNumbers = "number"
    secret: SecretRef | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 10.0
    transient: tuple[Status, ...] = ()

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of URL, headers and body. The inputs refer to the secret only.

        Args:
            compile_template: Compiles one template.

        Returns:
            A renderer of the inputs of `run`.
        """
        _check_url(self.url)
        _check_headers(self.headers)
        url = compile_template("url", self.url, "url")
        body = None if self.body is None else compile_template("body", self.body, JSON_STYLES[self.json])
        headers = {name: compile_template(f"headers.{name}", value, "header") for name, value in self.headers.items()}
        constant: dict[str, Any] = {
            "method": self.method,
            "secret": None if self.secret is None else msgspec.to_builtins(self.secret),
            "timeout_seconds": self.timeout_seconds,
            **({"transient": list(self.transient)} if self.transient else {}),
        }
        return lambda scope: {
            **constant,
            "url": url(scope),
            "headers": {name: render(scope) for name, render in headers.items()},
            "body": None if body is None else body(scope),
        }

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Send the request.

        Args:
            inputs: The rendered inputs.
            context: The context of the effect.

        Returns:
            `http_status` and `duration_ms`.
        """
        outbound: HttpClient = context.resource("outbound")
        body = None if inputs["body"] is None else msgspec.json.encode(inputs["body"])
        headers = _headers(inputs, body or b"", context)
        transient = {*inputs.get("transient", ()), *((CONFLICT,) if context.is_repeated else ())}
        targets: TargetThrottles = context.resource("targets")
        async with targets.throttle(inputs["url"]).slot(inputs["url"]):
            answer = await outbound.request(
                inputs["method"],
                inputs["url"],
                headers=headers,
                body=body,
                seconds_max=min(inputs["timeout_seconds"], context.resource("action_timeout_seconds")),
                bytes_max=ANSWER_BYTES_MAX,
                guarded=True,
                body_needed=False,
                exchange=context.exchange,
            )
            _check_status(answer, transient, context)
        return {"http_status": answer.status, "duration_ms": round(answer.duration_ms, 1)}


def _check_url(url: str) -> None:
    # Text from outside must not decide who is sent what a rule sends, signature and all.
    if not _FIXED_HOST.fullmatch(url):
        fix = "begin with https:// and the host as it is, placeholders only after it: https://erp.example.com/{id}"
        raise ConfigError("url", "does not name its host", fix)
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise ConfigError("url", f"cannot be used: {error}", "correct host and port") from None


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _RESERVED:
            raise ConfigError(f"headers.{name[:100]}", "cannot be set", "remove it; waybill sets such headers itself")
        if not value.isascii() or not value.isprintable():
            raise ConfigError(f"headers.{name}", "is not printable ASCII on one line", "write it so")


def _headers(inputs: Mapping[str, Any], body: bytes, context: ActionContext) -> dict[str, str]:
    key = context.idempotency_key
    headers = {"Idempotency-Key": key, **inputs["headers"]}
    if inputs["body"] is not None:
        headers.setdefault("Content-Type", "application/json")
    if context.traceparent:
        headers["traceparent"] = context.traceparent
    if inputs["secret"] is not None:
        headers |= _sign(body, msgspec.convert(inputs["secret"], SecretRef), key, context)
    return headers


def _sign(body: bytes, ref: SecretRef, key: str, context: ActionContext) -> dict[str, str]:
    """Sign the request as Standard Webhooks; a secret that cannot be read is a permanent error."""
    try:
        secret = ref.resolve(context.resource("environ"), "secret")
        scheme = StandardWebhooks(secrets=(ref,))
        return scheme.sign(body, secret, key, int(context.resource("clock")()))
    except ConfigError as error:
        raise PermanentError("secret_unusable", error.reason) from error


def _check_status(answer: HttpResponse, transient: Container[int], context: ActionContext) -> None:
    """Classify a response that is not successful. The error has the target's own words.

    Raises:
        TransientError: 408, 425, 429, 5xx, a 4xx with Retry-After, or a `transient` status.
        PermanentError: Any other status outside 200 to 299.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    wait = retry_after_seconds(answer.headers.get("retry-after"), context.resource("clock")())
    reason = describe_failure(target_name(context.exchange.url), answer, context.exchange.known_secrets())
    if is_transient(status, wait) or status in transient:
        raise TransientError("target_unavailable", reason, http_status=status, retry_after_seconds=wait)
    raise PermanentError("target_rejected", reason, http_status=status)
