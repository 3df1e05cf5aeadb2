"""Sandbox: authentication, records, faults and received requests."""

import asyncio
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import aiosmtplib
import msgspec
import pytest

from service.errors import TransientError
from service.http_client import HttpClient, HttpResponse
from service.mock.catalog import CHANGE_TIMES
from service.sandbox.platforms import new_catalog
from service.sandbox.server import SandboxHandle, running_sandbox
from tests.waiting import PATIENCE_SECONDS

PATHS = [
    ("pack_cloud", "purchase_order", "/pack_cloud/v1/organizations/o/purchase-orders/{id}", "id"),
    ("pack_cloud", "customer", "/pack_cloud/v1/organizations/o/customers/{id}", "id"),
    ("pack_cloud", "order", "/pack_cloud/v1/organizations/o/orders/{id}", "id"),
    ("pexip_engage", "customer", "/pexip_engage/enterprises/acme/customers/{id}", "id"),
    ("pexip_engage", "appointment", "/pexip_engage/enterprises/acme/appointments/{id}", "id"),
    ("pexip_engage", "callback_request", "/pexip_engage/enterprises/acme/callback-requests/{id}", "id"),
    ("open_food_network", "customer", "/open_food_network/api/v1/customers/{id}", "id"),
    ("open_food_network", "order", "/open_food_network/api/v0/orders/{id}", "number"),
    ("flow_retail", "customer", "/flow_retail/v2/tenants/t/customers/{id}", "customerUid"),
    ("flow_retail", "purchase_order", "/flow_retail/v2/tenants/t/stores/s/purchase-orders/{id}", "purchaseOrderUid"),
    ("flow_retail", "tenant", "/flow_retail/v2/tenants/{id}", "tenantUid"),
]


class SandboxApi:
    """HTTP client of a sandbox."""

    def __init__(self, box: SandboxHandle, outbound: HttpClient) -> None:
        self.url = box.url
        self.token = box.token
        self._outbound = outbound

    async def call(self, method: str, path: str, body: object = None, /, **headers: str) -> HttpResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else None if body is None else msgspec.json.encode(body)
        return await self._outbound.request(
            method, self.url + path, headers=named, body=data, seconds_max=5, bytes_max=10_000_000, guarded=False
        )

    async def credentials(self, platform: str) -> dict[str, str]:
        if platform == "open_food_network":
            return {"x_api_token": self.token}
        if platform != "pexip_engage":
            return {"authorization": f"Bearer {self.token}"}
        form = f"grant_type=client_credentials&client_id=me&client_secret={self.token}".encode()
        response = await self.call("POST", "/pexip_engage/realms/acme/protocol/openid-connect/token", form)
        return {"authorization": f"Bearer {json.loads(response.body)['access_token']}"}


@pytest.fixture
def api(box: SandboxHandle, outbound: HttpClient) -> SandboxApi:
    return SandboxApi(box, outbound)


@pytest.mark.parametrize(("platform", "kind", "path", "own"), PATHS)
async def test_a_request_without_valid_credentials_is_rejected(
    api: SandboxApi, platform: str, kind: str, path: str, own: str
) -> None:
    del kind, own
    assert (await api.call("GET", path.format(id="1"))).status == 401
    for wrong in ({"authorization": "Bearer wrong-key"}, {"x_api_token": "wrong-key"}, {"authorization": "Basic eDp5"}):
        assert (await api.call("GET", path.format(id="1"), **wrong)).status == 401
    if platform == "pexip_engage":
        assert (await api.call("GET", path.format(id="1"), authorization=f"Bearer {api.token}")).status == 401


async def test_open_food_network_repeats_the_invalid_key(api: SandboxApi) -> None:
    response = await api.call("GET", "/open_food_network/api/v1/customers/1", x_api_token='wrong"key')
    assert json.loads(response.body) == {"errors": [{"detail": 'Invalid API key (wrong"key) specified.'}]}


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ("", 400, "unsupported_grant_type"),
        ("grant_type=password", 400, "unsupported_grant_type"),
        ("grant_type=client_credentials", 401, "invalid_client"),
        ("grant_type=client_credentials&client_id=me&client_secret=wrong", 401, "invalid_client"),
        ("grant_type=client_credentials&client_secret=sandbox-token", 401, "invalid_client"),
    ],
)
async def test_no_token_is_issued_for_invalid_credentials(api: SandboxApi, form: str, status: int, error: str) -> None:
    path = "/pexip_engage/realms/acme/protocol/openid-connect/token"
    response = await api.call("POST", path, form.encode())
    assert (response.status, json.loads(response.body)["error"]) == (status, error)
    assert (await api.call("GET", path)).status == 405


