"""The stand-in for the platforms: who is let in, what is answered, what goes wrong on demand, what the sink keeps."""

import asyncio
import json
import os
import signal
import sys
import time
from typing import Any

import msgspec
import pytest

from service.errors import TransientError
from service.http_client import HttpClient, HttpResponse
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


class Desk:
    """Somebody at a box with a sandbox."""

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

    async def key(self, platform: str) -> dict[str, str]:
        if platform == "open_food_network":
            return {"x_api_token": self.token}
        if platform != "pexip_engage":
            return {"authorization": f"Bearer {self.token}"}
        form = f"grant_type=client_credentials&client_id=me&client_secret={self.token}".encode()
        answer = await self.call("POST", "/pexip_engage/realms/acme/protocol/openid-connect/token", form)
        return {"authorization": f"Bearer {json.loads(answer.body)['access_token']}"}


@pytest.fixture
def box(box: SandboxHandle, outbound: HttpClient) -> Desk:
    return Desk(box, outbound)


@pytest.mark.parametrize(("platform", "kind", "path", "own"), PATHS)
async def test_calls_without_credentials_are_rejected(box: Desk, platform: str, kind: str, path: str, own: str) -> None:
    del kind, own
    assert (await box.call("GET", path.format(id="1"))).status == 401
    for wrong in ({"authorization": "Bearer wrong-key"}, {"x_api_token": "wrong-key"}, {"authorization": "Basic eDp5"}):
        assert (await box.call("GET", path.format(id="1"), **wrong)).status == 401
    if platform == "pexip_engage":
        assert (await box.call("GET", path.format(id="1"), authorization=f"Bearer {box.token}")).status == 401


async def test_open_food_network_repeats_the_key(box: Desk) -> None:
    answer = await box.call("GET", "/open_food_network/api/v1/customers/1", x_api_token='wrong"key')
    assert json.loads(answer.body) == {"errors": [{"detail": 'Invalid API key (wrong"key) specified.'}]}


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
async def test_an_unknown_client_gets_no_token(box: Desk, form: str, status: int, error: str) -> None:
    path = "/pexip_engage/realms/acme/protocol/openid-connect/token"
    answer = await box.call("POST", path, form.encode())
    assert (answer.status, json.loads(answer.body)["error"]) == (status, error)
    assert (await box.call("GET", path)).status == 405


@pytest.mark.parametrize(("platform", "kind", "path", "own"), PATHS)
async def test_a_record_has_the_requested_id(box: Desk, platform: str, kind: str, path: str, own: str) -> None:
    key = await box.key(platform)
    answer = await box.call("GET", path.format(id="any%2Fid"), **key)
    data: dict[str, Any] = json.loads(answer.body)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert ("data" in data) == (platform == "pexip_engage" or (platform, kind) == ("open_food_network", "customer"))
    assert data.get("data", data)[own] == "any/id"
    assert (await box.call("GET", path.format(id="missing-1"), **key)).status == 404
    assert (await box.call("POST", path.format(id="1"), b"{}", **key)).status == 405


@pytest.mark.parametrize(("platform", "kind", "path", "own"), PATHS)
async def test_a_record_can_be_set_and_deleted(box: Desk, platform: str, kind: str, path: str, own: str) -> None:
    control, key = f"/_sandbox/records/{platform}/{kind}/r1", await box.key(platform)
    assert (await box.call("PUT", control, {"status": "mine", own: "another"})).status == 204
    data: dict[str, Any] = json.loads((await box.call("GET", path.format(id="r1"), **key)).body)
    assert data.get("data", data) == {"status": "mine", own: "r1"}
    assert json.loads((await box.call("GET", control)).body) == {"status": "mine", own: "r1"}
    assert (await box.call("DELETE", control)).status == 204
    assert (await box.call("GET", path.format(id="r1"), **key)).status == 404
    assert (await box.call("GET", control)).status == 404


@pytest.mark.parametrize("path", ["/", "/pack_cloud", "/pack_cloud/v1/organizations/o/invoices/1", "/_sandbox", "/x/y"])
async def test_an_unknown_path_is_not_found(box: Desk, path: str) -> None:
    assert (await box.call("GET", path)).status == 404


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
    box: Desk, method: str, path: str, body: object, status: int
) -> None:
    assert (await box.call(method, path, body)).status == status


async def test_one_purchase_order_is_short_and_another_complete() -> None:
    def shortage(record_id: str) -> tuple[str, int]:
        order = json.loads(new_catalog().get("pack_cloud", "purchase_order", record_id) or b"")
        return order["status"], sum(line["quantity_ordered"] - line["quantity_received"] for line in order["lines"])

    assert shortage("5a7d2f90") == ("received", 4)
    assert shortage("complete-1") == ("received", 0)
    assert shortage("expected-1") == ("expected", 160)


