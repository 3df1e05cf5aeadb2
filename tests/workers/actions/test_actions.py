"""Every action of the list keeps the contract; `log` says its line; `http` keeps its promises to a real server."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

import msgspec
import pytest
from aiohttp import web
from msgspec import Meta, Struct
from structlog.testing import capture_logs

from service.actions import Action, ActionContext, CompileTemplate, RetrySafety, TemplateRenderer, load_actions
from service.errors import ConfigError, Deferred, PermanentError, TransientError
from service.events import Delivery, RecordRef
from service.http_client import HttpClient
from service.log import get_logger
from service.records import RECORDS
from service.rules import Rulebook, write_document
from service.rules.json_schema import write_schema
from service.rules.rule_types import list_rule_types
from service.secrets import SecretRef
from service.settings import Settings
from service.signatures.standard_webhooks import StandardWebhooks
from service.store import Store
from tests.service.rules.rule_samples import NOW, customer, rules_of, subject
from tests.workers.actions.action_runs import NOON, SECRET, Context, destinations, inputs
from tests.workers.actions.platform_write_samples import WRITE_SAMPLES
from workers.actions import ACTIONS
from workers.actions.emit import Emit
from workers.actions.http import Http
from workers.actions.log import MESSAGE_CHARS_MAX, Log
from workers.actions.publish import Publish

EXAMPLES: dict[str, dict[str, Any]] = {
    "log": {"level": "warning", "message": "{id} looks odd"},
    "http": {"url": "https://x.test/{id}", "method": "PUT", "headers": {"X-A": "{id}"}, "body": {"id": "{id}"},
             "json": "text", "query": {"of": "{status}"},
             "content_type": "application/vnd.claim+json", "repeat": "unsafe"},
    "emit": {"type": "customer.recheck", "change": "updated", "record": "{id}", "kind": "customer", "platform": "pack"},
    "slack": {"destination": "chat", "text": "*{reference}* {id}", "blocks": [{"type": "divider"}], "repeat": "unsafe"},
    "teams": {"destination": "chat", "title": "{id}", "text": "{status}", "facts": {"Missing": "{quantity_missing}"}},
    "email": {"destination": "mail", "to": ["ops@example.com"], "subject": "{reference}", "text": "{id}"},
    "webhook": {"destination": "app", "send": "decision", "type": "order.short", "values": {"id": "{id}"}},
    "publish": {"stream": "shortages", "message": {"order": "{id}"}, "length_max": 5},
    "platform": {"account": "shop", "operation": "order.hold", "values": {"order": "{id}"}, "json": "text"},
    **{name: {"account": sample.account, **sample.fields} for name, sample in WRITE_SAMPLES.items()},
}  # fmt: skip


class Sink(Struct):
    """A real server: notes what it got and answers `status` with `headers` after `seconds`."""

    url: str
    got: list[tuple[str, str, Mapping[str, str], bytes]]
    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b"{}"
    seconds: float = 0

    async def answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append((request.method, request.raw_path, headers, await request.read()))
        await asyncio.sleep(self.seconds)
        return web.Response(status=self.status, headers=self.headers, body=self.body)


@pytest.fixture
async def sink(free_port: int) -> AsyncIterator[Sink]:
    made = Sink(f"http://127.0.0.1:{free_port}", [])
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", free_port).start()
    yield made
    await runner.cleanup()


@pytest.fixture
async def context(store: Store) -> AsyncIterator[Context]:
    async with AsyncExitStack() as stack:
        allowed = await stack.enter_async_context(HttpClient(Settings(), frozenset({"127.0.0.1"})))
        yield Context({
            "outbound": allowed, "action_timeout_seconds": 5.0, "log": get_logger(), "emit_depth_max": 3,
            "destinations": destinations(allowed, store),
        })  # fmt: skip


def declare(context: Context, **config: Any) -> None:
    """Declare the destination `erp`, without a throttle."""
    context.resources["destinations"] = destinations(context.resources["outbound"], erp={"kind": "http", **config})


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("Müller & Søn", "UTF-8''Order%20M%C3%BCller%20&%20S%C3%B8n"),
        ("Smith %2F", "Order Smith %2F"),
        ("\u2028 \u20ac", "UTF-8''Order%20%E2%80%A8%20%E2%82%AC"),
    ],
)
def test_header_with_characters_outside_ascii_is_encoded_as_an_extended_value(name: str, sent: str) -> None:
    found = inputs(
        "http", url="https://x.test/", headers={"X-A": "Order {raw.name}"}, about=subject(raw={"name": name})
    )
    assert found["headers"] == {"X-A": sent}


def test_functions_with_blanks_are_accepted_in_paths_and_urls() -> None:
    about = subject(raw={"name": "a b"})
    asked = {"destination": "erp", "path": "/orders/{raw.name | upper}"}
    assert inputs("http", about=about, **asked)["path"] == "/orders/A%20B"
    assert inputs("http", about=about, url="https://x.test/{raw.name | upper}")["url"] == "https://x.test/A%20B"


@pytest.mark.parametrize("number", ["12.50", "3.0", "0.10", "100", "12345678901234567890.10", "-0.00"])
async def test_text_has_all_digits_of_the_record(sink: Sink, context: Context, number: str) -> None:
    about = subject(raw={"total": Decimal(number)})
    asked = {"url": f"{sink.url}/a", "query": {"total": "{raw.total}"}, "about": about}
    await Http.run(inputs("http", **asked, body={"total": "{raw.total}"}, json="text"), context)
    await Http.run(inputs("http", **asked, form={"total": "{raw.total}"}), context)
    (_, path, _, body), (_, _, _, form) = sink.got
    assert (path, form.decode()) == (f"/a?total={number}", f"total={number}")
    assert json.loads(body) == {"total": number}


# --- the list ---


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: str(action.__struct_config__.tag))
def test_every_action_is_documented_and_round_trips_through_a_rule_file(action: type[Action]) -> None:
    name = str(action.__struct_config__.tag)
    assert action.summary.endswith(".")
    assert action.repeat in get_args(RetrySafety)
    assert action.__doc__
    example = {"do": name, "id": "a", **EXAMPLES[name]}
    assert msgspec.convert(example, action).id == "a"
    assert msgspec.to_builtins(msgspec.convert(msgspec.to_builtins(msgspec.convert(example, action)), action)) == (
        msgspec.to_builtins(msgspec.convert(example, action))
    )
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert(example | {"colour": "red"}, action)
    assert isinstance(inputs(name, **EXAMPLES[name]), dict)


def test_the_entry_point_offers_exactly_the_listed_actions() -> None:
    assert tuple(load_actions()) == ACTIONS
    folder = Path(__file__).parents[3] / "workers" / "actions"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files == {action.__module__.rsplit(".", 1)[-1] for action in ACTIONS}
    assert len({action.__struct_config__.tag for action in ACTIONS}) == len(ACTIONS)


class Greet(Action, frozen=True, kw_only=True, tag="greet"):
    """`name` is a template."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Greets somebody."

    name: str
    times: Annotated[int, Meta(ge=1)] = 1

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        name = compile_template("name", self.name)
        return lambda scope: {"name": name(scope), "times": self.times}

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        return {"greeted": " ".join([inputs["name"]] * inputs["times"]), "key": context.idempotency_key}


