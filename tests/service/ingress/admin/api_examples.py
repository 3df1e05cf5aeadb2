"""Writes the examples of the admin API: `make api-examples`.

Each operation is called on an installation with events of every kind; the request and the response are its example.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import aiohttp
from msgspec import Struct

from service.dev.embedded_valkey import start_valkey
from service.ingress.admin.api_examples import PATH
from service.log import configure
from service.settings import load_settings
from tests.service.ingress.admin.conftest import TOKENS
from tests.service.ingress.console.scenario import SECRET, Scenario, add_rejected, fill, open_scenario

ITEMS_MAX = 2
"""Items of each list in an example."""

TEXT_CHARACTERS_MAX = 200
API = "/api/v1"
LISTS = """
/rule-types /rules /rulebook /rulebook/statistics /rulebook/versions /events /dead-letters /dead-letters/groups
/quarantine /sources /platforms /circuits /destinations /configuration /overview /polls /stores /workers
"""
RULE = {
    "id": "cancelled-order",
    "type": "purchase_order",
    "when": {"all": [{"field": "status", "op": "eq", "value": "cancelled"}]},
    "actions": [{"id": "note", "do": "log", "message": "{id} was cancelled"}],
}
CONDITION = {"field": "total.value", "op": "gt", "value": "100.00"}
ACTION = {"id": "warn", "do": "log", "level": "warning", "message": "{id}: {total.value}"}
FILE_RULE = {"id": "any-order", "type": "purchase_order", "actions": [{"id": "note", "do": "log", "message": "{id}"}]}
CHANGED_RULE = {name: value for name, value in RULE.items() if name != "id"} | {"name": "Cancelled orders"}
DEAD = {"filter": {"error_kind": "target_rejected", "source": "shop"}}

BODY = b'{"event_code": "purchase_order.updated", "id": "e-1", "data": {"id": "po-4714"}}'

Method = Literal["GET", "POST", "PUT", "DELETE"]


class Example(Struct, frozen=True):
    """Call of one operation. A name in braces of `path` is a parameter; `values` has the values of the parameters."""

    method: Method
    path: str
    body: Any = None
    values: Mapping[str, str] = {}
    query: str = ""


def calls(scenario: Scenario, version: str, rejected: str, verified: str) -> list[Example]:
    """Return the calls in their order: readings first, then changes, deletions last."""
    event, dead, bad = ({"event_id": scenario.matched}, {"event_id": scenario.dead}, {"quarantined_id": rejected})
    large, own, pack = {"rule_id": "large-order"}, {"rule_id": "cancelled-order"}, {"account": "pack"}
    claims = {"name": "claims"}
    return [
        *(Example("GET", path) for path in LISTS.split()),
        Example("GET", "/rule-types/{rule_type}", values={"rule_type": "purchase_order"}),
        Example("GET", "/rules/{rule_id}", values=large),
        Example("GET", "/rules/{rule_id}/conditions", values=large),
        Example("GET", "/rules/{rule_id}/conditions/{condition_id}", values={**large, "condition_id": "when.any.0"}),
        Example("GET", "/rules/{rule_id}/actions", values=large),
        Example("GET", "/rules/{rule_id}/actions/{action_id}", values={**large, "action_id": "notify"}),
        Example("GET", "/rulebook/versions/{version}", values={"version": version}),
        Example("GET", "/events/search", query="text=po-4711"),
        Example("GET", "/events/{event_id}", values=event),
        Example("GET", "/events/{event_id}/explanation", values=event),
        Example("GET", "/dead-letters/{event_id}", values=dead),
        Example("GET", "/live/batch", query="since=2026-01-01T00:00:00Z"),
        Example("GET", "/quarantine/{quarantined_id}", values=bad),
        Example("GET", "/sources/{name}", values={"name": "shop"}),
        Example("GET", "/platforms/{account}", values=pack),
        Example("GET", "/platforms/{account}/reads", values=pack),
        Example("GET", "/platforms/{account}/writes", values=pack),
        Example(
            "GET",
            "/platforms/{account}/reads/{operation}",
            values={**pack, "operation": "purchase_order.get"},
            query="purchase_order=po-4711",
        ),
        Example("GET", "/destinations/{name}", values=claims),
        Example("POST", "/dry-runs", {"record": "pack:purchase_order:po-4711"}),
        Example("POST", "/dry-runs/compare", {"rules": [RULE], "last": 20}),
        Example("POST", "/quarantine/{quarantined_id}/reverify", values=bad),
        Example("POST", "/quarantine/{quarantined_id}/diagnose", values=bad),
        Example(
            "POST",
            "/sources/{name}/test",
            {"event": "purchase_order.updated", "record_id": "po-4711"},
            {"name": "shop"},
        ),
        Example("POST", "/destinations/{name}/test", {"method": "GET", "path": "/health"}, claims),
        Example("POST", "/erasures", {"record": "pack:customer:4711", "dry_run": True}),
        Example("POST", "/rules", RULE),
        Example("PUT", "/rules/{rule_id}", CHANGED_RULE, own),
        Example("POST", "/rules/{rule_id}/conditions", {"condition": CONDITION, "parent": "when"}, own),
        Example(
            "PUT",
            "/rules/{rule_id}/conditions/{condition_id}",
            {"condition": CONDITION},
            {**own, "condition_id": "when.all.1"},
        ),
        Example("POST", "/rules/{rule_id}/actions", ACTION, own),
        Example("PUT", "/rules/{rule_id}/actions/{action_id}", ACTION, {**own, "action_id": "warn"}),
        Example("GET", "/rulebook/diff", query=f"before={version}"),
        Example("GET", "/changes"),
        Example("DELETE", "/rules/{rule_id}/actions/{action_id}", values={**own, "action_id": "warn"}),
        Example("DELETE", "/rules/{rule_id}/conditions/{condition_id}", values={**own, "condition_id": "when"}),
        Example("DELETE", "/rules/{rule_id}", values=own),
        Example("PUT", "/rulebook/files", {"rules": [FILE_RULE], "note": "one rule for all orders"}),
        Example("POST", "/rulebook/rollback", {"version": version, "note": "wrong limit"}),
        Example("POST", "/circuits/{account}/pause", values=pack),
        Example("POST", "/circuits/{account}/resume", values=pack),
        Example("POST", "/destinations/{name}/pause", values=claims),
        Example("POST", "/destinations/{name}/resume", values=claims),
        Example(
            "POST",
            "/platforms/{account}/writes/{operation}",
            {"body": {"name": "Hold", "type": "order"}},
            {**pack, "operation": "rule.create"},
        ),
        Example("POST", "/events/{event_id}/replay", {"rerun_done": True, "dry_run": True}, event),
        Example("POST", "/events/replay", {"filter": {"rule": "large-order", "state": "ended"}, "rerun_done": True}),
        Example("POST", "/dead-letters/{event_id}/replay", {"dry_run": True}, dead),
        Example("POST", "/dead-letters/replay", {**DEAD, "rate": 10.0}),
        Example("POST", "/dead-letters/discard", {**DEAD, "reason": "claims were sent by hand"}),
        Example("POST", "/dead-letters/{event_id}/discard", {"reason": "the claim was sent by hand"}, dead),
        Example("POST", "/quarantine/{quarantined_id}/release", values={"quarantined_id": verified}),
        Example("DELETE", "/quarantine/{quarantined_id}", values=bad),
    ]


async def collect(scenario: Scenario) -> dict[str, dict[str, Any]]:
    """Call every operation, and return request and response by method and path."""
    rejected = await add_rejected(scenario.worker, BODY)
    verified = await add_rejected(scenario.worker, BODY, SECRET)
    await scenario.worker.store.queue_stats.heartbeat("waybill-worker-0", 3, time.time(), 600)
    version = await scenario.worker.version() or ""
    known = {
        scenario.matched: "01a227c8660d7854b3a0704388149c9e",
        scenario.dead: "01a227c8661a7b3f8c21d54de2a07f66",
        scenario.queued: "01a227c866bc70f29d0e6b7711c3a9d4",
        verified: "01a227c8673e7c458e5fa0b94422d1b3",
        version: "6424128019dec481",
        rejected: "01a227c8674a7e92b7cd218f0356ae71",
        scenario.worker.sandbox.url: "https://erp.example.com",
        scenario.worker.sandbox.url.partition("//")[2]: "203.0.113.7:443",
        scenario.worker.settings.redis_url.removeprefix("unix://"): "store:6379",
        "http://127.0.0.1:9": "https://erp.example.com",
        "127.0.0.1:9": "erp.example.com:443",
        "127.0.0.1": "10.0.0.7",
    }
    found: dict[str, dict[str, Any]] = {}
    async with aiohttp.ClientSession(
        headers={"authorization": f"Bearer {TOKENS['admin']}", "if-match": "*"}
    ) as session:
        for call in calls(scenario, version, rejected, verified):
            url = f"{scenario.url}{API}{call.path.format(**call.values)}?{call.query}"
            async with session.request(call.method, url, json=call.body) as answer:
                text = await answer.text()
            assert answer.ok, f"{call.method} {call.path}: {answer.status} {text}"
            request = {} if call.body is None else {"request": json.loads(replace(json.dumps(call.body), known))}
            response = {"response": shorten(json.loads(replace(text, known)))} if text else {}
            found[f"{call.method} {API}{call.path}"] = request | response
        async with session.get(f"{scenario.url}{API}/live?since=2026-01-01T00:00:00Z") as stream:
            parts = [await stream.content.readuntil(b"\r\n\r\n") for _ in range(2)]
            text = b"".join(parts).decode().replace("\r\n", "\n")
            found[f"GET {API}/live"] = {"response": replace(text, known)}
    return found


def replace(text: str, known: Mapping[str, str]) -> str:
    """Replace ids and addresses of this run."""
    for real, shown in known.items():
        text = text.replace(real, shown)
    return text


def shorten(value: Any) -> Any:
    """Return a response with short lists and texts."""
    if isinstance(value, dict):
        return {name: shorten(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [shorten(item) for item in cast("list[Any]", value)[:ITEMS_MAX]]
    return value[:TEXT_CHARACTERS_MAX] if isinstance(value, str) else value


async def main() -> None:
    """Write the file of the examples."""
    configure("service")
    with tempfile.TemporaryDirectory(prefix="wb-") as name:
        server = start_valkey(Path(name))
        settings = load_settings({"WAYBILL_REDIS_URL": server.url, "WAYBILL_ATTEMPTS_MAX": "1"})
        async with open_scenario(settings, Path(name)) as scenario:
            await fill(scenario)
            PATH.write_text(json.dumps(await collect(scenario), indent=1) + "\n")
        server.stop()


if __name__ == "__main__":
    asyncio.run(main())