@pytest.mark.parametrize(("platform", "kind", "path", "own"), PATHS)
async def test_a_record_is_returned_with_the_requested_id(
    api: SandboxApi, platform: str, kind: str, path: str, own: str
) -> None:
    key = await api.credentials(platform)
    response = await api.call("GET", path.format(id="any%2Fid"), **key)
    data: dict[str, Any] = json.loads(response.body)
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert ("data" in data) == (platform == "pexip_engage" or (platform, kind) == ("open_food_network", "customer"))
    assert data.get("data", data)[own] == "any/id"
    assert (await api.call("GET", path.format(id="missing-1"), **key)).status == 404
    assert (await api.call("POST", path.format(id="1"), b"{}", **key)).status == 405


@pytest.mark.parametrize(("platform", "kind", "path", "own"), PATHS)
async def test_a_record_can_be_set_and_deleted(api: SandboxApi, platform: str, kind: str, path: str, own: str) -> None:
    control, key = f"/_sandbox/records/{platform}/{kind}/r1", await api.credentials(platform)
    assert (await api.call("PUT", control, {"status": "mine", own: "another"})).status == 204
    data: dict[str, Any] = json.loads((await api.call("GET", path.format(id="r1"), **key)).body)
    assert data.get("data", data) == {"status": "mine", own: "r1"}
    assert json.loads((await api.call("GET", control)).body) == {"status": "mine", own: "r1"}
    assert (await api.call("DELETE", control)).status == 204
    assert (await api.call("GET", path.format(id="r1"), **key)).status == 404
    assert (await api.call("GET", control)).status == 404


@pytest.mark.parametrize(("platform", "kind", "path", "own"), PATHS)
async def test_a_changed_record_has_the_time_of_its_change_until_it_is_set(
    api: SandboxApi, platform: str, kind: str, path: str, own: str
) -> None:
    control, key = f"/_sandbox/records/{platform}/{kind}/r%2F1", await api.credentials(platform)
    times = [name for name in CHANGE_TIMES if name in json.loads((await api.call("GET", control)).body)]
    before = datetime.now(UTC)
    assert (await api.call("POST", "/_sandbox/changed/r%2F1")).status == 204
    response = json.loads((await api.call("GET", path.format(id="r%2F1"), **key)).body)
    data: dict[str, Any] = response.get("data", response)
    assert data[own] == "r/1"
    for name in times:
        assert datetime.fromisoformat(data[name]) >= before - timedelta(milliseconds=1)
    await api.call("PUT", control, dict.fromkeys(times, "2026-01-01"))
    assert json.loads((await api.call("GET", control)).body) == {**dict.fromkeys(times, "2026-01-01"), own: "r/1"}
    assert (await api.call("GET", "/_sandbox/changed/r%2F1")).status == 405


@pytest.mark.parametrize("path", ["/", "/pack_cloud", "/pack_cloud/v1/organizations/o/invoices/1", "/_sandbox", "/x/y"])
async def test_an_unknown_path_is_not_found(api: SandboxApi, path: str) -> None:
    assert (await api.call("GET", path)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/_sandbox/faults", b"{", 400),
        ("POST", "/_sandbox/faults", {"statsu": 500}, 400),
        ("POST", "/_sandbox/faults", {"status": 99}, 400),
        ("POST", "/_sandbox/faults", {"times": 0}, 400),
        ("PUT", "/_sandbox/records/pack_cloud/customer/1", [], 400),
        ("PUT", "/_sandbox/records/pack_cloud/invoice/1", {}, 404),
        ("POST", "/_sandbox/sink/x", b"x" * 5_000_000, 413),
    ],
)
async def test_an_invalid_control_request_is_rejected(
    api: SandboxApi, method: str, path: str, body: object, status: int
) -> None:
    assert (await api.call(method, path, body)).status == status


async def test_example_purchase_orders_are_incomplete_complete_and_expected() -> None:
    def shortage(record_id: str) -> tuple[str, int]:
        order = json.loads(new_catalog().get("pack_cloud", "purchase_order", record_id) or b"")
        return order["status"], sum(line["quantity_ordered"] - line["quantity_received"] for line in order["lines"])

    assert shortage("5a7d2f90") == ("received", 4)
    assert shortage("complete-1") == ("received", 0)
    assert shortage("expected-1") == ("expected", 160)


async def test_a_fault_applies_to_its_path_a_limited_number_of_times(api: SandboxApi) -> None:
    key, path = await api.credentials("pack_cloud"), "/pack_cloud/v1/organizations/o/customers/1"
    fault = {"match": "/pack_cloud", "status": 503, "times": 2, "retry_after": 9}
    assert (await api.call("POST", "/_sandbox/faults", fault)).status == 201
    assert (await api.call("GET", "/flow_retail/v2/tenants/t", **key)).status == 200
    for _ in range(2):
        response = await api.call("GET", path, **key)
        assert (response.status, response.headers["retry-after"]) == (503, "9")
    assert (await api.call("GET", path, **key)).status == 200
    assert json.loads((await api.call("GET", "/_sandbox/faults")).body) == []