async def test_a_new_action_needs_only_its_module_and_its_list_entry(context: Context) -> None:
    actions = (*ACTIONS, Greet)
    for described in list_rule_types(actions, RECORDS):
        (greet,) = [action for action in described.actions if action.do == "greet"]
        assert (greet.summary, greet.repeat, greet.description) == (
            "Greets somebody.",
            "idempotent",
            "`name` is a template.",
        )
        assert {(field.name, field.required, field.default) for field in greet.fields} == {
            ("id", True, None), ("name", True, None), ("times", False, 1), ("ordered", False, True),
            ("latest_only", False, False),
        }  # fmt: skip
    assert '"greet"' in write_schema(actions)
    text = "- {id: r, type: customer, actions: [{id: a, do: greet, name: '{%s}', times: 2}]}"
    with pytest.raises(ConfigError, match=r"actions\[0\]\.name: no field 'frist_name'. Fix: did you mean first_name"):
        Rulebook.load(write_document(rules_of(text % "frist_name")), actions)
    (effect,) = (
        Rulebook.load(write_document(rules_of(text % "first_name")), actions).evaluate(subject(customer()), NOW).effects
    )
    assert (effect.action_type, effect.repeat, effect.inputs) == ("greet", "idempotent", {"name": "Ann", "times": 2})
    assert await Greet.run(effect.inputs, context) == {"greeted": "Ann Ann", "key": context.idempotency_key}


