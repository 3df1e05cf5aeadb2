"""Retry safety of effects: a real target performs each request and answers it with every ambiguous response."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from msgspec import Struct

from service.errors import Deferred, TransientError
from service.http_client import HttpClient
from service.platforms.api.calls import ApiClient
from service.platforms.api.credentials import ClientCredentials
from service.platforms.base import CallContext
from service.platforms.kind import ConnectorDependencies
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud
from service.secrets import SecretRef
from service.settings import Settings
from service.throttles.throttles import SharedThrottles
from tests.service.http_responses import UNREADABLE, server_of
from tests.workers.harness import WorkerHarness, open_harness, shorten_circuits
from workers.processing.retry_safety import is_not_performed

pytestmark = [pytest.mark.store, pytest.mark.slow]

UNSAFE = "{id: x, do: pack_cloud_execute_integration_action, integration: i1, action: a1}"
AMBIGUOUS = [408, 500, 501, 502, 503, 504, 505, 507, 508, 520, 521, 522, 523, 524, 525, 526, 530, 598, 599]
NOT_PERFORMED: list[tuple[int, dict[str, str]]] = [
    (425, {}),
    (429, {}),
    (429, {"Retry-After": "0"}),
    (503, {"Retry-After": "0"}),
]
TIMEOUT, RESET = -1, -2


class Target(Struct):
    """Server that performs each request. It answers the first one with `status`, `TIMEOUT` or `RESET`."""

    url: str
    status: int = 200
    headers: dict[str, str] = {}
    keys: list[str | None] = []

    async def respond(self, request: web.Request) -> web.Response:
        await request.read()
        self.keys.append(request.headers.get("Idempotency-Key"))
        if len(self.keys) > 1:
            return web.json_response({"id": "i1"})
        if self.status == TIMEOUT:
            await asyncio.sleep(30)
        if self.status == RESET:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"message": "No."}, status=max(self.status, 200), headers=self.headers)


@pytest.fixture
async def target(free_port: int) -> AsyncIterator[Target]:
    made = Target(f"http://127.0.0.1:{free_port}")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.respond)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", free_port).start()
    yield made
    await runner.cleanup()


@pytest.fixture
async def harness(
    make_settings: Callable[..., Settings], target: Target, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WorkerHarness]:
    shorten_circuits(monkeypatch)
    settings = make_settings(
        backoff_base_seconds=0.02, attempts_max=3, fetch_timeout_seconds=60, action_timeout_seconds=5
    )
    async with open_harness(settings) as opened:
        write_to(opened, target.url)
        yield opened


def write_to(harness: WorkerHarness, url: str) -> None:
    """Let actions write to a platform at `url`, with the throttle of production. Records come from the sandbox."""
    resources = harness.dependencies.effects.resources
    config = PackCloudConfig(organization_id="org_1", token=SecretRef(env="T"), base_url=url)
    throttle = SharedThrottles(harness.store.limits, harness.store.tokens, 1).account("pack", config)
    dependencies = ConnectorDependencies(resources["outbound"], {"T": "t"}, throttle)
    resources["platforms"]["pack"] = PackCloud("pack", config, dependencies)


async def run(harness: WorkerHarness, action: str) -> dict[str, Any]:
    """Process one event whose rule has `action`, and return the stored event."""
    await harness.publish(f"- {{id: a, type: purchase_order, actions: [{action}]}}\n")
    event_id = await harness.send()
    await harness.run_worker()
    return await harness.stored_event(event_id)


@pytest.mark.parametrize("status", [*AMBIGUOUS, TIMEOUT, RESET])
async def test_unsafe_effect_runs_once_without_proof(harness: WorkerHarness, target: Target, status: int) -> None:
    target.status = status
    stored = await run(harness, UNSAFE)
    assert (stored["state"], stored["error_kind"], stored["ledger"]) == ("dead", "outcome_unknown", "u")
    assert len(target.keys) == 1


@pytest.mark.parametrize(("status", "headers"), NOT_PERFORMED)
async def test_unsafe_effect_is_repeated_with_proof(
    harness: WorkerHarness, target: Target, status: int, headers: dict[str, str]
) -> None:
    target.status, target.headers = status, headers
    stored = await run(harness, UNSAFE)
    assert (stored["state"], stored["ledger"]) == ("ended", "d")
    assert len(target.keys) == 2


@pytest.mark.parametrize("kind", ["connect", "tls"])
async def test_unsafe_effect_is_repeated_if_no_request_was_sent(
    harness: WorkerHarness, target: Target, kind: str
) -> None:
    async with server_of(b"") as (closed, _):
        pass
    write_to(harness, closed if kind == "connect" else target.url.replace("http:", "https:"))
    stored = await run(harness, UNSAFE)
    assert (stored["state"], stored["error_kind"], target.keys) == ("dead", kind, [])
    assert len(harness.log_lines("action.finished")) == 3


@pytest.mark.parametrize("status", [409, 422])
async def test_rejected_unsafe_effect_is_a_dead_letter(harness: WorkerHarness, target: Target, status: int) -> None:
    target.status = status
    stored = await run(harness, UNSAFE)
    assert (stored["error_kind"], stored["ledger"], len(target.keys)) == ("platform_rejected", "f", 1)


@pytest.mark.parametrize("status", [*AMBIGUOUS, 425, 429, TIMEOUT, RESET])
async def test_keyed_effect_is_repeated_with_its_key(harness: WorkerHarness, target: Target, status: int) -> None:
    target.status = status
    harness.declare(target={"url": target.url, "timeouts": {"total_seconds": 1}})
    stored = await run(harness, "{id: x, do: http, destination: target, path: /x}")
    assert (stored["state"], stored["ledger"]) == ("ended", "d")
    assert (len(target.keys), len(set(target.keys))) == (2, 1)


@pytest.mark.parametrize("rest", UNREADABLE)
@pytest.mark.parametrize("do", ["http", "platform write"])
async def test_effect_is_done_after_2xx_with_an_unreadable_rest(harness: WorkerHarness, rest: str, do: str) -> None:
    async with server_of(UNREADABLE[rest]("200 OK")) as (url, requests):
        write_to(harness, url)
        stored = await run(harness, UNSAFE if do == "platform write" else f'{{id: x, do: http, url: "{url}/x"}}')
    assert (stored["state"], stored["ledger"], len(requests)) == ("ended", "d", 1)
    (line,) = harness.log_lines("action.finished")
    assert (line["outcome"], line["http_status"]) == ("ok", 200)


@pytest.mark.parametrize("rest", UNREADABLE)
async def test_5xx_is_transient_if_its_rest_is_unreadable(harness: WorkerHarness, rest: str) -> None:
    async with server_of(UNREADABLE[rest]("500 Error")) as (url, requests):
        stored = await run(harness, f'{{id: x, do: http, url: "{url}/x"}}')
    assert (stored["state"], stored["error_kind"], len(requests)) == ("dead", "target_unavailable", 3)


@pytest.mark.parametrize("rest", UNREADABLE)
async def test_unsafe_effect_runs_once_after_5xx_with_an_unreadable_rest(harness: WorkerHarness, rest: str) -> None:
    async with server_of(UNREADABLE[rest]("503 Error")) as (url, requests):
        write_to(harness, url)
        stored = await run(harness, UNSAFE)
    assert (stored["error_kind"], len(requests)) == ("outcome_unknown", 1)


async def test_failed_token_request_proves_that_a_write_was_not_sent(target: Target) -> None:
    target.status = 500
    async with HttpClient(Settings()) as outbound:
        token_url = f"{target.url}/token"
        credentials = ClientCredentials("erp", outbound, token_url=token_url, read_secrets=lambda: ("c", "s"))
        calls = ApiClient("erp", target.url, outbound, credentials)
        with pytest.raises(TransientError) as raised:
            await calls.call("order.create", "POST", "/orders", CallContext(""))
    assert (raised.value.http_status, len(target.keys)) == (500, 1)
    assert is_not_performed(raised.value)


def caused_by(cause: Exception) -> TransientError:
    error = TransientError("erp_unavailable", "no")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("failure", "proof"),
    [
        (TransientError("connect", "no"), True),
        (TransientError("tls", "no"), True),
        (TransientError("erp_unavailable", "no"), False),
        (caused_by(TransientError("connect", "no")), True),
        (caused_by(TransientError("timeout", "no")), False),
        (caused_by(Deferred("circuit_open", "no", 1)), True),
        (TransientError("target_unavailable", "no", http_status=503, retry_after_seconds=0), True),
        (TransientError("target_unavailable", "no", http_status=502, retry_after_seconds=1), False),
    ],
)
def test_proof_is_taken_from_the_first_error(failure: TransientError, proof: bool) -> None:  # noqa: FBT001
    assert is_not_performed(failure) == proof
