"""What an action is: the contract between the rules, which render it, and the workers, which run it.

An action's struct is what stands in a rule file under `actions`; `do` is its tag. Loading a rule compiles the action's
templates against the record's fields; judging an event renders them into plain data, which is stored with the decision
before anything runs; running gets that data alone. The actions themselves live one a file in `workers/actions` and are
found by the entry point group `waybill.actions`, so that the service can check a rule file without importing a worker.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Annotated, Any, ClassVar, Literal, Protocol

from msgspec import Meta, Struct

from service.events import Event, JsonValue

RetrySafety = Literal["idempotent", "keyed", "unsafe"]
"""What may happen to an effect found started without a result: run again, run again with the same idempotency key, or
wait for a person."""

Identifier = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z", description="at most 64 letters, digits, - and _"),
]
"""The id of a rule or an action: letters, digits, dash, underscore; up to 64. It stands in idempotency keys, and so in
headers and in what is signed."""

TemplateRenderer = Callable[[Any], Any]
"""From the scope of a decision to plain data that msgpack can hold; actions only pass the scope on."""


class CompileTemplate(Protocol):
    """Compiles one template of an action: text with `{field}` placeholders, or nested data of such texts.

    `path` is where it stands inside the action. `style` says how values are written: `json` as they are, `log` with
    personal ones masked, `url` percent-encoded and required, `header` required and on one line. Raises ConfigError for
    a template that names no field; rendering raises for a value that is required and absent.
    """

    def __call__(
        self,
        path: str,
        template: JsonValue,
        style: Literal["json", "log", "url", "header"] = "json",
    ) -> TemplateRenderer:
        """Compile `template`; see above."""
        ...


class ActionContext(Protocol):
    """What a running action may use; built once per effect by the worker."""

    @property
    def idempotency_key(self) -> str:
        """The effect's key: event, rule, action, generation. The same on every repetition."""
        ...

    @property
    def event_id(self) -> str:
        """The event the effect belongs to."""
        ...

    @property
    def source(self) -> str:
        """The name of the source that event came from."""
        ...

    @property
    def rule(self) -> str:
        """The id of the rule that asked for the effect."""
        ...

    @property
    def action(self) -> str:
        """The id of the action within that rule."""
        ...

    @property
    def traceparent(self) -> str | None:
        """The trace of the delivery (W3C), to be passed on."""
        ...

    def resource(self, name: str) -> Any:  # noqa: ANN401 - what the composition root put there: "http", "log", …
        """Give the shared resource of that name.

        Raises:
            KeyError: the composition root offers none.
        """
        ...

    def emit(self, event: Event) -> None:
        """Take in an event together with the ledger's word that this effect is done: both happen, or neither."""
        ...

    def publish(self, stream: str, data: bytes, length_max: int) -> None:
        """Append to a stream, likewise together with the ledger's word; the stream is cut to its newest entries."""
        ...


class Action(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """The part every action has. `id` is the action's name within its rule."""

    repeat: ClassVar[RetrySafety] = "keyed"
    summary: ClassVar[str] = ""

    id: Identifier

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of the fields into what renders the inputs of `run`, a dict.

        Raises:
            ConfigError: a template that names no field, with the path inside the action.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how to compile its templates")

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Do it with the rendered inputs; give what is worth keeping of the answer (small, no personal data).

        Raises:
            TransientError: waiting helps.
            PermanentError: it does not.
        """
        raise NotImplementedError(f"{cls.__name__} does not say how it is run")


def load_actions() -> Sequence[type[Action]]:
    """Every action that is installed, ours and those of other packages, by the entry point group `waybill.actions`."""
    return [action for entry in entry_points(group="waybill.actions") for action in entry.load()]
