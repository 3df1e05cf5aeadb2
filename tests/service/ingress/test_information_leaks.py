"""What a stranger can learn: nothing of secrets, nothing of what was delivered before, nothing of the server."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from service.http_client import HttpClient
from service.ingestion.sources import Source, build_sources
from service.platforms.loading import load_config
from service.platforms.registry import build_platforms
from service.settings import Settings
from service.store import Store
from tests.service.ingress.conftest import Order, Serve, encode, signed

TOKEN = "path-token-that-nobody-may-see"
BODY = encode(Order("1"))
ENVIRON = {"TOKEN": TOKEN, "SLACK": "slack-secret", "VERIFY": "verify-token-agreed-on"}
CONFIG = """
platforms:
  erp:
    kind: custom
    base_url: https://erp.example.com/api
    auth: {type: none}
    records: {purchase_order: {path: "/orders/{id}"}}
sources:
  tokened:
    platform: erp
    verify: {scheme: path_token, secrets: [{env: TOKEN}]}
    envelope: {kind: custom, id: /id, type: /type, record: {kind: purchase_order, id: /order}}
  asking:
    platform: erp
    verify: {scheme: bearer, secrets: [{env: TOKEN}]}
    envelope: {kind: custom, id: /id, type: /type, record: {kind: purchase_order, id: /order}}
    challenge: {match: {/type: url_verification}, echo: /challenge}
    handshake:
      match: {hub.mode: subscribe}
      token: {parameter: hub.verify_token, secrets: [{env: VERIFY}]}
      echo: hub.challenge
  graph:
    platform: erp
    verify: {scheme: path_token, secrets: [{env: TOKEN}]}
    envelope: {kind: custom, id: /id, type: /type, record: {kind: purchase_order, id: /order}}
    handshake: {method: POST, echo: validationToken}
  okta:
    platform: erp
    verify: {scheme: header, header: Authorization, secrets: [{env: TOKEN}]}
    envelope: {kind: custom, id: /id, type: /type, record: {kind: purchase_order, id: /order}}
    handshake: {echo: {header: X-Okta-Verification-Challenge}, as: json, name: verification}
  trello:
    platform: erp
    verify: {scheme: bearer, secrets: [{env: TOKEN}]}
    content_types: [text/plain]
    envelope: {kind: custom, id: /id, type: /type, record: {kind: purchase_order, id: /order}}
    handshake: {method: HEAD}
  x:
    platform: erp
    verify: {scheme: hmac, header: X-Sig, prefix: "sha256=", encoding: base64, secrets: [{env: SLACK}]}
    envelope: {kind: custom, id: /id, type: /type, record: {kind: purchase_order, id: /order}}
    handshake:
      echo: crc_token
      as: json
      name: response_token
      proof: {secret: {env: SLACK}, encoding: base64, prefix: "sha256="}
