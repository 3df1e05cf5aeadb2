"""Write actions of the platforms: one action for each method of a client that is declared with `@rule_action`.

The action's fields are the method's parameters. The body is checked against the method's struct when the rule is
loaded: an unknown name is rejected with the nearest known one.
"""

import difflib
from collections.abc import Awaitable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, cast

import msgspec
from msgspec import Meta, Struct, structs

from service.actions import Action, ActionContext, CompileTemplate, TemplateRenderer
from service.errors import ConfigError, PermanentError, TransientError
from service.platforms.api.declared_operations import ClientMethod, client_methods
from service.platforms.api.operations import WriteResult
from service.platforms.base import CallContext
from service.platforms.kind import PlatformKind
from service.platforms.writes import WriteOperation, write_operation
from service.redaction import redact_response

AccountName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}\Z")]
RecordId = Annotated[str, Meta(min_length=1, max_length=500)]
"""A template of one id."""

RESPONSE_BYTES_MAX = 2_048
"""Of a response in the history."""

ConnectorT = TypeVar("ConnectorT")


class PlatformWrite(Action, frozen=True, kw_only=True):
    """A write on a platform. `account` is its name in waybill.yaml; left out, the one this event's record is on."""

    requires_admin: ClassVar[bool] = True

    connector: ClassVar[type]
    """The class of the connectors whose accounts take this write."""

    write: ClassVar[WriteOperation]
    """The client's method, with its ids and its body. Ids and body are fields of the action."""

    shown_names: ClassVar[frozenset[str] | None] = None
    """The names in the response that the history shows; None if the history does not contain the response."""

    account: AccountName | None = None

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of the account, the ids and the body.

        Returns:
            A renderer of the inputs of `run`: `account`, the ids and the body by their names.
        """
        renders = {name: compile_template(name, getattr(self, name), "header") for name in self.write.ids}
        renders["account"] = compile_template("account", self.account or "{event.record.platform}")
        if self.write.body is not None:
            name, body_type = self.write.body
            renders[name] = _compile_body(compile_template, name, getattr(self, name), body_type)
        return lambda scope: {name: render(scope) for name, render in renders.items()}

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Make the write.

        Returns:
            As `write_result`.

        Raises:
            TransientError: The account is unknown here or deferred the call; or as the client's method.
            PermanentError: The account is on another platform, the body does not fit; or as the client's method.
        """
        client = cast("Any", connector_of(context, inputs["account"], cls.connector)).client
        arguments: dict[str, Any] = {name: inputs[name] for name in cls.write.ids}
        if cls.write.body is not None:
            name, body_type = cls.write.body
            arguments[name] = read_input(inputs, name, body_type)
        call = CallContext(context.event_id, context.traceparent, exchange=context.exchange)
        return await write_result(cls.write.method(client, **arguments, context=call), cls.shown_names)


def platform_actions(kinds: Iterable[PlatformKind]) -> tuple[type[PlatformWrite], ...]:
    """Build the write actions of all platforms.

    Args:
        kinds: The kinds of platform.

    Returns:
        One action for each method that is declared with `@rule_action`, in the order of their definition.
    """
    return tuple(
        _action(kind, method) for kind in kinds for method in client_methods(kind.client) if method.rule_action
    )


def _action(kind: PlatformKind, method: ClientMethod) -> type[PlatformWrite]:
    options, write, tag = method.rule_action, write_operation(method.call), f"{kind.name}_{method.name}"
    assert options is not None
    fields: list[Any] = [(name, RecordId) for name in write.ids]
    if write.body is not None:
        name, body_type = write.body
        # A body without a struct has no required field.
        default = () if _is_struct(body_type) else (msgspec.field(default_factory=dict[str, Any]),)
        fields.append((name, dict[str, Any], *default))
    action = msgspec.defstruct(
        "".join(word.capitalize() for word in tag.split("_")),
        fields,
        bases=(PlatformWrite,),
        namespace={
            "__doc__": options.description, "repeat": options.repeat, "summary": options.summary,
            "connector": kind.connector, "write": write,
            "shown_names": kind.shown_names_of(method.operation.name) if options.keeps_response else None,
        },
        module=__name__,
        tag=tag,
        frozen=True,
        kw_only=True,
    )  # fmt: skip
    return cast("type[PlatformWrite]", action)