def test_the_rules_page_names_every_action() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/rules.md").read_text()
    for action in ACTIONS:
        name = str(action.__struct_config__.tag)
        ends = [f"…{name[cut:]}`" for cut, letter in enumerate(name) if letter == "_"]
        assert any(form in page for form in (f"`{name}`", *ends)), name


async def test_an_action_without_compile_or_run_raises_not_implemented(context: Context) -> None:
    class Empty(Action, frozen=True, kw_only=True, tag="empty"):
        pass

    with pytest.raises(NotImplementedError, match="Empty"):
        Rulebook.load(write_document(rules_of("- {id: r, type: customer, actions: [{id: a, do: empty}]}")), [Empty])
    with pytest.raises(NotImplementedError, match="Empty"):
        await Empty.run({}, context)


# --- log ---


async def test_log_writes_one_line_without_personal_data(context: Context) -> None:
    about = subject(customer())
    with capture_logs() as lines:
        assert await Log.run(inputs("log", about, level="error", message="{id} {email}"), context) == {}
    assert lines == [
        {
            "event": "action.logged",
            "log_level": "error",
            "text": "c1 ***",
            "event_id": "e1",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "rule_id": "short",
        }
    ]


def test_a_log_message_is_truncated() -> None:
    assert len(inputs("log", message="a" * 5_000)["message"]) == MESSAGE_CHARS_MAX


# --- http: what is refused ---


