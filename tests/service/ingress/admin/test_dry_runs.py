"""Dry runs and rulebook versions in the admin API."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Struct

from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.http_client import HttpClient
from service.platforms.kind import ConnectorDependencies
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud
from service.sandbox.server import SandboxHandle, running_sandbox
from service.secrets import SecretRef
from service.settings import Settings
from service.store import Store

from .conftest import Api, Lines, ServeAdmin

pytestmark = pytest.mark.slow

RULES, RUNS, BOOK = "/api/v1/rules", "/api/v1/dry-runs", "/api/v1/rulebook"
SHORT: dict[str, Any] = {
    "id": "short",
    "type": "purchase_order",
    "when": {"any_of": "lines", "where": {"field": "quantity_received", "op": "lt", "ref": "quantity_ordered"}},
    "actions": [{"id": "claim", "do": "http", "url": "https://erp.test/{id}", "body": {"order": "{id}"}}],
}
POST = {"kind": "purchase_order", "record": {"id": "p1", "lines": [{"quantity_ordered": 2, "quantity_received": 1}]}}


class Shop(Struct):
    """Admin API with a sandbox platform."""

    api: Api
    sandbox: SandboxHandle
    store: Store

    async def send(self, record_id: str, kind: str = "purchase_order") -> str:
        record = RecordRef("pack", kind, record_id)
        event = Event(EVENT_VERSION, new_event_id(), "shop", "t", "updated", record, None, {}, None, b"{}")
        await self.store.ingest(event, event.id, 60_000)
        return event.id


@pytest.fixture
async def shop(settings: Settings, store: Store, share_admin: ServeAdmin) -> AsyncIterator[Shop]:
    async with running_sandbox() as sandbox, HttpClient(settings) as outbound:
        config = PackCloudConfig(
            organization_id="org_1", token=SecretRef(env="TOKEN"), base_url=sandbox.base_url("pack_cloud")
        )
        pack = PackCloud("pack", config, ConnectorDependencies(outbound, {"TOKEN": sandbox.token}))
        api = await share_admin(platforms={"pack": pack})
        assert (await api("POST", RULES, SHORT)).status == 201
        yield Shop(api, sandbox, store)


async def test_a_posted_record_is_evaluated_with_every_node(shop: Shop) -> None:
    answer = await shop.api("POST", RUNS, {"post": POST}, role="operator")
    assert answer.status == 200, answer.body
    assert answer.body["verdicts"] == [{"rule_id": "short", "result": "matched", "reason": None}]
    assert [(step["path"], step["result"], step.get("actual")) for step in answer.body["steps"]] == [
        ("when.any_of.where", True, 1), ("when", True, "(1 element)"),
    ]  # fmt: skip
    (effect,) = answer.body["effects"]
    assert (effect["action_type"], effect["inputs"]["url"], effect["inputs"]["body"]) == (
        "http", "https://erp.test/p1", {"order": "p1"},
    )  # fmt: skip


async def test_a_posted_delivery_is_read_by_rules(shop: Shop) -> None:
    conditions = [
        {"field": "delivery.celsius", "op": "gt", "value": "-15", "as": "decimal"},
        {"field": "delivery.headers.user-agent", "op": "eq", "value": "Guard/1"},
    ]
    rule = {"id": "hot", "type": "event", "when": {"all": conditions}}
    posted = {"kind": "event", "delivery": {"celsius": -11.5}, "headers": {"User-Agent": "Guard/1"}}
    results = [
        (await shop.api("POST", RUNS, {"post": each, "rules": [rule]}, role="operator")).body["verdicts"][0]["result"]
        for each in (posted, posted | {"delivery": {"celsius": -20}}, {"kind": "event"})
    ]
    assert results == ["matched", "unmatched", "unknown"]


async def test_numbers_of_a_posted_raw_record_are_exact(shop: Shop) -> None:
    rule = {"id": "heavy", "type": "purchase_order", "when": {"field": "raw.weight", "op": "eq", "value": 12.1}}
    posted = {"post": POST | {"raw": {"weight": 12.1}}, "rules": [rule]}
    answer = await shop.api("POST", RUNS, posted, role="operator")
    assert [verdict["result"] for verdict in answer.body["verdicts"]] == ["matched"], answer.body


async def test_a_fetched_record_is_evaluated_by_a_candidate(shop: Shop) -> None:
    rules = [{"id": "new", "type": "purchase_order", "when": {"field": "status", "op": "eq", "value": "received"}}]
    request_body = {"record": "pack:purchase_order:po-1", "rules": rules}
    answer = await shop.api("POST", RUNS, request_body)
    assert [verdict["rule_id"] for verdict in answer.body["verdicts"]] == ["new"]
    assert answer.body["record"] == "pack:purchase_order:po-1"


async def test_a_stored_event_is_evaluated_without_effects(shop: Shop) -> None:
    event_id = await shop.send("po-1")
    before = await shop.store.events.get(event_id)
    answer = await shop.api("POST", RUNS, {"event": event_id})
    assert (answer.body["event_id"], answer.body["verdicts"][0]["result"]) == (event_id, "matched")
    assert await shop.store.events.get(event_id) == before
    assert not shop.sandbox.sandbox.sink.requests


@pytest.mark.parametrize(
    ("request_body", "status", "pointers"),
    [
        ({}, 422, [""]),
        ({"post": POST, "event": "a"}, 422, [""]),
        ({"event": "0" * 32}, 404, []),
        ({"event": "../x"}, 404, []),
        ({"post": POST, "version": "none"}, 404, []),
        ({"post": POST | {"record": {"id": "p1", "statsu": "x"}}}, 422, ["/post/record/statsu"]),
        ({"post": POST | {"record": {"id": "p1", "status": 3}}}, 422, ["/post/record/status"]),
        ({"post": POST, "rules": [SHORT | {"when": {"field": "x", "op": "exists"}}]}, 422, ["/rules/0/when/field"]),
        ({"record": "none:customer:1"}, 422, ["/record"]),
        ({"record": "pack:order:1"}, 422, ["/record"]),
        ({"record": "pack:custmer:1"}, 422, ["/record"]),
        ({"record": "po-1"}, 422, ["/record"]),
        ({"record": "pack:purchase_order:"}, 422, ["/record"]),
        ({"record": {"platform": "pack", "kind": "customer", "id": "1"}}, 422, ["/record"]),
        ({"post": POST | {"kind": "order"}}, 422, ["/post/kind"]),
        ({"record": "shop:event:e"}, 422, ["/record"]),
    ],
)
async def test_an_invalid_dry_run_is_rejected(
    shop: Shop, request_body: dict[str, Any], status: int, pointers: list[str]
) -> None:
    answer = await shop.api("POST", RUNS, request_body)
    assert answer.status == status, answer.body
    assert [error["pointer"] for error in answer.body.get("errors", [])] == pointers


async def test_an_event_about_a_hint_is_not_evaluated(shop: Shop) -> None:
    answer = await shop.api("POST", RUNS, {"event": await shop.send("1", kind="order")})
    assert (answer.status, [error["pointer"] for error in answer.body["errors"]]) == (422, ["/event"])


async def test_a_candidate_is_compared_with_the_active_rules(shop: Shop) -> None:
    ids = [await shop.send(record) for record in ("po-1", "po-1", "complete-1", "missing-1")]
    hint = await shop.send("1", kind="order")
    gone = RecordRef("nobody", "customer", "1")
    later = time.time() + 0.01  # lists order by milliseconds: this event is the newest one
    other = Event(EVENT_VERSION, new_event_id(later), "shop", "t", "updated", gone, None, {}, None, b"{}")
    await shop.store.ingest(other, other.id, 60_000)
    candidate = {"last": 50, "rules": [SHORT | {"when": {"not": SHORT["when"]}}]}
    answer = await shop.api("POST", f"{RUNS}/compare", candidate, role="operator")
    assert answer.status == 200, answer.body
    assert answer.body["events_evaluated"] == 4
    assert [missed["event_id"] for missed in answer.body["skipped"]] == [other.id]
    found = {each["event_id"]: (each["live"], each["candidate"]) for each in answer.body["differences"]}
    assert found == {
        ids[0]: ("matched", "unmatched"),
        ids[1]: ("matched", "unmatched"),
        ids[2]: ("unmatched", "matched"),
    }
    assert hint not in found
    same = await shop.api("POST", f"{RUNS}/compare", {"last": 2})
    assert (same.body["events_evaluated"], same.body["differences"]) == (1, [])


async def test_versions_are_listed_compared_and_rolled_back(shop: Shop, lines: Lines) -> None:
    first = (await shop.api("GET", BOOK)).body["version"]
    await shop.api("PUT", f"{RULES}/short", SHORT | {"sort": 3}, if_match="*")
    now = await shop.api("GET", BOOK)
    assert now.etag == f'"{now.body["version"]}"'
    page = (await shop.api("GET", f"{BOOK}/versions?limit=1")).body
    assert ([entry["author"] for entry in page["items"]], page["total"]) == (["ann-admin"], 2)
    assert (await shop.api("GET", f"{BOOK}/versions?after={page['next']}")).body["items"][0]["version"] == first
    (change,) = (await shop.api("GET", f"{BOOK}/diff?before={first}")).body
    assert (change["rule_id"], change["change"]) == ("short", "changed")
    assert "+sort: 3" in change["lines"]
    assert (await shop.api("GET", f"{BOOK}/versions/{first}")).body["rules"][0]["sort"] == 0
    for path in (f"{BOOK}/versions/none", f"{BOOK}/diff?before=none"):
        assert (await shop.api("GET", path)).status == 404
    lines("admin.changed")
    assert (await shop.api("POST", f"{BOOK}/rollback", {"version": first}, if_match='"x"')).status == 412
    assert (await shop.api("POST", f"{BOOK}/rollback", {"version": "none"})).status == 404
    back = await shop.api("POST", f"{BOOK}/rollback", {"version": first}, if_match=now.etag)
    assert (back.status, back.body["version"]) == (200, first)
    assert [line["audit_action"] for line in lines("admin.changed")] == ["rulebook.rolled_back"]
    assert (await shop.api("GET", f"{RULES}/short")).body["sort"] == 0


async def test_a_last_state_that_cannot_be_read_is_named(shop: Shop) -> None:
    event_id = await shop.send("po-1")
    await shop.store.client.command("SET", shop.store.keys.record("pack:purchase_order:po-1"), "v2\nrubbish")
    answer = await shop.api("POST", RUNS, {"event": event_id}, role="operator")
    assert answer.status == 502, answer.body
    assert "the last state of pack:purchase_order:po-1 in the store cannot be read" in answer.body["detail"]
    answer = await shop.api("POST", f"{RUNS}/compare", {"last": 50, "rules": [SHORT]}, role="operator")
    assert "cannot be read" in answer.body["skipped"][0]["reason"]


BUYER: dict[str, Any] = {
    "id": "german",
    "type": "purchase_order",
    "with": {"buyer": {"kind": "customer", "id": "{customer.id}"}},
    "when": {"field": "buyer.language", "op": "eq", "value": "de"},
    "actions": [{"id": "log", "do": "log", "message": "{id}"}],
}


async def test_a_posted_record_brings_its_lookups(shop: Shop) -> None:
    record = {"id": "p1", "customer": {"id": "c1"}}
    found = [{"kind": "customer", "record": {"id": "c1", "language": "de"}}]
    post = {"kind": "purchase_order", "record": record, "lookups": found}
    answer = await shop.api("POST", RUNS, {"rules": [BUYER], "post": post})
    assert answer.status == 200, answer.body
    assert [(each["rule_id"], each["result"]) for each in answer.body["verdicts"]] == [("german", "matched")]
    assert [each["record"] for each in answer.body["lookups"]] == ["posted:customer:c1"]
    answer = await shop.api("POST", RUNS, {"rules": [BUYER], "post": {**post, "lookups": []}})
    assert answer.body["verdicts"][0]["reason"] == "buyer was not looked up, at when"
    wrong = [{"kind": "customer", "record": {"id": "c1", "langauge": "de"}}]
    answer = await shop.api("POST", RUNS, {"rules": [BUYER], "post": {**post, "lookups": wrong}})
    assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, "/post/lookups/0/record/langauge")


async def test_a_wrong_lookup_is_rejected_with_a_pointer(shop: Shop) -> None:
    wrong = {**BUYER, "with": {"buyer": {"kind": "customr", "id": "{customer.id}"}}}
    answer = await shop.api("POST", RULES, wrong)
    assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, "/with/buyer/kind")
    wrong = {**BUYER, "with": {"buyer": {"kind": "customer", "id": "{customer.id}", "platform": "pakc"}}}
    for path, body in ((RULES, wrong), (RUNS, {"rules": [wrong], "post": POST})):
        answer = await shop.api("POST", path, body)
        (error,) = answer.body["errors"]
        assert answer.status == 422
        assert error["pointer"].endswith("/with/buyer/platform")
        assert error["detail"] == "no account 'pakc' under platforms:"
    answer = await shop.api("POST", RULES, BUYER)
    assert (answer.status, answer.body["with"]) == (201, BUYER["with"])
