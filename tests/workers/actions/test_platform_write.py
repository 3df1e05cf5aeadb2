"""The platforms' own writes as actions: each makes one call to a real server, and reports the responsible party."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from msgspec import Struct

from service.errors import ConfigError, Deferred, PermanentError, TransientError
from service.http_client import HttpClient
from service.platforms.api.operations import WriteResult
from service.platforms.registry import PLATFORMS, build_platforms
from service.settings import Settings
from tests.platform_accounts import platform_configs, sample_account
from tests.workers.actions.platform_write_samples import WRITE_SAMPLES
from tests.workers.actions.test_actions import Context, inputs
from workers.actions import ACTIONS
from workers.actions.platform_write import RESPONSE_BYTES_MAX, PlatformWrite, write_result

WRITES = {str(action.__struct_config__.tag): action for action in ACTIONS if issubclass(action, PlatformWrite)}
EXECUTE = "pack_cloud_execute_integration_action"
UNSAFE = {
    EXECUTE, "pack_cloud_sync_integration_orders",
    "pack_cloud_sync_integration_products", "pack_cloud_sync_integration_shipping_services",
    "pack_cloud_sync_integration_product_stocks", "pack_cloud_create_integration", "flow_retail_create_customer",
    "flow_retail_add_extension", "pack_cloud_create_purchase_order", "pack_cloud_create_purchase_order_line",
}  # fmt: skip


class Server(Struct):
    """A platform that notes what it is asked, and answers `status` with `body`."""

    url: str
    got: list[tuple[str, str, Any]]
    status: int = 200
    body: Any = None

    async def answer(self, request: web.Request) -> web.Response:
        raw = await request.read()
        self.got.append((request.method, request.raw_path, json.loads(raw) if raw else None))
        assert request.headers["traceparent"].startswith("00-0af7651916cd43dd")
        return web.json_response(self.body if self.body is not None else {"id": "new-1"}, status=self.status)


@pytest.fixture
async def server(free_port: int) -> AsyncIterator[Server]:
    made = Server(f"http://127.0.0.1:{free_port}", [])
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", free_port).start()
    yield made
    await runner.cleanup()


@pytest.fixture
async def context(server: Server) -> AsyncIterator[Context]:
    async with HttpClient(Settings()) as outbound:
        kinds = {kind.replace("_", "-"): kind for kind in PLATFORMS}
        raw = {account: sample_account(kind, server.url) for account, kind in kinds.items()}
        platforms = build_platforms(platform_configs(raw), {"TOKEN": "t", "CLIENT": "c"}, outbound)
        yield Context({"platforms": platforms | {"pack": platforms["pack-cloud"]}})


def sample_inputs(name: str) -> dict[str, Any]:
    """Render the example of an action."""
    sample = WRITE_SAMPLES[name]
    return inputs(name, account=sample.account, **sample.fields)


def test_every_write_action_has_a_sample_and_a_retry_safety() -> None:
    assert set(WRITES) == set(WRITE_SAMPLES)
    assert {name for name, action in WRITES.items() if action.repeat == "unsafe"} == UNSAFE
    assert {action.repeat for action in WRITES.values()} == {"idempotent", "unsafe"}


@pytest.mark.parametrize("name", WRITE_SAMPLES)
async def test_a_write_sends_its_request_and_returns_the_status(name: str, server: Server, context: Context) -> None:
    sample = WRITE_SAMPLES[name]
    answer = await WRITES[name].run(sample_inputs(name), context)
    assert server.got == [(sample.method, sample.path, sample.body)]
    assert answer["http_status"] == 200
    assert set(answer) - {"id"} == {"http_status", "duration_ms"} | ({"response"} if name == EXECUTE else set())


async def test_the_response_to_an_executed_action_is_kept_redacted_and_short(server: Server, context: Context) -> None:
    server.body = {"data": {"name": "Import", "imported": 3, "email": "ann@example.com", "log": ["to ann@example.com"]}}
    kept = await WRITES[EXECUTE].run(sample_inputs(EXECUTE), context)
    assert kept["response"] == {"name": "Import", "imported": 3, "email": "[redacted]", "log": ["to [redacted]"]}
    for count in (1_021, 1_022):  # {"log":""} has 10 bytes, and each letter two
        server.body = {"log": "é" * (count - 2)}
        kept = (await WRITES[EXECUTE].run(sample_inputs(EXECUTE), context))["response"]
        assert (kept == server.body) == (count == 1_021)
    assert isinstance(kept, str)
    assert len(kept.encode()) <= RESPONSE_BYTES_MAX + len("…".encode())
    server.body = [1]
    assert "response" not in await WRITES[EXECUTE].run(sample_inputs(EXECUTE), context)


@pytest.mark.parametrize(
    ("status", "error"), [(500, TransientError), (429, TransientError), (401, PermanentError), (422, PermanentError)]
)
async def test_a_failed_write_raises_the_error_of_its_status(
    status: int, error: type[Exception], server: Server, context: Context
) -> None:
    server.status = status
    for name in (
        "pack_cloud_sync_integration_orders",
        "open_food_network_delete_customer",
        "flow_retail_create_customer",
    ):
        with pytest.raises(error):
            await WRITES[name].run(sample_inputs(name), context)


async def test_a_404_counts_as_deleted_and_not_as_changed(server: Server, context: Context) -> None:
    server.status = 404
    gone = "flow_retail_delete_customer"
    assert (await WRITES[gone].run(sample_inputs(gone), context))["http_status"] == 404
    changed = "flow_retail_update_customer"
    with pytest.raises(PermanentError) as caught:
        await WRITES[changed].run(sample_inputs(changed), context)
    assert caught.value.kind == "record_gone"


async def test_the_account_defaults_to_the_events_account(server: Server, context: Context) -> None:
    name = "pack_cloud_delete_integration"
    rendered = inputs(name, integration="i1")
    assert rendered["account"] == "pack"
    await WRITES[name].run(rendered, context)
    assert len(server.got) == 1
    with pytest.raises(PermanentError, match="is a FlowRetail, no PackCloud"):
        await WRITES[name].run(rendered | {"account": "flow-retail"}, context)
    with pytest.raises(TransientError, match="no platform 'other'"):
        await WRITES[name].run(rendered | {"account": "other"}, context)


async def test_a_value_of_a_wrong_type_is_rejected_without_being_shown(context: Context) -> None:
    name = "flow_retail_create_customer"
    with pytest.raises(PermanentError, match=r"new: Expected `int`") as caught:
        await WRITES[name].run(inputs(name, new={"paymentTerms": "{reference}"}) | {"account": "flow-retail"}, context)
    assert "PO-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words", "mistake"),
    [
        ("flow_retail_create_customer", {"new": {"emial": "x"}}, r"new\.emial: is no field.*did you mean email"),
        ("flow_retail_create_customer", {"new": {"nothing": 1}}, r"take some of externalId"),
        ("pack_cloud_create_integration", {"new": {"name": "x"}}, r"new\.connector_id: is missing"),
        ("flow_retail_create_customer", {"new": {"email": "{nope}"}}, r"new\.email: no field 'nope'"),
        ("pack_cloud_delete_integration", {"integration": "{lines}"}, r"integration: lines is a list"),
        ("pack_cloud_delete_integration", {}, r"integration: is missing"),
        (EXECUTE, {"integration": "i", "action": "a", "values": {"x": "{"}}, "unmatched"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_when_the_rule_is_loaded(name: str, words: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ConfigError, match=mistake):
        inputs(name, **words)


async def test_a_deferred_write_raises_transient_error() -> None:
    async def held() -> WriteResult:
        raise Deferred("circuit_open", "open", 7.5)

    with pytest.raises(TransientError) as caught:
        await write_result(held())
    assert (caught.value.kind, caught.value.retry_after_seconds) == ("circuit_open", 7.5)
