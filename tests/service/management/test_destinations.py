"""Destinations for operators: list, show, pause, resume and test, without secrets."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from service.destinations.http import HttpConfig
from service.destinations.registry import Destinations, DestinationSetup
from service.errors import Rejection
from service.http_client import HttpClient
from service.management.operations import AdminOperations
from tests.service.ingress.admin.conftest import CONFIG, installation_of
from tests.service.management.conftest import ANN
from tests.workers.harness import WorkerHarness

pytestmark = pytest.mark.store

SECRET = "planted-secret-0815-4711"
RULE = """
- id: all
  type: purchase_order
  actions: [{id: claim, do: http, destination: erp, path: /claims, body: {order: "{id}"}}]
"""


@pytest.fixture
async def operations(harness: WorkerHarness, tmp_path: Path) -> AsyncIterator[AdminOperations]:
    """Operations of an installation with the destination `erp`, which the workers know too."""
    token = tmp_path / "token"
    token.write_text(SECRET)
    erp = {
        "url": f"{harness.sandbox.url}/_sandbox/sink",
        "auth": {"type": "bearer", "token": {"file": str(token)}},
        "headers": {"X-Tenant": {"file": str(token)}},
    }
    harness.declare(erp=erp)
    config = structs.replace(CONFIG, destinations={"erp": msgspec.convert({"kind": "http", **erp}, HttpConfig)})
    installation = installation_of(lambda: harness.store, config)
    async with HttpClient(harness.settings, {"127.0.0.1"}) as client:
        destinations = Destinations(config.destinations, DestinationSetup(http_client=client, environ={}))
        yield AdminOperations(structs.replace(installation, destinations=lambda: destinations.by_name), ANN)


@pytest.mark.slow
async def test_pause_uses_no_attempt_and_no_secret_is_stored_or_shown(
    harness: WorkerHarness, operations: AdminOperations, capfd: pytest.CaptureFixture[str]
) -> None:
    await harness.publish(RULE)
    assert (await operations.pause_destination("erp")).circuit == "paused"
    ids = [await harness.send(f"po-{number}") for number in (1, 2, 3)]
    await harness.run_until_idle(harness.worker("parker"))
    (view,) = await operations.list_destinations()
    assert (view.circuit, view.open_seconds, view.parked_jobs) == ("paused", None, 3)
    assert not harness.sandbox.sandbox.sink.requests
    assert (await operations.resume_destination("erp")).circuit == "closed"
    await harness.run_worker()
    stored = [await harness.stored_event(event_id) for event_id in ids]
    assert {each["state"] for each in stored} == {"ended"}
    assert {each["attempts"] for each in stored} == {"1"}
    assert {request.headers["authorization"] for request in harness.sandbox.sandbox.sink.requests} == {
        f"Bearer {SECRET}"
    }
    keys = await harness.store.client.command("KEYS", "*")
    dumps = [await harness.store.client.command("DUMP", key) for key in keys]
    details = await operations.get_destination("erp")
    written = [*dumps, repr(stored).encode(), repr(harness.lines).encode(), repr(details).encode()]
    assert not any(SECRET.encode() in each for each in written)
    assert SECRET not in capfd.readouterr().out
    assert details.config["auth"]["token"]["file"]


async def test_probe_shows_request_and_answer_without_secrets(operations: AdminOperations) -> None:
    probe = await operations.test_destination("erp", "POST", "/health")
    assert (probe.status, probe.error, probe.request.method) == (200, None, "POST")
    assert probe.request.url.endswith("/_sandbox/sink/health")
    assert (probe.request.headers["authorization"], probe.request.headers["x-tenant"]) == ("[redacted]", "[redacted]")
    assert SECRET.encode() not in msgspec.json.encode(probe)
    for name, method, path, status in (("crm", "GET", "", 404), ("erp", "TRACE", "", 422), ("erp", "GET", "x", 422)):
        with pytest.raises(Rejection) as rejected:
            await operations.test_destination(name, method, path)
        assert rejected.value.status == status


async def test_host_of_a_plain_url_can_be_paused_and_is_listed_then(operations: AdminOperations) -> None:
    await operations.pause_destination("erp.example.com:443")
    views = await operations.list_destinations()
    assert [(view.name, view.kind, view.circuit) for view in views] == [
        ("erp", "http", "closed"),
        ("erp.example.com:443", "url", "paused"),
    ]
    await operations.resume_destination("erp.example.com:443")
    assert len(await operations.list_destinations()) == 1
    with pytest.raises(Rejection):
        await operations.pause_destination("crm")


async def test_each_change_is_in_the_audit_log(operations: AdminOperations) -> None:
    await operations.pause_destination("erp")
    await operations.resume_destination("erp")
    await operations.test_destination("erp", "GET", "")
    changes = [(each.audit_action, each.target) for each in await operations.list_changes(10)]
    assert changes == [("destination.tested", "erp"), ("destination.resumed", "erp"), ("destination.paused", "erp")]