@pytest.mark.parametrize(
    ("words", "path", "reason"),
    [
        ({"url": "https://{id}/x"}, "url", "does not name its host"),
        ({"url": "https://erp.example.com{id}"}, "url", "does not name its host"),
        ({"url": "https://user:pass@erp.example.com/"}, "url", "a user name or password"),
        ({"url": "ftp://erp.example.com/"}, "url", "does not name its host"),
        ({"url": "{raw.url}"}, "url", "does not name its host"),
        ({"url": "https://erp.example.com:80x80/"}, "url", "cannot be used: Port could not be cast"),
        ({"url": "https://erp.example.com:808080/{id}"}, "url", "cannot be used: Port out of range"),
        ({"url": "https://[::zz]/"}, "url", "cannot be used"),
        ({"url": "https://x.test/{statsu}"}, "url", "no field 'statsu'"),
        ({"url": "https://x.test/", "body": {"a": ["{statsu}"]}}, "body.a[0]", "no field 'statsu'"),
        ({"url": "https://x.test/", "headers": {"X": "{statsu}"}}, "headers.X", "no field 'statsu'"),
        ({"url": "https://x.test/", "headers": {"Idempotency-Key": "1"}}, "headers.Idempotency-Key", "cannot be set"),
        ({"url": "https://x.test/", "headers": {"a b": "1"}}, "headers.a b", "cannot be set"),
        ({"url": "https://x.test/", "headers": {"X": "a\nb"}}, "headers.X", "is not printable ASCII"),
        ({"url": "https://x.test/", "headers": {"X": "ü {id}"}}, "headers.X", "is not printable ASCII"),
        ({"url": "https://x.test/", "secret": {"env": "S"}}, "secret", "unknown key"),
        (
            {"url": "https://x.test/", "headers": {"Authorization": "Bearer {id}"}},
            "headers.Authorization",
            "credential",
        ),
        ({"url": "https://x.test/", "headers": {"cookie": "a=b"}}, "headers.cookie", "a credential in the header"),
        ({"url": "https://x.test/", "headers": {"X-Api-Key": "k"}}, "headers.X-Api-Key", "a credential in the header"),
        ({"url": "https://x.test/", "headers": {"X": "Bearer 0123456789"}}, "headers.X", "looks like a secret"),
        ({"url": "https://x.test/", "headers": {"X-Auth": "0123456789abcdef"}}, "headers.X-Auth", "a credential in"),
        ({"url": "https://x.test/hooks/9f8e7d6c5b4a39281706f5e4d3c2"}, "url", "a path that looks like a secret"),
        ({"url": "https://hook.eu1.make.com/abcdefgh"}, "url", "a path that is a secret"),
        (
            {"url": "https://x.test/", "body": {"a": [{"password": "hunter2hunter2"}]}},
            "body.a[0].password",
            "in password",
        ),
        ({"url": "https://x.test/", "form": {"client_secret": "0123456789"}}, "form.client_secret", "a credential in"),
        ({"url": "https://x.test/", "text": f"Token: ghp_{'a1' * 12}"}, "text", "a value that looks like a secret"),
        ({"url": "https://x.test/?api_key=abc"}, "url", "a secret in the query parameter api_key"),
        ({"url": "https://x.test/", "query": {"access_token": "abc"}}, "query.access_token", "looks like a secret"),
        ({"url": "https://hooks.slack.com/services/T0/B0/abc"}, "url", "a path that is a secret"),
        ({"url": "https://x.test/", "destination": "erp"}, "destination", "contradicts url"),
        ({"method": "PUT"}, "destination", "is missing"),
        ({"url": "https://x.test/", "path": "/a"}, "path", "requires destination"),
        ({"destination": "erp", "path": "orders"}, "path", "does not start with /"),
        ({"destination": "erp", "path": "/a b"}, "path", "contains a blank"),
        ({"destination": "erp", "path": "/a?token=abc"}, "path", "a secret in the query parameter token"),
        ({"destination": "erp", "path": "/{statsu}"}, "path", "no field 'statsu'"),
        ({"destination": "erp", "body": {}, "xml": "<a/>"}, "xml", "contradicts body"),
        ({"url": "https://x.test/", "method": "TRACE"}, "method", "Invalid enum value"),
        ({"url": "https://x.test/" + "a" * 2_000}, "url", "length <= 2000"),
    ],
)
def test_an_unsafe_http_action_is_rejected_at_load(words: Any, path: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        inputs("http", **words)
    assert caught.value.path == f"rules[0].actions[0].{path}"
    assert reason in caught.value.reason


@pytest.mark.parametrize(("status", "repeated"), [(408, True), (425, True), (429, True), (500, True), (503, True),
                                                  (301, False), (400, False), (404, False), (409, False)])  # fmt: skip
async def test_a_status_has_the_expected_error_code(sink: Sink, context: Context, status: int, repeated: bool) -> None:  # noqa: FBT001
    sink.status = status
    # 429 and 503 open the circuit of the host.
    with pytest.raises((TransientError, Deferred) if repeated else PermanentError) as caught:
        await Http.run(inputs("http", url=sink.url), context)
    assert caught.value.http_status == status
    assert len(sink.got) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 423])
async def test_a_rejection_is_transient_with_retry_after_or_if_the_destination_lists_it(
    sink: Sink, context: Context, status: int
) -> None:
    sink.status = status
    with pytest.raises(PermanentError):
        await Http.run(inputs("http", url=sink.url), context)
    for name, performed in (("statuses", False), ("ambiguous_statuses", True)):
        declare(context, url=sink.url, allow_private_host=True, retry={"for": "2h", name: [status]})
        with pytest.raises(TransientError) as caught:
            await Http.run(inputs("http", destination="erp"), context)
        assert (caught.value.is_performed, caught.value.retry_for_seconds) == (performed, 7_200)
    sink.headers = {"Retry-After": "3"}
    with pytest.raises(TransientError) as caught:
        await Http.run(inputs("http", url=sink.url), context)
    assert (caught.value.retry_after_seconds, caught.value.http_status) == (3.0, status)


