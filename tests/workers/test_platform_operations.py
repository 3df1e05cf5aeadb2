"""Operations of a custom account: checks at load, requests of rules and by hand, and retry safety in workers."""

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from service.actions import load_actions
from service.config import Config
from service.config.decoding import decode_config
from service.configuration import load_config
from service.errors import ConfigError, PermanentError, TransientError
from service.http_client import HttpClient
from service.platforms.custom.connector import Custom
from service.platforms.registry import CONFIG_TYPE, build_platforms, writes_of
from service.records import RECORDS
from service.rules import check_operations
from service.rules.compiler.rule import actions_by_name, compile_rule
from service.rules.syntax import Rule
from service.settings import Settings
from service.store import Store
from service.throttles.throttles import SharedThrottles
from tests.workers.harness import WorkerHarness, open_harness, sent_key
from tests.workers.lookup_systems import FOLDER, SECRETS
from workers.processing.effect_policy import EffectPolicy, operations_of

OPERATIONS: dict[str, Any] = {
    "order.hold": {
        "method": "POST",
        "path": "/orders/{order}/hold?by={user}",
        "repeat": "keyed",
        "body": {
            "status": "on-hold",
            "missing": "{missing}",
            "note": "{order}: {{{missing}}}",
            "tags": ["{tag}"],
        },
    },
    "order.close": {"method": "DELETE", "path": "/orders/{order}", "repeat": "idempotent"},
    "order.pay": {"method": "POST", "path": "/orders/{order}/payments", "repeat": "unsafe", "body": {"of": "{amount}"}},
}
VALUES = {"order": "{id}", "user": "way bill&to=x", "missing": "{quantity_missing}", "tag": "{total.value}"}


def account(url: str = "http://127.0.0.1:9", operations: Any = OPERATIONS, **fields: Any) -> Any:
    """Decode an account as waybill.yaml has it."""
    written = {
        "kind": "custom", "base_url": url, "auth": {"type": "bearer", "token": {"env": "TOKEN"}},
        "records": {"purchase_order": {"path": "/orders/{id}"}}, "operations": operations, **fields,
    }  # fmt: skip
    return decode_config(written, CONFIG_TYPE, "platforms.shop")


def config(**others: Any) -> Config:
    """Return the accounts `shop`, `pack`, `stock`, which has no purchase orders, and others, each with a source."""
    pack = {"kind": "pack_cloud", "organization_id": "o", "token": {"env": "TOKEN"}}
    move = {"order.move": {"method": "POST", "path": "/{to}", "repeat": "keyed"}}
    stock = account(records={"customer": {"path": "/{id}"}}, operations=move)
    platforms = {
        "shop": account(),
        "pack": decode_config(pack, CONFIG_TYPE, "platforms.pack"),
        "stock": stock,
        **others,
    }
    known = load_config(FOLDER / "waybill.yaml", SECRETS)
    source = known.sources["erp-events"]
    sources = {f"of-{name}": replace(source, platform=name) for name in platforms}
    return replace(known, platforms=platforms, sources=sources)


