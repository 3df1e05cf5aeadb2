"""Information leaks: responses and logs reveal no secrets, earlier deliveries or server details."""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from service.configuration import load_config
from service.http_client import HttpClient
from service.ingestion.sources import Source, build_sources
from service.platforms.registry import build_platforms
from service.settings import Settings
from service.store import Store
from tests.service.ingress.conftest import Order, Serve, encode, signed
from tests.waiting import until

TOKEN = "path-token-for-tests"
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

Reply = tuple[int, dict[str, str], bytes]


@pytest.fixture
async def extra_sources(settings: Settings, tmp_path: Path) -> AsyncIterator[Mapping[str, Source]]:
    path = tmp_path / "more.yaml"
    path.write_text(CONFIG)
    config = load_config(path, ENVIRON)
    async with HttpClient(settings) as outbound:
        yield build_sources(config, ENVIRON, build_platforms(config.platforms, ENVIRON, outbound), settings)


async def send(
    client: aiohttp.ClientSession, url: str, body: Any, headers: Mapping[str, str], method: str = "POST"
) -> Reply:
    """Send a request; return status, headers without Date, and body."""
    async with client.request(method, url, data=body, headers=headers) as response:
        response_headers = {name.lower(): value for name, value in response.headers.items() if name.lower() != "date"}
        return response.status, response_headers, await response.read()


async def test_response_to_a_wrong_signature_does_not_depend_on_earlier_deliveries(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store) + "/webhooks/erp-orders"
    known, unknown = BODY, encode(Order("2"))
    status, _, _ = await send(client, url, known, signed(known))
    assert status == 202
    forged = signed(b"another")
    assert await send(client, url, known, forged) == await send(client, url, unknown, forged)