async def test_a_conflict_is_transient_for_a_repeated_call_only(sink: Sink, context: Context) -> None:
    sink.status = 409
    with pytest.raises(PermanentError):
        await Http.run(inputs("http", url=sink.url), context)
    context.is_repeated = True
    with pytest.raises(TransientError):
        await Http.run(inputs("http", url=sink.url), context)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (format_datetime(datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC), usegmt=True), 30.0),
        (format_datetime(datetime(2026, 3, 1, 11, tzinfo=UTC), usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
    ],
)
async def test_retry_after_is_passed_on(sink: Sink, context: Context, header: str, seconds: float | None) -> None:
    sink.status, sink.headers = 408, {"Retry-After": header}
    with pytest.raises(TransientError) as caught:
        await Http.run(inputs("http", url=sink.url), context)
    assert caught.value.retry_after_seconds == seconds


async def test_slow_answer_ends_and_large_body_does_not_matter(sink: Sink, context: Context) -> None:
    sink.seconds = 1
    declare(context, url=sink.url, allow_private_host=True, timeouts={"total_seconds": 0.05})
    with pytest.raises(TransientError) as slow:
        await Http.run(inputs("http", destination="erp"), context)
    context.resources["action_timeout_seconds"] = 0.05
    with pytest.raises(TransientError) as slower:
        await Http.run(inputs("http", url=sink.url), context)
    assert (slow.value.kind, slower.value.kind) == ("timeout", "timeout")
    sink.seconds, sink.body = 0, b"x" * 100_000
    context.resources["action_timeout_seconds"] = 5
    assert (await Http.run(inputs("http", url=sink.url), context))["http_status"] == 200


async def test_a_private_address_is_blocked_unless_allowed(sink: Sink, context: Context) -> None:
    async with HttpClient(Settings()) as guarded:
        context.resources["destinations"] = destinations(guarded)
        with pytest.raises(PermanentError) as caught:
            await Http.run(inputs("http", url=sink.url), context)
    assert caught.value.kind == "address_blocked"
    assert sink.got == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]", "2130706433"])
async def test_a_private_address_is_blocked_in_every_notation(sink: Sink, context: Context, host: str) -> None:
    port = sink.url.rpartition(":")[2]
    async with HttpClient(Settings()) as guarded:
        context.resources["destinations"] = destinations(guarded)
        with pytest.raises(PermanentError) as caught:
            await Http.run(inputs("http", url=f"http://{host}:{port}/"), context)
    assert caught.value.kind in {"address_blocked", "invalid_url"}
    assert sink.got == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_to_a_private_address_is_not_followed(sink: Sink, context: Context, status: int) -> None:
    sink.status, sink.headers = status, {"location": f"{sink.url}/inside"}
    with pytest.raises(PermanentError) as caught:
        await Http.run(inputs("http", url=f"{sink.url}/outside"), context)
    assert (caught.value.kind, caught.value.http_status) == ("target_rejected", status)
    assert [path for _, path, _, _ in sink.got] == ["/outside"]


# --- http: what is sent ---


async def test_a_request_carries_body_key_trace_and_headers(sink: Sink, context: Context) -> None:
    words = {"url": sink.url + "/claims/{reference}?of={status}", "headers": {"X-Order": "{id}", "Accept": "text/x"}}
    body = {"order": "{id}", "missing": "{quantity_missing}", "note": "é {reference}"}
    kept = await Http.run(inputs("http", body=body, **words), context)
    assert kept["http_status"] == 200
    assert kept["duration_ms"] > 0
    ((method, path, headers, sent),) = sink.got
    assert (method, path) == ("POST", "/claims/PO-1?of=received")
    assert json.loads(sent) == {"order": "po_1", "missing": 3, "note": "é PO-1"}
    assert uuid.UUID(headers["idempotency-key"]).version == 4
    assert headers["traceparent"] == context.traceparent
    assert (headers["content-type"], headers["x-order"], headers["accept"]) == ("application/json", "po_1", "text/x")
    assert "webhook-signature" not in headers


