"""What the platforms' own writes share: which account, which ids, what is sent, and what is kept of the answer.

Each write is a file of its own that names its fields, its `repeat` class and the client's method. What is sent is
checked against that method's struct when the rule is loaded: an unknown name is refused there, with the nearest one.
"""

import difflib
from collections.abc import Awaitable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import Meta, Struct, structs

from service.actions import Action, ActionContext, CompileTemplate, TemplateRenderer
from service.errors import ConfigError, Deferred, PermanentError, TransientError
from service.platforms.api.operations import WriteResult
from service.platforms.base import CallContext

AccountName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}\Z")]
RecordId = Annotated[str, Meta(min_length=1, max_length=500)]
"""A template of one id."""

ConnectorT = TypeVar("ConnectorT")
Input = TypeVar("Input", bound=Struct)


class PlatformWrite(Action, frozen=True, kw_only=True):
    """A write on a platform. `account` is its name in waybill.yaml; left out, the one this event's record is on."""

    ids: ClassVar[tuple[str, ...]] = ()
    """The fields that are ids: templates that have to give one."""

    body: ClassVar[tuple[str, type[Struct]] | None] = None
    """The field that holds what is sent, and the struct it has to fit."""

    account: AccountName | None = None

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """See Action. Inputs: `account`, the ids, and what is sent."""
        account = compile_template("account", self.account or "{event.record.platform}")
        renders = {name: compile_template(name, getattr(self, name), "header") for name in self.ids}
        if self.body is not None:
            name, input_type = self.body
            renders[name] = _compile_body(compile_template, name, getattr(self, name), input_type)
        return lambda scope: {
            "account": account(scope),
            **{name: render(scope) for name, render in renders.items()},
        }


def connector_of(context: ActionContext, account: str, kind: type[ConnectorT]) -> ConnectorT:
    """Find the account's connector.

    Raises:
        TransientError: no such account here; in a rolling deploy a newer worker may have it.
        PermanentError: it is on another platform.
    """
    platform = context.resource("platforms").get(account)
    if platform is None:
        raise TransientError("unknown_platform", f"no platform {account!r} is configured here")
    if not isinstance(platform, kind):
        raise PermanentError("wrong_platform", f"{account} is a {type(platform).__name__}, no {kind.__name__}")
    return platform


def call_context(context: ActionContext) -> CallContext:
    """What ties the call to its event."""
    return CallContext(context.event_id, context.traceparent)


def read_input(inputs: Mapping[str, Any], name: str, input_type: type[Input]) -> Input:
    """Make what is sent out of the rendered inputs.

    Raises:
        PermanentError: a value is of another kind than the platform takes; names the field, never the value.
    """
    try:
        return msgspec.convert(inputs[name], input_type)
    except msgspec.ValidationError as error:
        raise PermanentError("invalid_input", f"{name}: {error}") from None


async def write_result(call: Awaitable[WriteResult]) -> Mapping[str, Any]:
    """Wait for a write; keep its status and the id of what was written.

    Raises:
        TransientError, PermanentError: as the client; a limit or a pause of the account is waited out.
    """
    try:
        written = await call
    except Deferred as held:
        raise TransientError(held.kind, str(held), retry_after_seconds=held.seconds) from held
    answer: dict[str, Any] = {"http_status": written.http_status, "duration_ms": round(written.duration_ms, 1)}
    return answer | ({"id": written.id} if written.id else {})


def _compile_body(
    compile_template: CompileTemplate, name: str, written: Mapping[str, Any], input_type: type[Struct]
) -> TemplateRenderer:
    """A null that is written is sent; a template that gives nothing is left out."""
    fields = {field.encode_name: field for field in structs.fields(input_type)}
    for key in written:
        if key not in fields:
            near = difflib.get_close_matches(key[:64], fields, 1)
            fix = f"did you mean {near[0]}?" if near else f"take some of {', '.join(fields)}"
            raise ConfigError(f"{name}.{key[:64]}", "is no field that the platform takes", fix)
    missing = [key for key, field in fields.items() if field.required and key not in written]
    if missing:
        raise ConfigError(f"{name}.{missing[0]}", "is missing", "add it")
    renders = {key: compile_template(f"{name}.{key}", value) for key, value in written.items()}

    def render(scope: object) -> dict[str, Any]:
        rendered = {key: each(scope) for key, each in renders.items()}
        return {key: value for key, value in rendered.items() if value is not None or written[key] is None}

    return render
