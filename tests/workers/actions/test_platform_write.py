"""The platforms' own writes as actions: each asks its one call of a real server, and tells whose failure it was."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from msgspec import Struct

from service.errors import ConfigError, Deferred, PermanentError, TransientError
from service.http_client import HttpClient
from service.platforms.api.operations import WriteResult
from service.platforms.flow_retail.config import FlowRetailConfig
from service.platforms.flow_retail.connector import FlowRetail
from service.platforms.kind import ConnectorDependencies
from service.platforms.open_food_network.config import OpenFoodNetworkConfig
from service.platforms.open_food_network.connector import OpenFoodNetwork
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud
from service.secrets import SecretRef
from service.settings import Settings
from tests.workers.actions.platform_write_samples import CALLS
from tests.workers.actions.test_actions import Context, inputs
from workers.actions import ACTIONS
from workers.actions.platform_write import PlatformWrite, write_result

WRITES = {str(action.__struct_config__.tag): action for action in ACTIONS if issubclass(action, PlatformWrite)}
TOKEN = SecretRef(env="TOKEN")
EXECUTE = "pack_cloud_execute_integration_action"
UNSAFE = {
    EXECUTE, "pack_cloud_sync_integration_orders",
    "pack_cloud_sync_integration_products", "pack_cloud_sync_integration_shipping_services",
    "pack_cloud_sync_integration_product_stocks", "pack_cloud_create_integration", "flow_retail_create_customer",
    "flow_retail_add_extension",
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
        resources = ConnectorDependencies(outbound, {"TOKEN": "t"})
        yield Context({"platforms": {
            "pack": PackCloud(
                "pack", PackCloudConfig(organization_id="org_1", token=TOKEN, base_url=server.url), resources
            ),
            "ofn": OpenFoodNetwork("ofn", OpenFoodNetworkConfig(base_url=server.url, token=TOKEN), resources),
            "flow": FlowRetail(
                "flow", FlowRetailConfig(tenant_uid="T1", store_uid="S1", token=TOKEN, base_url=server.url), resources
            ),
        }})  # fmt: skip


def test_every_write_that_the_platforms_offer_to_rules_is_there() -> None:
    assert set(WRITES) == set(CALLS)
    assert {name for name, action in WRITES.items() if action.repeat == "unsafe"} == UNSAFE
    assert {action.repeat for action in WRITES.values()} == {"idempotent", "unsafe"}


@pytest.mark.parametrize("name", CALLS)
async def test_a_write_makes_its_call_and_keeps_the_status_alone(name: str, server: Server, context: Context) -> None:
    call = CALLS[name]
    answer = await WRITES[name].run(inputs(name, account=call.account, **call.words), context)
    assert server.got == [(call.method, call.path, call.body)]
    assert answer["http_status"] == 200
    assert set(answer) <= {"http_status", "duration_ms", "id"}


@pytest.mark.parametrize(
    ("status", "fate"), [(500, TransientError), (429, TransientError), (401, PermanentError), (422, PermanentError)]
)
async def test_a_failed_write_is_told_by_who_must_act(
    status: int, fate: type[Exception], server: Server, context: Context
) -> None:
    server.status = status
    for name in (
        "pack_cloud_sync_integration_orders",
        "open_food_network_delete_customer",
        "flow_retail_create_customer",
    ):
        with pytest.raises(fate):
            await WRITES[name].run(inputs(name, account=CALLS[name].account, **CALLS[name].words), context)


async def test_what_is_gone_already_counts_as_deleted_and_not_as_changed(server: Server, context: Context) -> None:
    server.status = 404
    gone = "flow_retail_delete_customer"
    assert (await WRITES[gone].run(inputs(gone, account="flow", **CALLS[gone].words), context))["http_status"] == 404
    changed = "flow_retail_update_customer"
    with pytest.raises(PermanentError) as caught:
        await WRITES[changed].run(inputs(changed, account="flow", **CALLS[changed].words), context)
    assert caught.value.kind == "record_gone"


async def test_the_account_is_the_event_s_own_unless_another_is_named(server: Server, context: Context) -> None:
    name = "pack_cloud_delete_integration"
    rendered = inputs(name, integration="i1")
    assert rendered["account"] == "pack"
    await WRITES[name].run(rendered, context)
    assert len(server.got) == 1
    with pytest.raises(PermanentError, match="is a FlowRetail, no PackCloud"):
        await WRITES[name].run(rendered | {"account": "flow"}, context)
    with pytest.raises(TransientError, match="no platform 'other'"):
        await WRITES[name].run(rendered | {"account": "other"}, context)


async def test_a_value_that_the_platform_does_not_take_is_refused_without_being_told(context: Context) -> None:
    name = "flow_retail_create_customer"
    with pytest.raises(PermanentError, match=r"new: Expected `int`") as caught:
        await WRITES[name].run(inputs(name, new={"paymentTerms": "{reference}"}) | {"account": "flow"}, context)
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
        (EXECUTE, {"integration": "i", "action": "a", "values": {"x": "{"}}, "stands alone"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_when_the_rule_is_loaded(name: str, words: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ConfigError, match=mistake):
        inputs(name, **words)


async def test_a_limit_of_the_account_is_waited_out() -> None:
    async def held() -> WriteResult:
        raise Deferred("circuit_open", "rests", 7.5)

    with pytest.raises(TransientError) as caught:
        await write_result(held())
    assert (caught.value.kind, caught.value.retry_after_seconds) == ("circuit_open", 7.5)