async def test_a_request_without_body_or_trace_sends_none(sink: Sink, context: Context) -> None:
    context.traceparent = None
    await Http.run(inputs("http", url=sink.url + "/x", method="DELETE"), context)
    ((method, _, headers, sent),) = sink.got
    assert (method, sent) == ("DELETE", b"")
    assert not {"traceparent", "content-type"} & set(headers) or headers.get("content-type") != "application/json"


async def test_a_repetition_sends_the_same_key_and_a_signature_that_verifies(sink: Sink, context: Context) -> None:
    signature = {"scheme": "standard_webhooks", "secrets": [{"env": "S"}]}
    declare(context, url=sink.url, allow_private_host=True, signature=signature)
    rendered = inputs("http", destination="erp", body={"a": "{id}"})
    assert SECRET not in repr(rendered)
    for _ in range(2):
        await Http.run(rendered, context)
    first, second = (headers["idempotency-key"] for _, _, headers, _ in sink.got)
    assert first == second
    _, _, headers, body = sink.got[0]
    verifier = StandardWebhooks(secrets=(SecretRef(env="S"),)).build({"S": SECRET}, "test")
    verifier.verify(Delivery("test", headers, body, NOON))
    assert headers["webhook-id"] == first
    assert headers["webhook-timestamp"] == str(int(NOON))


# --- emit and publish ---


async def test_emit_derives_one_event_from_its_key_one_level_deeper(context: Context) -> None:
    rendered = inputs("emit", subject(customer(id="c/9")), type="customer.recheck", platform="crm")
    answer = await Emit.run(rendered, context)
    again = await Emit.run(rendered, context)
    first, second = context.emitted
    assert (first.record, first.type, first.change, first.source) == (
        RecordRef("crm", "customer", "c/9"), "customer.recheck", "changed", "pack-orders",
    )  # fmt: skip
    assert answer == again == {"emitted": first.id}
    assert (first.id, first.depth, first.trail) == (second.id, 1, second.trail)
    assert len(first.id) == 32
    context.idempotency_key = "e1:short:claim:1"
    assert (await Emit.run(rendered, context))["emitted"] != first.id


async def test_emit_limits_the_depth_and_detects_loops(context: Context) -> None:
    rendered = inputs("emit", type="again")
    await Emit.run(rendered, context)
    with pytest.raises(PermanentError, match="already emitted") as loop:
        await Emit.run(rendered | {"trail": f"ab,{context.emitted[0].trail}"}, context)
    assert loop.value.kind == "emit_loop"
    with pytest.raises(PermanentError, match="3 emit actions") as deep:
        await Emit.run(rendered | {"depth": 3}, context)
    assert deep.value.kind == "emit_too_deep"
    await Emit.run(rendered | {"record": "another", "trail": context.emitted[0].trail}, context)


@pytest.mark.parametrize("record", [None, "", "a\nb", "x" * 257, {"a": 1}])
async def test_emit_needs_a_record_that_has_an_id(context: Context, record: Any) -> None:
    with pytest.raises(PermanentError, match="gave no id"):
        await Emit.run(inputs("emit", type="again") | {"record": record}, context)


async def test_publish_appends_the_message_as_json(context: Context) -> None:
    rendered = inputs("publish", stream="out", message={"order": "{id}", "total": "{total.value}"})
    assert await Publish.run(rendered, context) == {"stream": "out"}
    as_text = inputs("publish", stream="out", json="text", message={"order": "{id}", "total": "{total.value}"})
    assert await Publish.run(as_text, context) == {"stream": "out"}
    assert [data for _, data, _ in context.published] == [
        b'{"order":"po_1","total":150}',
        b'{"order":"po_1","total":"150.00"}',
    ]
