"""Answers that senders require: status, body, and the responses to challenges without a signature."""

import hashlib
from pathlib import Path
from typing import Any, get_args

import aiohttp
import pytest
import yaml
from msgspec import structs

from service.configuration import load_config
from service.errors import ConfigError
from service.http_client import HttpClient
from service.ingestion.reverification import ingest, reverify
from service.ingestion.sources import build_sources
from service.management.event_view import Visibility, view_event
from service.metrics.families import DIFFERING_DUPLICATES
from service.platforms.registry import build_platforms
from service.settings import Settings
from service.store import Store
from tests.service.ingress.conftest import CONFIG, ENVIRON, SECRET, Lines, Order, Serve, encode, signed

FORM = "application/x-www-form-urlencoded"
PING = {"match": {"/webhook_id": "5"}, "unsigned": True}
SOURCES: dict[str, dict[str, Any]] = {
    "ok": {"success_status": 200, "success_body": "OK"},
    "json": {"success_status": 201, "success_body": '{"ok":true}'},
    "status": {"success_status": 200},
    "empty": {"success_status": 204},
    "refused": {"failure_status": 498},
    "form": {"body": "form", "success_status": 200},
    "document": {"body": {"form": "payload"}},
    "ping": {"challenge": PING, "content_types": [FORM]},
    "hook": {"handshake": {"method": "POST", "echo": {"header": "X-Hook"}, "as": "header", "name": "X-Hook"}},
    "one": {"challenge": {"match": {"/type": 0}, "status": 204}},
    "typed": {"challenge": {"match": {"/type": 1}, "reply": '{"type":1}'}},
    "echo": {"challenge": {"echo": "/challenge", "as": "json", "unsigned": True}},
    "code": {
        "handshake": {
            "echo": "code",
            "as": "json",
            "name": "response",
            "proof": {"secret": {"env": "ERP_SECRET"}, "hashed": "{value}{secret}https://hooks.example.com/x"},
        }
    },
}


def configuration(**sources: dict[str, Any]) -> str:
    config = yaml.safe_load(CONFIG)
    usual = config["sources"]["erp-orders"]
    return yaml.dump({**config, "sources": {name: usual | fields for name, fields in sources.items()}})


async def serve_all(settings: Settings, store: Store, serve: Serve, folder: Path) -> str:
    path = folder / "answers.yaml"
    path.write_text(configuration(**SOURCES))
    config = load_config(path, ENVIRON)
    async with HttpClient(settings) as outbound:
        sources = build_sources(config, ENVIRON, build_platforms(config.platforms, ENVIRON, outbound), settings)
    return await serve(settings, store, sources)


async def test_answers_are_those_of_the_source(  # noqa: PLR0917 - fixtures
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession, tmp_path: Path, lines: Lines
) -> None:
    url = await serve_all(settings, store, serve, tmp_path)
    body = encode(Order("1"))

    async def post(
        path: str, data: bytes = body, *, signature: bool = True, **headers: str
    ) -> tuple[int, bytes, str | None]:
        given = signed(data, **headers) if signature else {"content-type": headers.get("content_type", "")}
        async with client.post(f"{url}/webhooks/{path}", data=data, headers=given) as response:
            return response.status, await response.read(), response.headers.get("x-hook")

    for _ in range(2):  # a duplicate has the same answer
        assert await post("ok") == (200, b"OK", None)
        assert await post("json") == (201, b'{"ok":true}', None)
        assert await post("empty") == (204, b"", None)
    status, answer, _ = await post("status")
    assert (status, answer[:18]) == (200, b'{"status":"queued"')
    assert (await post("ok", encode(Order("2", order="4")), signature=False, content_type="application/json"))[0] == 401
    assert (await post("refused", signature=False, content_type="application/json"))[0] == 498

    lines()
    assert (await post("form", b"id=9&type=order.updated&order=7", content_type=FORM))[0] == 200
    assert (await post("document", b"payload=" + body.replace(b'"', b"%22"), content_type=FORM))[0] == 202
    assert (await post("form", body, content_type="application/json"))[0] == 422
    assert (await post("ok", body[:-1] + b', "x": NaN}'))[0] == 200
    [first, second, malformed, repaired] = lines("delivery.received")
    assert [line["delivery_status"] for line in (first, second, malformed)] == ["queued", "queued", "rejected"]
    assert (repaired["body_repaired"], "body_repaired" in first) == (True, False)

    assert await post("ping", b"webhook_id=5", signature=False, content_type=FORM) == (200, b"", None)
    assert (await post("ping", b"webhook_id=6", signature=False, content_type=FORM))[0] == 401
    assert (await post("ping"))[0] == 202
    assert await post("one", b'{"type": 0}') == (204, b"", None)
    assert await post("typed", b'{"type": 1}') == (200, b'{"type":1}', None)
    for source in ("one", "typed"):
        assert (await post(source, b'{"type": 0}', signature=False, content_type="application/json"))[0] == 401
    echoed = await post("echo", b'{"challenge": "abc"}', signature=False, content_type="application/json")
    assert echoed == (200, b'{"challenge":"abc"}', None)
    assert (await post("echo", b'{"challenge": "a\\nb"}', signature=False, content_type="application/json"))[0] == 401
    async with client.post(f"{url}/webhooks/hook", headers={"x-hook": "s3cr3t"}) as response:
        assert (response.status, response.headers["x-hook"], await response.read()) == (200, "s3cr3t", b"")
    async with client.get(f"{url}/webhooks/code?code=abc") as response:
        proof = hashlib.sha256(b"abc" + SECRET + b"https://hooks.example.com/x").hexdigest()
        assert await response.json() == {"response": proof}


