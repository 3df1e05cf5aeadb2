"""Action interface, for built-in and third-party actions. Rules render an action's inputs, workers run it.

An action is a struct: an item under `actions` in a rule file, with `do` as its type. Its life has three steps.

1. `compile`: when the rule is loaded, its templates are compiled and their fields checked.
2. Rendering: when an event is evaluated, the inputs are rendered to plain data and stored with the decision.
3. `run`: a worker runs the action with these inputs only.

Packages register actions in the entry point group `waybill.actions`. The built-in ones are in `workers/actions`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import Annotated, Any, ClassVar, Literal, Protocol, cast

from msgspec import Meta, Struct

from service.events import Event, JsonValue
from service.exchange import Exchange
from service.extensions import invalid_extension, load_extensions

RetrySafety = Literal["idempotent", "keyed", "unsafe"]
"""Retry safety: what happens to an effect that was started and has no result, after a crash.

`idempotent`: run it again. `keyed`: run it again with the same idempotency key. `unsafe`: dead-letter the event with
`outcome_unknown`, so that an operator decides. The same rule holds after a transient error. An `unsafe` effect is
retried only if the error proves that the target did not perform it: see `workers.processing.retry_safety`.
"""

Identifier = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z", description="at most 64 letters, digits, - and _"),
]
"""Id of a rule or an action: at most 64 letters, digits, dashes and underscores. It is part of idempotency keys, which
are sent in headers."""

TemplateRenderer = Callable[[Any], Any]
"""Renders a template with the scope of an evaluation, to data that msgpack can encode. Actions only pass the scope."""


JsonNumbers = Annotated[
    Literal["number", "text"],
    Meta(description="JSON type of all numbers that are inserted: number, or text such as '2.50'. Default: number."),
]

JSON_STYLES: Mapping[JsonNumbers, Literal["json", "json_text"]] = {"number": "json", "text": "json_text"}
"""Styles of `CompileTemplate` for the two types."""


class CompileTemplate(Protocol):
    """Compiles one template of an action: text with `{field}` placeholders, or nested data with such texts.

    `path` is the position of the template in the action, for error messages. `style` selects how values are written:

    - `json`: unchanged, with all numbers as JSON numbers
    - `json_text`: as `json`, with all numbers as text
    - `struct`: as `json`, with decimals as text, for a struct that converts them
    - `text`: always text
    - `log`: personal data is masked
    - `url`: percent-encoded; the value is required
    - `header`: on one line; the value is required
    - `xml`: escaped for XML
    - `slack`: with `&`, `<` and `>` escaped for Slack
    """

    def __call__(
        self,
        path: str,
        template: JsonValue,
        style: Literal["json", "json_text", "struct", "text", "log", "url", "header", "xml", "slack"] = "json",
    ) -> TemplateRenderer:
        """Return the renderer of `template`. Rendering fails if a required value is absent.

        Raises:
            ConfigError: A placeholder does not name a field of the record.
        """
        ...


class ActionContext(Protocol):
    """Services for a running action. The worker creates one context per effect."""

    @property
    def idempotency_key(self) -> str:
        """Idempotency key of the effect, from event, rule, action and generation. The same for every attempt."""
        ...

    @property
    def is_repeated(self) -> bool:
        """Whether an earlier attempt may have called the target with the same idempotency key."""
        ...

    @property
    def event_id(self) -> str:
        """Id of the event."""
        ...

    @property
    def source(self) -> str:
        """Name of the event's source."""
        ...

    @property
    def event(self) -> Event:
        """Event with the bytes and the stored headers of its delivery."""
        ...

    @property
    def rule(self) -> str:
        """Id of the rule."""
        ...

    @property
    def action(self) -> str:
        """Id of the action within its rule."""
        ...

    @property
    def traceparent(self) -> str | None:
        """Trace of the delivery (W3C Trace Context), to send to the target."""
        ...

    @property
    def exchange(self) -> Exchange:
        """Record of the action's HTTP call. Pass it to `HttpClient.request`, which fills it.

        It is stored in the history without the values of `exchange.secrets`. Add each secret of the request to them,
        unless it is in a header whose name says so, such as Authorization.
        """
        ...

    def resource(self, name: str) -> Any:  # noqa: ANN401 - a client of any type, such as "http" or "log"
        """Return the shared resource of that name.

        The HTTP client `outbound` checks the lease of the job before each request. An action with a client of its own
        calls `service.lease.check_lease` there.

        Raises:
            KeyError: The worker has no such resource.
        """
        ...

    def emit(self, event: Event) -> None:
        """Ingest an event and mark this effect as done, atomically, after `run` returns."""
        ...

    def publish(self, stream: str, data: bytes, length_max: int) -> None:
        """Append an entry to a stream and mark this effect as done, atomically, after `run` returns.

        The stream is trimmed to its newest `length_max` entries.
        """
        ...


ORDERED = "Run the effects of this action on one record in event order, also after retries. Default: true."
LATEST_ONLY = "Skip a waiting effect if a newer event of the record has one. Requires `ordered`. Default: false."


class Action(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """Base class of all actions. `id` names the action within its rule.

    The effects of one action on one record run in event order: an effect waits until those of earlier events are done
    or dead-lettered, retries included. `ordered: false` opts out. With `latest_only`, a waiting effect is superseded by
    the effect of a newer event.
    """

    repeat: ClassVar[RetrySafety] = "keyed"
    requires_admin: ClassVar[bool] = False
    """Whether a rule of the API with this action requires the role admin: it changes a system, or sends records."""
    summary: ClassVar[str] = ""

    id: Identifier
    ordered: Annotated[bool, Meta(description=ORDERED)] = True
    latest_only: Annotated[bool, Meta(description=LATEST_ONLY)] = False

    @property
    def retry_safety(self) -> RetrySafety:
        """Retry safety of this action of a rule."""
        return type(self).repeat

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of the action's fields.

        Args:
            compile_template: Compiles one template.

        Returns:
            A renderer of the inputs of `run`, a dict.

        Raises:
            ConfigError: A placeholder does not name a field; `path` is the position in the action.
            NotImplementedError: The subclass has no `compile`.
        """
        raise NotImplementedError(f"{type(self).__name__}.compile is missing: implement it")

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Run the action with the rendered inputs.

        Args:
            inputs: The rendered inputs.
            context: The context of the effect.

        Returns:
            A small result to store in the history, without personal data.

        Raises:
            TransientError: A retry can succeed.
            PermanentError: No retry can succeed; the event becomes a dead letter.
            NotImplementedError: The subclass has no `run`.
        """
        raise NotImplementedError(f"{cls.__name__}.run is missing: implement it")


def load_actions() -> Sequence[type[Action]]:
    """Return all installed actions, from the entry point group `waybill.actions`.

    Raises:
        ConfigErrors: actions cannot be imported, are not valid, or have a type that is taken.
    """
    types: set[str] = set()

    def read(registered: object, entry: EntryPoint) -> Iterator[type[Action]]:
        fix = "name a sequence of subclasses of service.actions.Action in the entry point"
        if not isinstance(registered, Sequence):
            raise invalid_extension(entry, f"{entry.value} is not a sequence of actions", fix)
        for action in cast("Sequence[type[Action]]", registered):
            if not (isinstance(action, type) and issubclass(action, Action)):  # pyright: ignore[reportUnnecessaryIsInstance] - of another package
                raise invalid_extension(entry, f"{action!r} is not an action", fix)
            name = str(action.__struct_config__.tag)
            if name in types:
                raise invalid_extension(entry, f"the action type {name} is taken", "give it another tag")
            types.add(name)
            yield action

    return load_extensions("waybill.actions", read)