async def test_a_fault_affects_calls_below_its_path_a_number_of_times(box: Desk) -> None:
    key, path = await box.key("pack_cloud"), "/pack_cloud/v1/organizations/o/customers/1"
    fault = {"match": "/pack_cloud", "status": 503, "times": 2, "retry_after": 9}
    assert (await box.call("POST", "/_sandbox/faults", fault)).status == 201
    assert (await box.call("GET", "/flow_retail/v2/tenants/t", **key)).status == 200
    for _ in range(2):
        answer = await box.call("GET", path, **key)
        assert (answer.status, answer.headers["retry-after"]) == (503, "9")
    assert (await box.call("GET", path, **key)).status == 200
    assert json.loads((await box.call("GET", "/_sandbox/faults")).body) == []


async def test_a_fault_can_be_a_delay_a_reset_or_another_answer(box: Desk) -> None:
    await box.call("POST", "/_sandbox/faults", {"match": "/pack_cloud", "delay_ms": 80})
    started = time.monotonic()
    assert (await box.call("GET", "/pack_cloud")).status == 404
    assert time.monotonic() - started >= 0.08
    await box.call("POST", "/_sandbox/faults", {"match": "/pack_cloud", "reset": True, "times": 2})
    with pytest.raises(TransientError) as raised:
        await box.call("GET", "/pack_cloud")
    assert raised.value.kind == "reset"
    page = {"match": "/pack_cloud", "status": 200, "body": "<html>", "content_type": "text/html"}
    await box.call("POST", "/_sandbox/faults", page)
    answer = await box.call("GET", "/pack_cloud")
    assert (answer.body, answer.headers["content-type"]) == (b"<html>", "text/html")


async def test_faults_can_be_cleared_and_do_not_affect_control_paths(box: Desk) -> None:
    await box.call("POST", "/_sandbox/faults", {"status": 500, "times": 5})
    assert json.loads((await box.call("GET", "/_sandbox/faults")).body)[0]["times"] == 5
    assert (await box.call("DELETE", "/_sandbox/faults")).status == 204
    assert (await box.call("GET", "/pack_cloud")).status == 404


async def test_the_sink_stores_requests_until_cleared(box: Desk) -> None:
    answer = await box.call("POST", "/_sandbox/sink/claims?x=1", b'{"order": "7"}', idempotency_key="k1")
    assert (answer.status, json.loads(answer.body)) == (200, {"count": 1})
    await box.call("PUT", "/_sandbox/sink/a/b")
    kept: dict[str, Any] = json.loads((await box.call("GET", "/_sandbox/sink")).body)
    first, second = kept["requests"]
    assert kept["count"] == 2
    assert (first["method"], first["path"], first["body"]) == ("POST", "/_sandbox/sink/claims?x=1", '{"order": "7"}')
    assert first["headers"]["idempotency-key"] == "k1"
    assert (second["method"], second["path"]) == ("PUT", "/_sandbox/sink/a/b")
    assert (await box.call("DELETE", "/_sandbox/sink")).status == 204
    assert json.loads((await box.call("GET", "/_sandbox/sink")).body) == {"count": 0, "requests": []}


async def test_a_fault_of_the_sink_stores_nothing(box: Desk) -> None:
    await box.call("POST", "/_sandbox/faults", {"match": "/_sandbox/sink/", "status": 500})
    assert (await box.call("POST", "/_sandbox/sink/claims", b"{}")).status == 500
    assert json.loads((await box.call("GET", "/_sandbox/sink")).body)["count"] == 0


async def test_a_sandbox_stops_at_once_during_calls(outbound: HttpClient) -> None:
    started = time.monotonic()
    async with running_sandbox() as box:
        await Desk(box, outbound).call("POST", "/_sandbox/faults", {"delay_ms": 60_000})
        call = asyncio.create_task(Desk(box, outbound).call("GET", "/pack_cloud"))
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
    url = json.loads(await process.stdout.readline())["sandbox"]
    answer = await outbound.request(
        "GET", f"{url}/_sandbox/sink", headers={}, body=None, seconds_max=5, bytes_max=1000, guarded=False
    )
    assert answer.status == 200
    os.kill(process.pid, number)
    assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0


@pytest.mark.slow
async def test_the_command_reports_an_address_in_use(box: SandboxHandle) -> None:
    process = await start("--port", box.url.rpartition(":")[2])
    _, complaint = await process.communicate()
    assert process.returncode == 1
    assert b"cannot listen on 127.0.0.1" in complaint