def connector_of(context: ActionContext, account: str, connector: type[ConnectorT]) -> ConnectorT:
    """Find the account's connector.

    Args:
        context: The context of the effect.
        account: The account's name in waybill.yaml.
        connector: The class of the connector.

    Returns:
        The connector.

    Raises:
        TransientError: No such account here; in a rolling deploy a newer worker may have it.
        PermanentError: The account is on another platform.
    """
    platform = context.resource("platforms").get(account)
    if platform is None:
        raise TransientError("unknown_platform", f"no platform {account!r} is configured here")
    if not isinstance(platform, connector):
        raise PermanentError("wrong_platform", f"{account} is a {type(platform).__name__}, no {connector.__name__}")
    return platform


def read_input(inputs: Mapping[str, Any], name: str, body_type: Any) -> Any:  # noqa: ANN401 - a struct of the platform
    """Convert a rendered body to the type that the client's method takes.

    Args:
        inputs: The rendered inputs.
        name: The name of the body.
        body_type: The type of the body.

    Returns:
        The body.

    Raises:
        PermanentError: `invalid_input`: a value of a wrong type. The message names the field, never the value.
    """
    try:
        return msgspec.convert(inputs[name], body_type)
    except msgspec.ValidationError as error:
        raise PermanentError("invalid_input", f"{name}: {error}") from None


async def write_result(call: Awaitable[WriteResult], shown_names: frozenset[str] | None = None) -> Mapping[str, Any]:
    """Wait for a write.

    Args:
        call: The write.
        shown_names: The names in the response that are not redacted; None to leave the response out.

    Returns:
        `http_status`, `duration_ms`, `id` if the answer states one, and the redacted `response` if it is kept: a longer
        one is JSON text without its end.

    Raises:
        Deferred: The account is throttled or its circuit is open.
        TransientError: As the client's method.
    """
    written = await call
    answer: dict[str, Any] = {"http_status": written.http_status, "duration_ms": round(written.duration_ms, 1)}
    if written.id:
        answer["id"] = written.id
    if shown_names is not None and written.data is not None:
        response = redact_response(msgspec.to_builtins(written.data), shown_names)
        text = msgspec.json.encode(response)
        short = len(text) <= RESPONSE_BYTES_MAX
        answer["response"] = response if short else text[:RESPONSE_BYTES_MAX].decode(errors="ignore") + "…"
    return answer


def _is_struct(body_type: object) -> bool:
    return isinstance(body_type, type) and issubclass(body_type, Struct)


def _check_names(written: Mapping[str, Any], body_type: type, at: str) -> None:
    fields = {field.encode_name: field for field in structs.fields(body_type)}
    for key in written:
        if key not in fields:
            near = difflib.get_close_matches(key[:64], fields, 1)
            fix = f"did you mean {near[0]}?" if near else f"take some of {', '.join(fields)}"
            raise ConfigError(f"{at}.{key[:64]}", "is no field that the platform takes", fix)
    missing = [key for key, field in fields.items() if field.required and key not in written]
    if missing:
        raise ConfigError(f"{at}.{missing[0]}", "is missing", "add it")


def _compile_body(
    compile_template: CompileTemplate, name: str, written: Mapping[str, Any], body_type: type
) -> TemplateRenderer:
    """Compile a body. A null that is written is sent; a field whose template renders to nothing is left out."""
    if not _is_struct(body_type):
        return compile_template(name, dict(written))
    _check_names(written, body_type, name)
    renders = {key: compile_template(f"{name}.{key}", value, "struct") for key, value in written.items()}

    def render(scope: object) -> dict[str, Any]:
        rendered = {key: each(scope) for key, each in renders.items()}
        return {key: value for key, value in rendered.items() if value is not None or written[key] is None}

    return render