"""

Seen = tuple[int, dict[str, str], bytes]


@pytest.fixture
async def more(settings: Settings, tmp_path: Path) -> AsyncIterator[Mapping[str, Source]]:
    path = tmp_path / "more.yaml"
    path.write_text(CONFIG)
    config = load_config(path, ENVIRON)
    async with HttpClient(settings) as outbound:
        yield build_sources(config, ENVIRON, build_platforms(config.platforms, ENVIRON, outbound), settings)


async def see(
    client: aiohttp.ClientSession, url: str, body: Any, headers: Mapping[str, str], method: str = "POST"
) -> Seen:
    """All of an answer but the clock."""
    async with client.request(method, url, data=body, headers=headers) as response:
        told = {name.lower(): value for name, value in response.headers.items() if name.lower() != "date"}
        return response.status, told, await response.read()


async def test_the_answer_to_who_cannot_sign_is_the_same_for_a_first_and_a_repeated_delivery(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store) + "/webhooks/erp-orders"
    known, unknown = BODY, encode(Order("2"))
    status, _, _ = await see(client, url, known, signed(known))
    assert status == 202
    forged = signed(b"another")
    assert await see(client, url, known, forged) == await see(client, url, unknown, forged)


async def test_wrong_tokens_are_told_alike_however_near_they_are(
    *, settings: Settings, store: Store, more: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    url = await serve(settings, store, more) + "/webhooks/tokened"
    json = {"content-type": "application/json"}
    status, _, _ = await see(client, f"{url}/{TOKEN}", BODY, json)
    assert status == 202
    wrong = ["", "/x", f"/{TOKEN[:-1]}", f"/{TOKEN}x", f"/{TOKEN.upper()}", "/%00", "/é"]
    answers = [await see(client, url + token, BODY, json) for token in wrong]
    assert {status for status, _, _ in answers} == {401}
    assert all(answer == answers[0] for answer in answers)
    asked = [await see(client, url + token, None, {}, "OPTIONS") for token in ("", "/x", f"/{TOKEN}")]
    assert all(answer == asked[0] for answer in asked)
    wrong_way = [await see(client, url + token, None, {}, "GET") for token in ("", "/x", f"/{TOKEN}")]
    assert all(answer == wrong_way[0] for answer in wrong_way)
    nobody = [await see(client, url.replace("tokened", "nobody") + token, None, {}, "GET") for token in ("", "/x")]
    assert all(answer == wrong_way[0] for answer in nobody)
    await asyncio.sleep(0.05)
    written = capfd.readouterr()
    assert written.out.count("delivery.received") == 1 + len(wrong) + 3 + 2
    assert "path-token" not in (written.out + written.err).lower()


@pytest.mark.parametrize("path", [f"/webhooks/{TOKEN}", f"/webhooks/nobody/{TOKEN}", f"/webhooks/tokened/{TOKEN}/more"])
async def test_a_token_in_the_wrong_place_reaches_no_log(
    *, path: str, settings: Settings, store: Store, more: Mapping[str, Source], serve: Serve,
    client: aiohttp.ClientSession, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    url = await serve(settings, store, more)
    status, _, body = await see(client, url + path, BODY, {})
    assert status == 404
    written = capfd.readouterr()
    assert "delivery.received" in written.out
    assert TOKEN not in written.out + written.err + body.decode()


async def test_refusals_hold_neither_secrets_nor_personal_data(
    settings: Settings, store: Store, more: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store, more)
    body = b'{"id": "ada@example.com", "type": "Ada Lovelace", "order": {"name": "Ada Lovelace"}}'
    sent = [
        ("erp-orders", signed(body)),
        ("erp-orders", signed(b"another")),
        ("erp-orders", signed(body, content_type="ada@example.com")),
        ("asking", {"content-type": "application/json", "authorization": "Bearer Ada"}),
        (f"tokened/{TOKEN[:-1]}", {"content-type": "application/json"}),
    ]
    for path, headers in sent:
        status, told, problem = await see(client, f"{url}/webhooks/{path}", body, headers)
        assert status >= 400
        for secret in ("Ada", "ada@", "s3cret", TOKEN[:-1], *headers.values()):
            assert secret == "application/json" or secret not in f"{problem!r} {told}".replace("json", "")


async def test_every_answer_has_the_security_headers_and_no_banner(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store)
    for method, path in (
        ("POST", "/webhooks/erp-orders"), ("GET", "/webhooks/erp-orders"), ("OPTIONS", "/webhooks/erp-orders"),
        ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/nowhere"), ("DELETE", "/healthz"),
    ):  # fmt: skip
        _, told, _ = await see(client, url + path, None, {}, method)
        assert told["x-content-type-options"] == "nosniff"
        assert told["cache-control"] == "no-store"
        assert told["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in told["content-security-policy"]
        assert not told.keys() & {"server", "x-powered-by", "via"}


async def test_get_and_head_say_what_to_do_instead(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store) + "/webhooks/erp-orders"
    status, told, body = await see(client, url, None, {}, "GET")
    assert (status, told["allow"]) == (405, "POST, OPTIONS")
    assert b"send them with POST" in body
    status, told, body = await see(client, url, None, {}, "HEAD")
    assert (status, told["allow"], body) == (405, "POST, OPTIONS", b"")


async def test_a_challenge_is_answered_to_who_can_prove_itself_and_becomes_no_event(
    *, settings: Settings, store: Store, more: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    url = await serve(settings, store, more) + "/webhooks/asking"
    body = b'{"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}'
    headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
    status, told, echo = await see(client, url, body, headers)
    assert (status, told["content-type"]) == (200, "text/plain; charset=utf-8")
    assert echo == b"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
    status, _, _ = await see(client, url, body, headers | {"authorization": "Bearer no"})
    assert status == 401
    assert (await store.sample()).pending == 0
    line = capfd.readouterr().out.splitlines()[-2]
    assert '"event_type":"challenge","status":"ignored","http_status":200' in line
    assert "3eZbrw" not in line


async def test_a_handshake_by_query_is_answered_to_who_knows_the_token_and_leaves_nothing_of_it_anywhere(
    *, settings: Settings, store: Store, more: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    url = await serve(settings, store, more) + "/webhooks/asking"
    asked = "?hub.mode=subscribe&hub.challenge=%3Cscript%3E1158201444&hub.verify_token="
    status, told, echo = await see(client, f"{url}{asked}verify-token-agreed-on", None, {}, "GET")
    assert (status, echo) == (200, b"<script>1158201444")
    assert told["content-type"] == "text/plain; charset=utf-8"
    assert (told["x-content-type-options"], told["cache-control"]) == ("nosniff", "no-store")
    assert told["content-security-policy"].startswith("default-src 'none'")
    status, _, body = await see(client, f"{url}{asked}verify-token-another", None, {}, "GET")
    assert status == 401
    assert b"1158201444" not in body
    usual = await see(client, url, None, {}, "GET")
    assert usual[0] == 405
    assert await see(client, f"{url}?hub.mode=subscribe&hub.challenge=1&hub.challenge=2", None, {}, "GET") == usual
    assert await see(client, url.replace("asking", "erp-orders") + asked, None, {}, "GET") == usual
    assert await see(client, url.replace("asking", "nobody") + asked, None, {}, "GET") == usual
    assert (await see(client, f"{url}{asked}verify-token-agreed-on", None, {}, "HEAD"))[0] == 405
    written = capfd.readouterr().out
    assert '"source":"asking","event_type":"challenge","status":"ignored","http_status":200' in written
    assert '"reason":"not_verified"' in written
    for hidden in ("1158201444", "verify-token", "hub."):
        assert hidden not in written
    assert await store.quarantine.sources() == []


async def test_a_handshake_by_post_is_answered_before_anything_is_read(
    settings: Settings, store: Store, more: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store, more) + "/webhooks/graph"
    text = {"content-type": "text/plain"}
    for token in ("", "/x", f"/{TOKEN}"):  # it says nothing of the address
        status, _, echo = await see(client, f"{url}{token}?validationToken=Validation%3A+Testing", b"", text)
        assert (status, echo) == (200, b"Validation: Testing")
    assert (await see(client, f"{url}/x", BODY, {"content-type": "application/json"}))[0] == 401
    assert (await see(client, f"{url}/{TOKEN}", BODY, {"content-type": "application/json"}))[0] == 202


async def test_a_handshake_by_header_is_answered_with_what_stands_in_it(
    *, settings: Settings, store: Store, more: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store, more) + "/webhooks/okta"
    status, _, body = await see(client, url, None, {"X-Okta-Verification-Challenge": "Me_rShK8"}, "GET")
    assert (status, body) == (200, b'{"verification":"Me_rShK8"}')
    status, _, _ = await see(client, url, None, {}, "GET")
    assert status == 405


async def test_who_only_asks_whether_anybody_is_there_is_told_so(
    *, settings: Settings, store: Store, more: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store, more) + "/webhooks/trello"
    for method, due in (("HEAD", 200), ("GET", 405), ("HEAD", 200), ("POST", 415)):
        status, _, body = await see(client, url, None, {}, method)
        assert (status, method == "HEAD" and body) == (due, b"" if method == "HEAD" else False)


async def test_json_under_another_name_is_taken_where_the_source_says_so(
    *, settings: Settings, store: Store, more: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store, more)
    permit = {"authorization": f"Bearer {TOKEN}"}
    for name, media, due in (
        ("trello", "text/plain; charset=UTF-8", 202),
        ("trello", "application/json", 202),
        ("trello", "text/html", 415),
        ("asking", "text/plain", 415),
    ):
        status, _, body = await see(client, f"{url}/webhooks/{name}", BODY, permit | {"content-type": media})
        assert status == due, (name, media, body)
    status, _, body = await see(client, f"{url}/webhooks/trello", b"a=b", permit | {"content-type": "text/plain"})
    assert (status, json.loads(body)["code"]) == (400, "malformed_payload")


async def test_whoever_has_something_hashed_by_a_handshake_cannot_sign_with_it(
    *, settings: Settings, store: Store, more: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store, more) + "/webhooks/x"
    status, _, body = await see(client, url, None, {}, "GET")
    assert status == 405
    status, _, body = await see(client, f"{url}?crc_token=abc", None, {}, "GET")
    digest = base64.b64encode(hmac.digest(b"slack-secret", b"abc", "sha256")).decode()
    assert (status, json.loads(body)) == (200, {"response_token": f"sha256={digest}"})
    asked = f"{url}?{urlencode({'crc_token': BODY.decode()})}"
    status, _, _ = await see(client, asked, None, {}, "GET")
    assert status == 405
    headers = {"content-type": "application/json", "x-sig": f"sha256={digest}"}
    status, _, _ = await see(client, url, b"abc", headers)
    assert status == 400  # its signature is right, and it is nothing


async def test_handshakes_count_against_their_address(
    make_settings: Callable[..., Settings], store: Store, more: Mapping[str, Source], serve: Serve,
    client: aiohttp.ClientSession,
) -> None:  # fmt: skip
    url = await serve(make_settings(address_rejections_per_second_max=1), store, more)
    statuses = [(await see(client, f"{url}/webhooks/graph?validationToken=1", b"", {}))[0] for _ in range(12)]
    assert (statuses[0], statuses[-1]) == (200, 503)