class Target:
    """A platform: notes each write, and answers with the next of `statuses`, or 200."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, Any, str | None]] = []
        self.statuses: list[int] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        raw = await request.read()
        key = request.headers.get("Idempotency-Key")
        assert request.headers["Authorization"] == "Bearer planted-token"
        self.got.append((request.method, request.raw_path, json.loads(raw) if raw else None, key))
        return web.json_response({"id": 7}, status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    made, app = Target(), web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.mark.parametrize(
    ("name", "fields", "path", "reason"),
    [
        ("hold", {}, "", "not a valid name"),
        ("record.get", {}, "", "not a valid name"),
        ("order.hold", {"path": "/orders/{order"}, ".path", "brace"),
        ("order.hold", {"path": "/orders/{{order}}"}, ".path", "brace"),
        ("order.hold", {"body": {"a": ["{Order}"]}}, ".body.a[0]", "brace"),
        ("order.hold", {"body": "{context}"}, ".body", "reserved"),
        ("order.hold", {"path": "orders"}, ".path", "required format"),
        ("order.hold", {"method": "GET"}, ".method", "GET"),
        ("order.hold", {"repeat": "twice"}, ".repeat", "twice"),
        ("order.hold", {"colour": "red"}, ".colour", "unknown key"),
    ],
)
def test_mistake_in_an_operation_is_found_at_load(name: str, fields: Any, path: str, reason: str) -> None:
    written = {"method": "POST", "path": "/a", "repeat": "keyed", **fields}
    with pytest.raises(ConfigError) as caught:  # noqa: PT012 - decoding or the check of the account finds it
        mistakes = list(account(operations={name: written}).check("platforms.shop", RECORDS))
        raise mistakes[0]
    assert caught.value.path == f"platforms.shop.operations.{name}{path}"
    assert reason in caught.value.reason


def test_operation_without_a_retry_safety_is_rejected() -> None:
    with pytest.raises(ConfigError, match="repeat: is missing"):
        account(operations={"order.hold": {"method": "POST", "path": "/a"}})


@pytest.mark.parametrize(
    ("words", "path", "reason"),
    [
        ({"account": "shp"}, ".account", "no platform account 'shp'"),
        ({"operation": "order.hld"}, ".operation", "no operation 'order.hld'"),
        ({"account": "pack"}, ".operation", "no operation 'order.close'"),
        ({"account": None, "operation": "order.move"}, ".operation", "no operation 'order.move'"),
        ({"account": "stock", "operation": "order.move", "values": {"to": "a"}}, None, ""),
        ({"values": {}}, ".values", "the value of order is missing; the parameters are order"),
        ({"values": {"order": "1", "odrer": "1"}}, ".values", "no parameter odrer; the parameters are order"),
        ({"account": None, "values": {}}, ".values", "the value of order is missing"),
        ({}, None, ""),
        ({"account": None}, None, ""),
    ],
)
def test_mistake_in_a_rule_is_found_at_load(words: Any, path: str | None, reason: str) -> None:
    action = {"id": "a", "do": "platform", "account": "shop", "operation": "order.close", "values": {"order": "1"}}
    action = {name: value for name, value in (action | words).items() if value is not None}
    rule = msgspec.convert({"id": "r", "type": "purchase_order", "actions": [action]}, Rule)
    found = [(mistake.path, mistake.reason) for mistake in check_operations(config(), rule, "rule")]
    assert found == ([(f"rule.actions[0]{path}", found[0][1])] if path else [])
    assert all(reason in each for _, each in found)


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ({"sources": ["of-shop"]}, None),
        ({"sources": ["of-other"]}, ".values"),
        ({"sources": ["of-pack"]}, ".operation"),
        ({"sources": ["unknown"]}, None),  # reported by the check of the sources
    ],
)
def test_operation_is_checked_for_the_accounts_of_the_sources_of_a_rule(words: Any, path: str | None) -> None:
    action: dict[str, Any] = {"id": "a", "do": "platform", "operation": "order.close", "values": {"order": "1"}}
    rule = msgspec.convert({"id": "r", "type": "purchase_order", "actions": [action], **words}, Rule)
    others = {"order.close": {"method": "DELETE", "path": "/{number}", "repeat": "idempotent"}}
    found = [mistake.path for mistake in check_operations(config(other=account(operations=others)), rule, "rule")]
    assert found == ([f"rule.actions[0]{path}"] if path else [])


@pytest.mark.parametrize("name", [["x"], {}, 7])
def test_account_that_is_not_a_text_is_left_to_the_check_of_its_type(name: Any) -> None:
    action: dict[str, Any] = {"id": "a", "do": "platform", "account": name, "operation": "order.close", "values": {}}
    rule = msgspec.convert({"id": "r", "type": "purchase_order", "actions": [action]}, Rule)
    assert list(check_operations(config(), rule, "rule")) == []
    with pytest.raises(ConfigError, match="account"):
        compile_rule(rule, actions_by_name(load_actions()), "rule", RECORDS)


def declare(harness: WorkerHarness, target: Target, outbound: HttpClient, store: Store, **fields: Any) -> None:
    """Add the account `shop`, as a worker builds it."""
    configs = {"shop": account(target.url, **fields)}
    shared = SharedThrottles(store.limits, store.tokens, 5.0)
    platforms = build_platforms(configs, {"TOKEN": "planted-token"}, outbound, shared)
    resources: Any = harness.dependencies.effects.resources
    resources["platforms"] = {**harness.dependencies.platforms, **platforms}
    policy = EffectPolicy(operations=operations_of(configs))
    harness.dependencies = msgspec.structs.replace(harness.dependencies, policy=policy)


def rule(operation: str, values: Any, **words: Any) -> str:
    action = {"id": "a", "do": "platform", "account": "shop", "operation": operation, "values": values, **words}
    return json.dumps([{"id": "r", "type": "purchase_order", "actions": [action]}])


@pytest.mark.store
async def test_rule_calls_an_operation_with_its_typed_values(settings: Settings, target: Target) -> None:
    async with open_harness(settings) as harness, HttpClient(settings) as outbound:
        declare(harness, target, outbound, harness.store)
        await harness.publish(rule("order.hold", VALUES))
        event_id = await harness.send("po-1")
        await harness.run_worker()
        stored = await harness.stored_event(event_id)
    (method, path, body, key), missing = target.got[0], target.got[0][2]["missing"]
    assert (stored["state"], len(target.got), method) == ("ended", 1, "POST")
    assert path == "/orders/po-1/hold?by=way%20bill%26to%3Dx"
    assert isinstance(missing, int)
    assert body["note"] == f"po-1: {{{missing}}}"
    assert body["status"] == "on-hold"
    assert isinstance(body["tags"][0], int | float)
    assert key == sent_key(f"{event_id}:r:a:0")
    assert "planted-token" not in str(stored) + str(harness.lines)
    (line,) = harness.log_lines("action.finished")
    assert (line["action_type"], line["outcome"], line["http_status"]) == ("platform", "ok", 200)
    assert b"hold" in msgspec.json.encode(stored["history"])  # the exchange


@pytest.mark.slow
@pytest.mark.store
@pytest.mark.parametrize(
    ("operation", "values", "state"),
    [
        ("order.close", {"order": "{id}"}, "ended"),
        ("order.hold", VALUES, "ended"),
        ("order.pay", {"order": "{id}", "amount": "1"}, "dead"),
    ],
)
async def test_unknown_result_follows_the_retry_safety_of_the_operation(
    settings: Settings, target: Target, operation: str, values: Any, state: str
) -> None:
    async with open_harness(settings) as harness, HttpClient(settings) as outbound:
        declare(harness, target, outbound, harness.store)
        await harness.publish(rule(operation, values))
        target.statuses = [500]
        event_id = await harness.send("po-1")
        await harness.run_worker()
        stored = await harness.stored_event(event_id)
    assert (len(target.got), stored["state"]) == (2 if state == "ended" else 1, state)
    assert len({key for *_, key in target.got}) == 1
    assert (target.got[0][3] is not None) == (operation == "order.hold")
    assert (state == "dead") == ("outcome_unknown" in str(stored["history"]))


@pytest.mark.store
async def test_operation_shares_the_limits_of_its_account(settings: Settings, target: Target) -> None:
    async with open_harness(settings) as harness, HttpClient(settings) as outbound:
        declare(harness, target, outbound, harness.store, requests_per_minute_max=1)
        await harness.publish(rule("order.close", {"order": "{id}"}))
        for number in range(2):
            await harness.send(f"po-{number}")
        worker = harness.worker()
        await harness.run_until_idle(worker)
    assert len(target.got) == 1  # the second event waits, and has used no attempt


@pytest.mark.parametrize(
    ("operation", "values", "kind"),
    [
        ("order.gone", {}, "unknown_operation"),
        ("order.close", {}, "invalid_argument"),
        ("order.close", {"order": ""}, "invalid_id"),
        ("order.close", {"order": None}, "invalid_id"),
        ("order.close", {"order": ["1"]}, "invalid_argument"),
        ("order.close", {"order": ".."}, "invalid_id"),
    ],
)
async def test_value_that_no_request_can_contain_is_an_error(operation: str, values: Any, kind: str) -> None:
    async with HttpClient(Settings()) as outbound:
        shop: Any = build_platforms({"shop": account()}, {"TOKEN": "t"}, outbound)["shop"]
        assert isinstance(shop, Custom)
        with pytest.raises((TransientError, PermanentError)) as caught:
            await shop.client.write(operation, values)
    assert caught.value.kind == kind
    assert kind != "unknown_operation" or isinstance(caught.value, TransientError)


async def test_write_by_hand_takes_the_path_as_ids_and_the_rest_as_body(target: Target) -> None:
    config = account(target.url)
    write = writes_of(config)["order.hold"]
    assert write.ids == ("order", "user")
    async with HttpClient(Settings()) as outbound:
        shop = build_platforms({"shop": config}, {"TOKEN": "planted-token"}, outbound)["shop"]
        body = b'{"missing": 3, "tag": null}'
        written = await write.run(shop, {"order": "1", "user": "ann"}, body)
        assert (written.http_status, written.id) == (200, "7")
        with pytest.raises(PermanentError, match="the value of tag is missing"):
            await write.run(shop, {"order": "1", "user": "ann"}, b'{"missing": 3}')
        closed = writes_of(config)["order.close"]
        await closed.run(shop, {"order": "1"}, None)
    (_, path, sent, key), (*_, no_body, no_key) = target.got
    assert (path, sent["missing"], sent["tags"], len(key or "")) == ("/orders/1/hold?by=ann", 3, [None], 36)
    assert (no_body, no_key) == (None, None)


def test_actions_of_the_entry_point_contain_the_operation() -> None:
    (action,) = [each for each in load_actions() if each.__struct_config__.tag == "platform"]
    assert (action.requires_admin, action.repeat) == (True, "unsafe")
