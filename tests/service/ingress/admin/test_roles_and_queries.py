"""Visibility by role, validation of queries, and completeness of the OpenAPI document."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import structs

from service.config import Role, SecretRef
from service.config.auth import BearerAuth
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.http_client import HttpClient
from service.platforms.api.record_config import CustomRecordConfig
from service.platforms.custom.config import CustomConfig
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.registry import build_platforms
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle, running_sandbox
from service.settings import Settings
from service.store import Store
from tests.service.ingress.admin.conftest import CONFIG, Api, Lines, ServeAdmin

pytestmark = [pytest.mark.store, pytest.mark.slow]

EVENTS, DEAD, ERASURES = "/api/v1/events", "/api/v1/dead-letters", "/api/v1/erasures"


@pytest.fixture
async def box() -> AsyncIterator[SandboxHandle]:
    async with running_sandbox() as handle:
        yield handle


@pytest.fixture
async def platform_api(settings: Settings, box: SandboxHandle, share_admin: ServeAdmin) -> AsyncIterator[Api]:
    """API of an installation with two platforms on the sandbox."""
    token, environ = SecretRef(env="API"), {"API": box.token}
    base = box.base_url("pack_cloud")
    configs = {
        "pack": PackCloudConfig(organization_id="org_1", token=token, base_url=base),
        "erp": CustomConfig(
            base_url=f"{base}/organizations/org_1",
            auth=BearerAuth(token=token),
            records={"customer": CustomRecordConfig(path="/customers/{id}")},
        ),
    }
    async with HttpClient(settings, {"127.0.0.1"}) as outbound:
        platforms = build_platforms(configs, environ, outbound)
        yield await share_admin(config=structs.replace(CONFIG, platforms=configs), platforms=platforms)


async def ingest(store: Store, body: bytes) -> str:
    record = RecordRef("pack", "customer", "7")
    event = Event(EVENT_VERSION, new_event_id(), "shop", "c.updated", "updated", record, None, {}, None, body)
    await store.ingest(event, event.id, 60_000)
    return event.id


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=many",
        "after=nowhere",
        "state=asleep",
        "since=yesterday",
        "until=1e9x",
        "raw=maybe",
    ],
)
async def test_an_invalid_query_is_rejected(api: Api, store: Store, query: str) -> None:
    event_id = await ingest(store, b"{}")
    path = f"{EVENTS}/{event_id}" if query.startswith("raw") else EVENTS
    answer = await api("GET", f"{path}?{query}")
    assert (answer.status, answer.body["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{EVENTS}/replay", {}),
        (f"{EVENTS}/replay", {"filter": {}}),
        (f"{EVENTS}/replay", {"filter": {"state": "queued"}, "all": True}),
        (f"{EVENTS}/replay", {"filter": {"state": "ended"}}),
        (f"{EVENTS}/replay", {"filter": {"state": "ended"}, "all": True, "rate": 0}),
        (f"{EVENTS}/replay", {"filter": {"state": "ended"}, "all": True, "rate": 0.09}),
        (f"{EVENTS}/replay", {"filter": {"state": "ended"}, "all": True, "rate": 1_001}),
        (f"{EVENTS}/replay", {"filter": {"state": "ended"}, "all": True, "limit": 201}),
        (f"{EVENTS}/replay", {"filter": {"state": "ended", "colour": "red"}, "all": True}),
        (f"{EVENTS}/replay", {"filter": {"state": "ended"}, "all": True, "now": True}),
        (f"{DEAD}/replay", {"filter": {}}),
        (f"{DEAD}/discard", {"filter": {}, "all": True}),
        (f"{DEAD}/discard", {"filter": {}, "all": True, "reason": ""}),
        (ERASURES, {"record": "7"}),
        (ERASURES, {"record": ":customer:7"}),
        (ERASURES, {"record": "pack:purchase_order:7"}),
    ],
)
async def test_an_invalid_bulk_request_is_rejected(api: Api, path: str, body: dict[str, Any]) -> None:
    answer = await api("POST", path, body)
    assert (answer.status, answer.body["code"]) == (422, "invalid"), answer.body


async def test_bulk_requests_and_erasures_are_dry_runs_by_default(api: Api, store: Store) -> None:
    event_id = await ingest(store, b"{}")
    await store.client.command("ZREM", "wb:open", event_id)
    await store.client.command("ZADD", "wb:dead", 1, event_id)
    await store.client.command("HSET", f"wb:event:{event_id}", "state", "dead")
    for path, options in ((f"{DEAD}/replay", {}), (f"{DEAD}/discard", {"reason": "why"})):
        answer = await api("POST", path, {"filter": {}, "all": True, **options}, "operator")
        assert [item["result"] for item in answer.body["items"]] == ["planned"]
    answer = await api("POST", ERASURES, {"record": "pack:customer:7"})
    assert (answer.body["events"], answer.body["dry_run"]) == (1, True)
    assert (await api("GET", f"{DEAD}/{event_id}")).body["state"] == "dead"


@pytest.mark.parametrize(
    ("method", "path", "faults"),
    [
        ("GET", f"{EVENTS}?state=asleep", [("?state", "Invalid enum value 'asleep'")]),
        (
            "GET",
            f"{EVENTS}?sorce=shop&limit=1&limt=2",
            [("?sorce", "unknown query parameter"), ("?limt", "unknown query parameter")],
        ),
        ("GET", "/api/v1/workers?limit=1", [("?limit", "unknown query parameter")]),
        ("GET", "/api/v1/rulebook/diff", [("?before", "is missing")]),
        ("POST", f"{EVENTS}/replay", [("", "the body is missing")]),
    ],
)
async def test_an_error_in_a_query_names_the_parameter(
    api: Api, method: str, path: str, faults: list[tuple[str, str]]
) -> None:
    answer = await api(method, path)
    assert answer.status == 422
    assert [(fault["pointer"], fault["detail"]) for fault in answer.body["errors"]] == faults


async def test_ids_from_requests_are_not_used_as_paths(api: Api) -> None:
    for name in ("..%2f..%2fmetrics", "%00", "a" * 5_000):
        for path in (EVENTS, DEAD, "/api/v1/quarantine", "/api/v1/sources", "/api/v1/platforms"):
            answer = await api("GET", f"{path}/{name}")
            assert answer.status in {404, 400, 431}, (path, name, answer.status)


@pytest.mark.parametrize(
    ("role", "status", "shown"), [("viewer", 403, None), ("operator", 200, "[redacted]"), ("admin", 200, "[redacted]")]
)
async def test_platform_reads_require_the_role_operator_and_are_redacted(
    platform_api: Api, role: Role, status: int, shown: str | None
) -> None:
    answer = await platform_api("GET", "/api/v1/platforms/pack/reads/customer.get?customer=cus-1", role=role)
    listed = await platform_api("GET", "/api/v1/platforms/pack/reads", role=role)
    assert listed.status == 200
    assert {"operation": "customer.get", "required": ["customer"], "optional": []} in listed.body
    assert answer.status == status, answer.body
    if shown is not None:
        assert shown in str(answer.body)
        assert "@" not in str(answer.body)


async def test_platform_errors_have_distinct_statuses(platform_api: Api) -> None:
    for path, status in (
        ("/api/v1/platforms/nobody", 404),
        ("/api/v1/platforms/nobody/reads", 404),
        ("/api/v1/platforms/pack/reads/customer.delete", 404),
        ("/api/v1/platforms/pack/reads/customer.get", 422),
        ("/api/v1/platforms/pack/reads/customer.get?customer=missing-1", 404),
        ("/api/v1/platforms/erp/reads/record.get?kind=order&id=1", 422),
    ):
        answer = await platform_api("GET", path)
        assert answer.status == status, (path, answer.body)


async def test_raw_platform_reads_require_the_role_admin(platform_api: Api) -> None:
    path = "/api/v1/platforms/erp/reads/record.get?kind=customer&id=cus-1"
    assert (await platform_api("GET", f"{path}&raw=true", role="operator")).status == 403
    raw = await platform_api("GET", f"{path}&raw=true")
    redacted = await platform_api("GET", path)
    assert raw.status == redacted.status
    assert raw.body != redacted.body


async def test_platform_writes_require_the_role_admin_and_are_logged(
    platform_api: Api, box: SandboxHandle, lines: Lines
) -> None:
    path, rule = "/api/v1/platforms/pack/writes", {"body": {"name": "Hold", "type": "order"}}
    offered = (await platform_api("GET", path, role="viewer")).body
    assert {"operation": "rule.update", "ids": ["rule"], "body": True} in offered
    assert (await platform_api("POST", f"{path}/rule.create", rule, role="operator")).status == 403
    made = await platform_api("POST", f"{path}/rule.create", rule)
    assert (made.status, made.body["http_status"]) == (200, 201)
    gone = await platform_api("POST", f"{path}/rule.delete", {"ids": {"rule": made.body["id"]}})
    assert (gone.status, gone.body) == (200, {"http_status": 204, "id": None, "response": None})
    box.sandbox.faults.add(Fault(match="/pack_cloud", status=503))
    answer = await platform_api("POST", f"{path}/rule.create", rule)
    assert (answer.status, answer.body["code"]) == (502, "platform_unavailable")
    audited = [
        (line["audit_action"], line["target"], line["http_status"], line["actor"]) for line in lines("admin.changed")
    ]
    assert audited == [
        ("platform.written", "pack:rule.create", 201, "ann-admin"),
        ("platform.written", f"pack:rule.delete:{made.body['id']}", 204, "ann-admin"),
        ("platform.write_failed", "pack:rule.create", 503, "ann-admin"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("nobody/writes/rule.create", {}, 404, "one of: pack, erp"),
        ("erp/writes/rule.create", {}, 404, "no write operations"),
        ("pack/writes/rule.get", {}, 404, "integration.create"),
        ("pack/writes/rule.create", {}, 422, "the arguments are a body"),
        ("pack/writes/rule.delete", {"ids": {"id": "1"}}, 422, "the arguments are rule"),
        ("pack/writes/rule.create", {"body": {"name": "x", "type": "order", "nmae": 1}}, 422, "there is no nmae"),
    ],
)
async def test_an_invalid_platform_write_is_rejected_and_not_logged(
    *, path: str, body: dict[str, Any], status: int, detail: str, platform_api: Api, lines: Lines
) -> None:
    answer = await platform_api("POST", f"/api/v1/platforms/{path}", body)
    assert (answer.status, detail in answer.body["detail"]) == (status, True), answer.body
    assert lines("admin.changed") == []


async def test_platforms_are_listed_with_open_circuits_and_without_credentials(
    platform_api: Api, box: SandboxHandle, store: Store
) -> None:
    await store.limits.release(
        "pack", "", "rate_limited", retry_after_seconds=60, failures_max=3, open_seconds=1, open_seconds_max=60
    )
    answer = await platform_api("GET", "/api/v1/platforms")
    by_account = {item["account"]: item for item in answer.body}
    assert by_account["pack"]["circuit_open_seconds"] > 50
    assert (by_account["erp"]["kind"], by_account["erp"]["record_kinds"]) == ("custom", ["customer"])
    assert box.token not in str(answer.body)
    assert (await platform_api("GET", "/api/v1/platforms/erp")).body == by_account["erp"]


async def test_every_operation_is_described_completely(api: Api) -> None:
    document = (await api("GET", "/docs/openapi.json", role=None)).body
    for path, methods in document["paths"].items():
        if not path.startswith("/api/v1/"):
            continue
        for method, operation in methods.items():
            name_of_operation = (path, method)
            assert operation["tags"], name_of_operation
            assert operation["summary"], name_of_operation
            assert operation["security"] == [{"bearer": []}], name_of_operation
            (success,) = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            assert success.get("content") or "204" in operation["responses"], name_of_operation
            for name in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
                assert name in {item["name"] for item in operation["parameters"]}, name_of_operation
    names = {digest for digest in (hashlib.sha256(b"all-3").hexdigest(), "all-3") if digest in str(document)}
    assert names == set()