async def test_duplicate_with_other_content_has_a_warning_a_metric_and_a_difference(  # noqa: PLR0917 - fixtures
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession, tmp_path: Path, lines: Lines
) -> None:
    path = tmp_path / "records.yaml"
    path.write_text(configuration(**{"by-record": {"dedupe_by": "id_and_record"}}))
    config = load_config(path, ENVIRON)
    async with HttpClient(settings) as outbound:
        sources = build_sources(config, ENVIRON, build_platforms(config.platforms, ENVIRON, outbound), settings)
    url = await serve(settings, store, sources)

    async def post(body: bytes, source: str = "erp-orders") -> dict[str, str]:
        async with client.post(f"{url}/webhooks/{source}", data=body, headers=signed(body)) as response:
            assert response.status == 202
            return await response.json()

    counted = DIFFERING_DUPLICATES.values.get(("erp-orders",), 0)
    first = await post(b'{"id": "1", "type": "t", "order": "7", "email": "a@b.c", "lines": [{"n": 1}, {"n": 2}]}')
    same = await post(b'{"id": "1", "type": "t", "order": "7", "email": "a@b.c", "lines": [{"n": 1}, {"n": 2}]}')
    other = await post(b'{"id": "1", "type": "u", "order": "8", "email": "d@b.c", "lines": [{"n": true}]}')
    assert [answer["status"] for answer in (first, same, other)] == ["queued", "duplicate", "duplicate"]
    assert {answer["event_id"] for answer in (first, same, other)} == {first["event_id"]}
    [_, usual, warning] = lines("delivery.received")
    assert (usual["level"], "differing_event_ids" in usual) == ("info", False)
    assert (warning["level"], warning["differing_event_ids"]) == ("warning", [first["event_id"]])
    assert DIFFERING_DUPLICATES.values["erp-orders",] == counted + 1
    shown = await store.events.get(first["event_id"])
    assert shown is not None
    views = {each: view_event("a", shown, 0, each).differing_duplicates for each in get_args(Visibility)}
    found = {name: view and [structs.astuple(each) for each in view.differences or ()] for name, view in views.items()}
    record = ('["erp","purchase_order","7"]', '["erp","purchase_order","8"]')
    shared = [("type", '"t"', '"u"'), ("record", *record), ("/type", '"t"', '"u"'), ("/order", '"7"', '"8"')]
    lists = [("/lines/0/n", "1", "true"), ("/lines/1", '{"n":2}', None)]
    assert found["raw"] == [*shared, ("/email", '"a@b.c"', '"d@b.c"'), *lists]
    assert found["redacted"] == [*shared, ("/email", '"[redacted]"', '"[redacted]"'), *lists]
    outline = [(each[0], None, None) for each in found["raw"] or ()]
    assert found["outline"] == [*shared[:2], *outline[2:]]

    by_record = [await post(b'{"id": "1", "type": "t", "order": "%d"}' % order, "by-record") for order in (7, 8, 7)]
    assert [answer["status"] for answer in by_record] == ["queued", "queued", "duplicate"]


BATCH = {
    "envelope": {"kind": "custom", "each": "/e", "type": "t", "record": {"kind": "purchase_order", "id": "/order"}}
}


async def test_invalid_items_of_a_batch_are_quarantined_singly_and_released(  # noqa: PLR0917 - fixtures
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession, tmp_path: Path, lines: Lines
) -> None:
    path, corrected = tmp_path / "batches.yaml", tmp_path / "corrected.yaml"
    path.write_text(configuration(batch=BATCH))
    pointer = BATCH["envelope"] | {"record": {"kind": "purchase_order", "id": "/number"}}
    corrected.write_text(configuration(batch={"envelope": pointer}))
    async with HttpClient(settings) as outbound:
        loaded = [load_config(each, ENVIRON) for each in (path, corrected)]
        built = [
            build_sources(each, ENVIRON, build_platforms(each.platforms, ENVIRON, outbound), settings)
            for each in loaded
        ]
    url = await serve(settings, store, built[0])
    body = b'{"e": [{"order": "1"}, {"number": "2"}, {"order": "3"}]}'
    for status in ("queued", "duplicate"):
        async with client.post(f"{url}/webhooks/batch", data=body, headers=signed(body)) as response:
            answer = await response.json()
            assert (response.status, answer["status"]) == (202, status)
            assert [event["status"] for event in answer["events"]] == [status, "rejected", status]
    [line, _] = lines("delivery.received")
    assert (line["events"], line["items_rejected"], line["level"]) == (3, 1, "warning")
    ids = await store.quarantine.ids("batch")
    [item, again] = await store.quarantine.read("batch", ids)
    assert (item.item, item.body, item.code, item.dedupe_key) == (
        1, b'{"number": "2"}', "unrecognized_event", again.dedupe_key
    )  # fmt: skip
    assert reverify(item, built[0]).admission is None
    for quarantined, expected in ((item, "queued"), (again, "duplicate")):
        finding = reverify(quarantined, built[1])
        assert finding.admission
        [outcome] = await ingest(finding, finding.admission, built[1], store)
        assert outcome.status == expected


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"success_status": 204, "success_body": "OK"}, "success_body"),
        ({"success_status": 302}, "success_status"),
        ({"challenge": {"unsigned": True}}, "challenge.echo"),
        ({"challenge": {"match": {"/a": "b"}, "as": "header", "echo": "/c"}}, "challenge.name"),
        ({"handshake": {"echo": "c", "proof": {"secret": {"env": "ERP_SECRET"}, "hashed": "{value}"}}}, "hashed"),
    ],
)
def test_impossible_answers_are_config_errors(fields: dict[str, Any], path: str, tmp_path: Path) -> None:
    file = tmp_path / "waybill.yaml"
    file.write_text(configuration(erp=fields))
    with pytest.raises(ConfigError, match=path):
        load_config(file, ENVIRON)
