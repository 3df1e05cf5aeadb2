"""Declared kinds on built-in platforms: fetched and listed by `records`, with the credentials of the account."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from service.configuration import load_config, read_config
from service.errors import PermanentError
from service.events import RecordRef
from service.http_client import HttpClient
from service.platforms import CallContext
from service.platforms.kind import RecordedAnswer
from service.platforms.recorded_answers import read_recorded_answer
from service.platforms.registry import build_platforms
from service.settings import Settings
from tests.platform_accounts import sample_account

BUILT_IN = ("pack_cloud", "flow_retail", "open_food_network", "pexip_engage")
CONTEXT = CallContext("e" * 32)
ENVIRON = {"TOKEN": "token-0123456789", "CLIENT": "client-0123456789"}
SHIPMENT = {"id": "s-1", "state": "sent", "updated_at": "2026-01-02T03:04:05Z"}
DECLARED = {"shipment": {"fields": {"status": {"enum": ["packed", "sent"]}}}, "invoice": {"fields": {"total": "money"}}}
RECORDS: dict[str, Any] = {
    "shipment": {
        "path": "/shipments/{id}",
        "at": "/data",
        "map": {"status": "/state"},
        "list": {"path": "/shipments?page={page}", "at": "/data", "next": "page"},
    }
}


class Api:
    """Server of a platform. `requests` are the requests without those for a token."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[web.Request] = []


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            return web.json_response({"access_token": "granted", "token_type": "Bearer", "expires_in": 600})
        opened.requests.append(request)
        found = {"/shipments/s-1": SHIPMENT, "/shipments": [SHIPMENT] if request.query.get("page") == "1" else []}
        data = found.get(request.path)
        if data is None:
            return web.json_response({"message": "no such shipment"}, status=404)
        return web.json_response({"data": data})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    opened = Api(f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield opened
    await runner.cleanup()


def write_config(folder: Path, kind: str, url: str, records: Any) -> Path:
    account = sample_account(kind, url) | {"records": records}
    if kind == "pexip_engage":
        account["token_url"] = f"{url}/token"
    verify = {"scheme": "bearer", "secrets": [{"env": "TOKEN"}]}
    alarms = {"verify": verify, "envelope": {"kind": "custom", "type": "x"}}
    written = {"platforms": {"it": account}, "records": DECLARED, "sources": {"alarms": alarms}}
    path = folder / "waybill.yaml"
    path.write_text(yaml.dump(written, Dumper=yaml.CSafeDumper))
    return path


@pytest.mark.parametrize("kind", BUILT_IN)
def test_mistakes_in_records_have_their_path(tmp_path: Path, kind: str) -> None:
    wrong = {
        "customer": {"path": "/c/{id}"},
        "shipmnt": {"path": "/s/{id}"},
        "shipment": {"path": "/s/{id}", "map": {"stats": "/x"}, "list": {"path": "/s", "next": "page"}},
    }
    mistakes = read_config(write_config(tmp_path, kind, "http://127.0.0.1:9", wrong), ENVIRON).mistakes
    assert {(each.path, each.reason) for each in mistakes} == {
        ("platforms.it.records.customer", "is read by the connector itself"),
        ("platforms.it.records.shipmnt", "there is no kind shipmnt"),
        ("platforms.it.records.shipment.map.stats", "there is no such field"),
        ("platforms.it.records.shipment.list.path", "has no {page}, so every request would return the first page"),
    }
    assert all(each.line for each in mistakes)


@pytest.mark.parametrize("kind", BUILT_IN)
async def test_declared_kind_is_fetched_and_listed(tmp_path: Path, api: Api, kind: str) -> None:
    config = load_config(write_config(tmp_path, kind, api.url, RECORDS), ENVIRON)
    account = config.platforms["it"]
    assert "shipment" in account.record_kinds() & account.listed_kinds()
    assert account.expected_fields("shipment") == ("status",)
    async with HttpClient(Settings(), {"127.0.0.1"}) as outbound:
        platform = build_platforms(config.platforms, ENVIRON, outbound, records=config.record_types)["it"]
        fetched = await platform.fetch(RecordRef("it", "shipment", "s-1"), CONTEXT)
        record: Any = fetched.record
        assert (record.id, record.status, fetched.raw) == ("s-1", "sent", SHIPMENT)
        assert fetched.operation == f"{kind}.shipment.get"
        gone = await platform.fetch(RecordRef("it", "shipment", "s-2"), CONTEXT)
        assert (gone.record, gone.reason) == (None, f"GET {api.url}/shipments/s-2 answered 404: no such shipment")
        page = await platform.list_records("shipment", None, CONTEXT)
        assert ([item.id for item in page.items], page.next) == (["s-1"], "2")
        with pytest.raises(PermanentError, match="has no invoice to fetch") as caught:
            await platform.fetch(RecordRef("it", "invoice", "1"), CONTEXT)
        assert caught.value.kind == "unknown_kind"
    secret = "granted" if kind == "pexip_engage" else ENVIRON["TOKEN"]
    assert all(secret in json.dumps(dict(request.headers)) for request in api.requests)


def test_recorded_answer_of_a_declared_kind_is_read(tmp_path: Path) -> None:
    config = load_config(write_config(tmp_path, "pack_cloud", "http://127.0.0.1:9", RECORDS), ENVIRON)
    answer = RecordedAnswer("it", "shipment", {"data": SHIPMENT})
    record, raw = read_recorded_answer(answer, config.platforms, config.record_types, "tests[0]")
    status: Any = getattr(record, "status", None)
    assert (status, raw) == ("sent", SHIPMENT)


async def test_record_above_the_size_limit_names_the_setting(tmp_path: Path, api: Api) -> None:
    config = load_config(write_config(tmp_path, "pack_cloud", api.url, RECORDS), ENVIRON)
    size = len(json.dumps({"data": SHIPMENT}))
    for bytes_max in (size - 1, size):
        async with HttpClient(Settings(fetch_bytes_max=bytes_max), {"127.0.0.1"}) as outbound:
            platform = build_platforms(config.platforms, ENVIRON, outbound, records=config.record_types)["it"]
            if bytes_max == size:
                assert (await platform.fetch(RecordRef("it", "shipment", "s-1"), CONTEXT)).record
                continue
            with pytest.raises(PermanentError, match="Increase WAYBILL_FETCH_BYTES_MAX") as caught:
                await platform.fetch(RecordRef("it", "shipment", "s-1"), CONTEXT)
            assert (caught.value.kind, caught.value.http_status) == ("response_too_large", 200)