async def test_a_fault_is_a_delay_a_reset_or_another_response(api: SandboxApi) -> None:
    await api.call("POST", "/_sandbox/faults", {"match": "/pack_cloud", "delay_ms": 80})
    started = time.monotonic()
    assert (await api.call("GET", "/pack_cloud")).status == 404
    assert time.monotonic() - started >= 0.08
    await api.call("POST", "/_sandbox/faults", {"match": "/pack_cloud", "reset": True, "times": 2})
    with pytest.raises(TransientError) as raised:
        await api.call("GET", "/pack_cloud")
    assert raised.value.kind == "reset"
    page = {"match": "/pack_cloud", "status": 200, "body": "<html>", "content_type": "text/html"}
    await api.call("POST", "/_sandbox/faults", page)
    response = await api.call("GET", "/pack_cloud")
    assert (response.body, response.headers["content-type"]) == (b"<html>", "text/html")


async def test_faults_are_cleared_and_do_not_apply_to_control_paths(api: SandboxApi) -> None:
    await api.call("POST", "/_sandbox/faults", {"status": 500, "times": 5})
    assert json.loads((await api.call("GET", "/_sandbox/faults")).body)[0]["times"] == 5
    assert (await api.call("DELETE", "/_sandbox/faults")).status == 204
    assert (await api.call("GET", "/pack_cloud")).status == 404


async def test_the_sink_stores_requests_until_it_is_cleared(api: SandboxApi) -> None:
    response = await api.call("POST", "/_sandbox/sink/claims?x=1", b'{"order": "7"}', idempotency_key="k1")
    assert (response.status, json.loads(response.body)) == (200, {"count": 1})
    await api.call("PUT", "/_sandbox/sink/a/b")
    stored: dict[str, Any] = json.loads((await api.call("GET", "/_sandbox/sink")).body)
    first, second = stored["requests"]
    assert stored["count"] == 2
    assert (first["method"], first["path"], first["body"]) == ("POST", "/_sandbox/sink/claims?x=1", '{"order": "7"}')
    assert first["headers"]["idempotency-key"] == "k1"
    assert (second["method"], second["path"]) == ("PUT", "/_sandbox/sink/a/b")
    assert (await api.call("DELETE", "/_sandbox/sink")).status == 204
    assert json.loads((await api.call("GET", "/_sandbox/sink")).body) == {"count": 0, "requests": []}


async def test_a_fault_of_the_sink_stores_nothing(api: SandboxApi) -> None:
    await api.call("POST", "/_sandbox/faults", {"match": "/_sandbox/sink/", "status": 500})
    assert (await api.call("POST", "/_sandbox/sink/claims", b"{}")).status == 500
    assert json.loads((await api.call("GET", "/_sandbox/sink")).body)["count"] == 0


async def test_a_sandbox_stops_during_requests(outbound: HttpClient) -> None:
    started = time.monotonic()
    async with running_sandbox() as box:
        await SandboxApi(box, outbound).call("POST", "/_sandbox/faults", {"delay_ms": 60_000})
        call = asyncio.create_task(SandboxApi(box, outbound).call("GET", "/pack_cloud"))
        await asyncio.sleep(0.05)
    with pytest.raises(TransientError):
        await call
    assert time.monotonic() - started < 30


async def start(*options: str) -> asyncio.subprocess.Process:
    command = "from service.sandbox.commands import sandbox; sandbox()"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", command, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
async def test_the_command_prints_its_url_and_stops_on_a_signal(outbound: HttpClient, number: signal.Signals) -> None:
    process = await start("--port", "0")
    assert process.stdout is not None
    urls = json.loads(await process.stdout.readline())
    url = urls["sandbox"]
    response = await outbound.request(
        "GET", f"{url}/_sandbox/sink", headers={}, body=None, seconds_max=5, bytes_max=1000, guarded=False
    )
    assert response.status == 200
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=int(urls["mail"].rpartition(":")[2])) as client:
        assert (await client.noop()).code == 250
    os.kill(process.pid, number)
    assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0


@pytest.mark.slow
async def test_the_command_reports_a_port_in_use(box: SandboxHandle) -> None:
    process = await start("--port", box.url.rpartition(":")[2])
    _, stderr = await process.communicate()
    assert process.returncode == 1
    assert b"cannot listen on 127.0.0.1" in stderr