async def test_responses_to_wrong_path_tokens_are_identical(
    *, settings: Settings, store: Store, extra_sources: Mapping[str, Source], serve: Serve,
    client: aiohttp.ClientSession, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    url = await serve(settings, store, extra_sources) + "/webhooks/tokened"
    json = {"content-type": "application/json"}
    status, _, _ = await send(client, f"{url}/{TOKEN}", BODY, json)
    assert status == 202
    wrong = ["", "/x", f"/{TOKEN[:-1]}", f"/{TOKEN}x", f"/{TOKEN.upper()}", "/%00", "/é"]
    answers = [await send(client, url + token, BODY, json) for token in wrong]
    assert {status for status, _, _ in answers} == {401}
    assert all(answer == answers[0] for answer in answers)
    request = [await send(client, url + token, None, {}, "OPTIONS") for token in ("", "/x", f"/{TOKEN}")]
    assert all(answer == request[0] for answer in request)
    wrong_method = [await send(client, url + token, None, {}, "GET") for token in ("", "/x", f"/{TOKEN}")]
    assert all(answer == wrong_method[0] for answer in wrong_method)
    unknown = [await send(client, url.replace("tokened", "nobody") + token, None, {}, "GET") for token in ("", "/x")]
    assert all(answer == wrong_method[0] for answer in unknown)
    written = ""

    def all_are_logged() -> bool:
        nonlocal written
        written += "".join(capfd.readouterr())
        return written.count("delivery.received") >= 1 + len(wrong) + 3 + 2

    await until(all_are_logged)
    assert written.count("delivery.received") == 1 + len(wrong) + 3 + 2
    assert "path-token" not in written.lower()


@pytest.mark.parametrize("path", [f"/webhooks/{TOKEN}", f"/webhooks/nobody/{TOKEN}", f"/webhooks/tokened/{TOKEN}/more"])
async def test_misplaced_path_token_is_not_logged(
    *, path: str, settings: Settings, store: Store, extra_sources: Mapping[str, Source], serve: Serve,
    client: aiohttp.ClientSession, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    url = await serve(settings, store, extra_sources)
    status, _, body = await send(client, url + path, BODY, {})
    assert status == 404
    written = capfd.readouterr()
    assert "delivery.received" in written.out
    assert TOKEN not in written.out + written.err + body.decode()


async def test_rejections_contain_no_secrets_or_personal_data(
    settings: Settings, store: Store, extra_sources: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store, extra_sources)
    body = b'{"id": "ada@example.com", "type": "Ada Lovelace", "order": {"name": "Ada Lovelace"}}'
    sent = [
        ("erp-orders", signed(body)),
        ("erp-orders", signed(b"another")),
        ("erp-orders", signed(body, content_type="ada@example.com")),
        ("asking", {"content-type": "application/json", "authorization": "Bearer Ada"}),
        (f"tokened/{TOKEN[:-1]}", {"content-type": "application/json"}),
    ]
    for path, headers in sent:
        status, response_headers, problem = await send(client, f"{url}/webhooks/{path}", body, headers)
        assert status >= 400
        for secret in ("Ada", "ada@", "s3cret", TOKEN[:-1], *headers.values()):
            assert secret == "application/json" or secret not in f"{problem!r} {response_headers}".replace("json", "")


async def test_every_response_has_security_headers_and_no_server_banner(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store)
    for method, path in (
        ("POST", "/webhooks/erp-orders"), ("GET", "/webhooks/erp-orders"), ("OPTIONS", "/webhooks/erp-orders"),
        ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/nowhere"), ("DELETE", "/healthz"),
    ):  # fmt: skip
        _, response_headers, _ = await send(client, url + path, None, {}, method)
        assert response_headers["x-content-type-options"] == "nosniff"
        assert response_headers["cache-control"] == "no-store"
        assert response_headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in response_headers["content-security-policy"]
        assert not response_headers.keys() & {"server", "x-powered-by", "via"}


async def test_get_and_head_are_answered_405_with_allow(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store) + "/webhooks/erp-orders"
    status, response_headers, body = await send(client, url, None, {}, "GET")
    assert (status, response_headers["allow"]) == (405, "POST, OPTIONS")
    assert b"Send a signed POST request" in body
    status, response_headers, body = await send(client, url, None, {}, "HEAD")
    assert (status, response_headers["allow"], body) == (405, "POST, OPTIONS", b"")


async def test_verified_challenge_is_answered_and_ingests_nothing(
    *, settings: Settings, store: Store, extra_sources: Mapping[str, Source], serve: Serve,
    client: aiohttp.ClientSession, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    url = await serve(settings, store, extra_sources) + "/webhooks/asking"
    body = b'{"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}'
    headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
    status, response_headers, echoed = await send(client, url, body, headers)
    assert (status, response_headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert echoed == b"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
    status, _, _ = await send(client, url, body, headers | {"authorization": "Bearer no"})
    assert status == 401
    assert (await store.sample()).pending == 0
    line = capfd.readouterr().out.splitlines()[-2]
    assert '"event_type":"challenge","delivery_status":"ignored","http_status":200' in line
    assert "3eZbrw" not in line


async def test_query_challenge_requires_the_token_and_is_not_logged(
    *, settings: Settings, store: Store, extra_sources: Mapping[str, Source], serve: Serve,
    client: aiohttp.ClientSession, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    url = await serve(settings, store, extra_sources) + "/webhooks/asking"
    request = "?hub.mode=subscribe&hub.challenge=%3Cscript%3E1158201444&hub.verify_token="
    status, response_headers, echoed = await send(client, f"{url}{request}verify-token-agreed-on", None, {}, "GET")
    assert (status, echoed) == (200, b"<script>1158201444")
    assert response_headers["content-type"] == "text/plain; charset=utf-8"
    assert (response_headers["x-content-type-options"], response_headers["cache-control"]) == ("nosniff", "no-store")
    assert response_headers["content-security-policy"].startswith("default-src 'none'")
    status, _, body = await send(client, f"{url}{request}verify-token-another", None, {}, "GET")
    assert status == 401
    assert b"1158201444" not in body
    usual = await send(client, url, None, {}, "GET")
    assert usual[0] == 405
    assert await send(client, f"{url}?hub.mode=subscribe&hub.challenge=1&hub.challenge=2", None, {}, "GET") == usual
    assert await send(client, url.replace("asking", "erp-orders") + request, None, {}, "GET") == usual
    assert await send(client, url.replace("asking", "nobody") + request, None, {}, "GET") == usual
    assert (await send(client, f"{url}{request}verify-token-agreed-on", None, {}, "HEAD"))[0] == 405
    written = capfd.readouterr().out
    assert '"source_name":"asking","event_type":"challenge","delivery_status":"ignored","http_status":200' in written
    assert '"reason":"not_verified"' in written
    for hidden in ("1158201444", "verify-token", "hub."):
        assert hidden not in written
    assert await store.quarantine.sources() == []


async def test_post_challenge_is_answered_before_verification(
    settings: Settings, store: Store, extra_sources: Mapping[str, Source], serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store, extra_sources) + "/webhooks/graph"
    text = {"content-type": "text/plain"}
    for token in ("", "/x", f"/{TOKEN}"):  # independent of the path token
        status, _, echoed = await send(client, f"{url}{token}?validationToken=Validation%3A+Testing", b"", text)
        assert (status, echoed) == (200, b"Validation: Testing")
    assert (await send(client, f"{url}/x", BODY, {"content-type": "application/json"}))[0] == 401
    assert (await send(client, f"{url}/{TOKEN}", BODY, {"content-type": "application/json"}))[0] == 202


async def test_header_challenge_is_answered_with_the_value_of_the_header(
    *,
    settings: Settings,
    store: Store,
    extra_sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    url = await serve(settings, store, extra_sources) + "/webhooks/okta"
    status, _, body = await send(client, url, None, {"X-Okta-Verification-Challenge": "Me_rShK8"}, "GET")
    assert (status, body) == (200, b'{"verification":"Me_rShK8"}')
    status, _, _ = await send(client, url, None, {}, "GET")
    assert status == 405


async def test_head_handshake_is_answered_200(
    *,
    settings: Settings,
    store: Store,
    extra_sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    url = await serve(settings, store, extra_sources) + "/webhooks/trello"
    for method, expected in (("HEAD", 200), ("GET", 405), ("HEAD", 200), ("POST", 415)):
        status, _, body = await send(client, url, None, {}, method)
        assert (status, method == "HEAD" and body) == (expected, b"" if method == "HEAD" else False)


async def test_content_types_of_a_source_accept_other_media_types(
    *,
    settings: Settings,
    store: Store,
    extra_sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    url = await serve(settings, store, extra_sources)
    authorization = {"authorization": f"Bearer {TOKEN}"}
    for name, media, expected in (
        ("trello", "text/plain; charset=UTF-8", 202),
        ("trello", "application/json", 202),
        ("trello", "text/html", 415),
        ("asking", "text/plain", 415),
    ):
        status, _, body = await send(client, f"{url}/webhooks/{name}", BODY, authorization | {"content-type": media})
        assert status == expected, (name, media, body)
    status, _, body = await send(
        client, f"{url}/webhooks/trello", b"a=b", authorization | {"content-type": "text/plain"}
    )
    assert (status, json.loads(body)["code"]) == (400, "malformed_payload")


async def test_challenge_response_cannot_be_used_as_a_signature(
    *,
    settings: Settings,
    store: Store,
    extra_sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
) -> None:
    url = await serve(settings, store, extra_sources) + "/webhooks/x"
    status, _, body = await send(client, url, None, {}, "GET")
    assert status == 405
    status, _, body = await send(client, f"{url}?crc_token=abc", None, {}, "GET")
    digest = base64.b64encode(hmac.digest(b"slack-secret", b"abc", "sha256")).decode()
    assert (status, json.loads(body)) == (200, {"response_token": f"sha256={digest}"})
    request = f"{url}?{urlencode({'crc_token': BODY.decode()})}"
    status, _, _ = await send(client, request, None, {}, "GET")
    assert status == 405
    headers = {"content-type": "application/json", "x-sig": f"sha256={digest}"}
    status, _, _ = await send(client, url, b"abc", headers)
    assert status == 400  # the signature is valid, but the body is not JSON


async def test_challenges_count_against_the_address(
    make_settings: Callable[..., Settings], store: Store, extra_sources: Mapping[str, Source], serve: Serve,
    client: aiohttp.ClientSession,
) -> None:  # fmt: skip
    url = await serve(make_settings(address_rejections_per_second_max=1), store, extra_sources)
    statuses = [(await send(client, f"{url}/webhooks/graph?validationToken=1", b"", {}))[0] for _ in range(12)]
    assert (statuses[0], statuses[-1]) == (200, 503)
