"""HTTP destination against a real server: credentials, signatures, mutual TLS, limits and mistakes at load."""

import asyncio
import hashlib
import ssl
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from msgspec import Struct

from service.destinations.http import HttpConfig, HttpDestination
from service.destinations.http.request import OutgoingRequest, SendContext, format_key, join_url
from service.destinations.kind import DestinationDependencies
from service.errors import ConfigError, Deferred, PermanentError, TransientError
from service.events import Delivery
from service.http_client import HttpClient
from service.secrets import SecretRef
from service.settings import Settings
from service.signatures import Hmac, HttpMessageSignatures
from service.store import Store
from service.throttles.throttles import SharedThrottles
from tests.certificates import write_server_certificate
from tests.service.test_egress import running_proxy

SECRET = "planted-secret-0815"
ENVIRON = {"S": SECRET, "ID": "client-7", "URL": "", "BAD": "no url", "SOCKS": f"socks5://{SECRET}@p.test"}
NOW = 1_772_366_400.0


class Target(Struct):
    """A real server: notes requests, and answers 401 to all but `accepted`."""

    url: str = ""
    got: list[tuple[str, str, Mapping[str, str], bytes]] = []
    accepted: str = ""
    tokens: int = 0
    most: int = 0
    now: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append((request.method, request.raw_path, headers, await request.read()))
        if request.path == "/token":
            self.tokens += 1
            self.accepted = f"Bearer token-{self.tokens}"
            return web.json_response({"access_token": f"token-{self.tokens}", "expires_in": 3600})
        if self.accepted and headers.get("authorization") != self.accepted:
            return web.json_response({"error": f"wrong: {headers.get('authorization')}"}, status=401)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        self.now -= 1
        return web.json_response({"echo": headers.get("authorization", "")})


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    made, app = Target(got=[]), web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(Settings()) as opened:
        yield opened


def build(client: HttpClient, url: Any, environ: Mapping[str, str] = ENVIRON, **fields: Any) -> HttpDestination:
    config = msgspec.convert({"kind": "http", "url": url, "allow_private_host": True, **fields}, HttpConfig)
    return HttpDestination(
        "erp", config, DestinationDependencies(http_client=client, environ=environ, clock=lambda: NOW)
    )


async def send(destination: HttpDestination, path: str = "/a", **fields: Any) -> None:
    await destination.send(OutgoingRequest(method="PUT", path=path, **fields), SendContext(idempotency_key="e:r:a:0"))


def oauth(url: str) -> dict[str, Any]:
    """Return credentials whose token server is at `url`."""
    client = {"client_id": {"env": "ID"}, "client_secret": {"env": "S"}}
    return {"type": "oauth2_client_credentials", "token_url": f"{url}/token", **client}


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        ({"type": "bearer", "token": {"env": "S"}}, "authorization", f"Bearer {SECRET}"),
        ({"type": "header", "name": "X-Api-Key", "value": {"env": "S"}}, "x-api-key", SECRET),
        ({"type": "basic", "username": "u", "password": {"env": "ID"}}, "authorization", "Basic dTpjbGllbnQtNw=="),
    ],
)
async def test_credentials_are_sent(target: Target, client: HttpClient, auth: Any, name: str, value: str) -> None:
    await send(
        build(client, target.url + "/api?v=1", auth=auth, headers={"X-Tenant": "7"}),
        "/orders/1?x=2",
        query=[("q", "ä")],
    )
    ((method, path, headers, _),) = target.got
    assert (method, path) == ("PUT", "/api/orders/1?v=1&x=2&q=%C3%A4")
    assert (headers[name], headers["x-tenant"]) == (value, "7")


async def test_oauth_token_is_cached_and_renewed_once_after_401(target: Target, client: HttpClient) -> None:
    erp = build(client, target.url, auth=oauth(target.url))
    await send(erp)
    await send(erp)
    assert target.tokens == 1
    target.accepted = "Bearer token-2"
    await send(erp)
    assert target.tokens == 2
    assert [path for _, path, _, _ in target.got].count("/a") == 4


async def test_token_server_with_a_private_address_is_blocked_as_the_target_is(
    target: Target, client: HttpClient
) -> None:
    erp = build(client, "http://erp.invalid", allow_private_host=False, auth=oauth(target.url))
    with pytest.raises(PermanentError) as blocked:
        await send(erp)
    assert (blocked.value.kind, target.tokens) == ("address_blocked", 0)


async def test_changed_file_is_used_without_a_restart_and_no_secret_is_in_the_error(
    target: Target, client: HttpClient, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("old-token")
    erp = build(client, target.url, auth={"type": "bearer", "token": {"file": str(file)}})
    target.accepted = "Bearer new-token"
    with pytest.raises(PermanentError) as rejected:
        await send(erp)
    assert (rejected.value.kind, "old-token" in str(rejected.value)) == ("config_unauthorized", False)
    assert str(rejected.value).startswith("erp answered 401: wrong:")
    file.write_text("new-token")
    await send(erp)


async def test_signatures_verify(target: Target, client: HttpClient) -> None:
    hmac = {"scheme": "hmac", "secret": {"env": "S"}, "header": "X-Sig", "signed": "{timestamp}.{body}",
            "timestamp_header": "X-Time", "prefix": "v1="}  # fmt: skip
    await send(build(client, target.url, signature=hmac), body=b"{}")
    _, _, headers, body = target.got[-1]
    verifier = Hmac(
        secrets=(SecretRef(env="S"),),
        header="X-Sig",
        signed="{timestamp}.{body}",
        timestamp_header="X-Time",
        prefix="v1=",
    ).build(ENVIRON, "x")
    verifier.verify(Delivery("s", headers, body, NOW))

    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    message = {"scheme": "http_message_signatures", "secret": {"env": "K"}, "algorithm": "ed25519", "key_id": "k 1"}
    await send(build(client, target.url, {"K": pem.decode()}, signature=message), "/a?b=1", body=b"{}")
    method, _, headers, body = target.got[-1]
    messages = HttpMessageSignatures(
        algorithm="ed25519",
        components=("@method", "@target-uri", "content-digest"),
        key_id="k 1",
        url=f"{target.url}/a",
        public_keys=(public.decode(),),
    )
    messages.build({}, "x").verify(Delivery("s", headers, body, NOW, query="b=1", method=method))


async def test_mutual_tls(target: Target, client: HttpClient, tmp_path: Path) -> None:
    write_server_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(tmp_path / "leaf.pem", tmp_path / "leaf.key")
    context.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", target.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
    url = f"https://localhost:{runner.addresses[0][1]}"
    files = {name: str(tmp_path / file) for name, file in (("certificate_file", "leaf.pem"), ("key_file", "leaf.key"))}
    await send(build(client, url, tls={**files, "ca_file": str(tmp_path / "ca.pem")}))
    assert len(target.got) == 1
    # The token server has the same authority, and the same certificate opens it.
    await send(build(client, url, tls={**files, "ca_file": str(tmp_path / "ca.pem")}, auth=oauth(url)))
    assert [path for _, path, _, _ in target.got] == ["/a", "/token", "/a"]
    for tls in (None, {"ca_file": str(tmp_path / "ca.pem")}):
        with pytest.raises(TransientError):
            await send(build(client, url, tls=tls))
    with pytest.raises(ConfigError) as broken:
        build(client, url, tls={"certificate_file": str(tmp_path / "leaf.pem"), "key_file": str(tmp_path / "ca.pem")})
    assert broken.value.path == "destinations.erp.tls.certificate_file"
    await runner.cleanup()


async def test_proxy_of_a_destination_replaces_the_proxy_of_the_settings(
    target: Target, tmp_path: Path, free_port: int
) -> None:
    password = tmp_path / "proxy"
    async with running_proxy() as proxy, HttpClient(Settings(outbound_proxy_url="http://127.0.0.1:9")) as client:
        password.write_text(f"http://user:{SECRET}@127.0.0.1:{proxy.port}")
        erp = build(client, "http://erp.invalid", proxy={"file": str(password)})
        await send(erp)
        assert proxy.heads[0].startswith(b"PUT http://erp.invalid/a HTTP/1.1\r\n")
        assert b64encode(f"user:{SECRET}".encode()) in proxy.heads[0]
        asked = build(client, "http://erp.invalid", proxy={"file": str(password)}, auth=oauth("http://auth.invalid"))
        with pytest.raises(TransientError, match="token has no access_token: check token_url"):
            await send(asked)  # the answer is that of the proxy
        assert proxy.heads[-1].startswith(b"POST http://auth.invalid/token HTTP/1.1\r\n")
        proxy.status = b"403 Forbidden"
        secure = build(client, "https://erp.invalid", proxy={"file": str(password)})
        with pytest.raises(TransientError, match=r"status 403 .* check destinations\.erp\.proxy") as rejected:
            await send(secure)
        assert (rejected.value.kind, SECRET in str(rejected.value)) == ("connect", False)
        await send(build(client, target.url, proxy="direct"))
        assert len(target.got) == 1
        password.write_text(f"socks5://{SECRET}@p.test")
        with pytest.raises(ConfigError) as unusable:
            build(client, "http://erp.invalid", proxy={"file": str(password)})
        assert (unusable.value.path, SECRET in str(unusable.value)) == ("destinations.erp.proxy", False)
        with pytest.raises(TransientError, match=f"the proxy 127.0.0.1:{free_port}"):
            await send(build(client, "http://erp.invalid", proxy=f"http://127.0.0.1:{free_port}"))


async def test_idempotency_key_has_the_configured_header_and_form(target: Target, client: HttpClient) -> None:
    await send(build(client, target.url, idempotency={"header": "X-Request-Id", "form": "hash32"}))
    ((_, _, headers, _),) = target.got
    assert headers["x-request-id"] == format_key("e:r:a:0", "hash32")
    assert "idempotency-key" not in headers


async def test_secret_url_is_sent_and_not_shown(target: Target, client: HttpClient) -> None:
    erp = build(client, {"env": "URL"}, {"URL": f"{target.url}/services/{SECRET}?t={SECRET}"})
    probe = await erp.probe("POST", "/x")
    assert target.got[0][1] == f"/services/{SECRET}/x?t={SECRET}"
    assert SECRET not in repr(probe)
    assert erp.config.shown_url == "[secret URL]"


@pytest.mark.parametrize("path", ["/../admin", "/a/./b", "/a/..", "/..?x=1"])
def test_path_that_leaves_the_url_is_rejected(path: str) -> None:
    with pytest.raises(PermanentError):
        join_url("https://erp.test/api", path, ())


def test_key_has_the_form_of_the_destination_and_is_stable() -> None:
    digest = hashlib.sha256(b"e:r:a:0").digest()
    assert format_key("e:r:a:0", "uuid") == str(uuid.UUID(bytes=digest[:16], version=4))
    forms = [format_key("e:r:a:0", form) for form in ("uuid", "hash32", "full")]
    assert [len(each) for each in forms] == [36, 32, 7]
    assert forms[0] == format_key("e:r:a:0", "uuid") != format_key("e:r:a:1", "uuid")


@pytest.mark.store
async def test_rate_and_concurrency_are_shared_by_processes(target: Target, client: HttpClient, store: Store) -> None:
    fields = {"url": target.url, "allow_private_host": True, "limits": {"in_flight": 2, "per_second": 50, "burst": 3}}
    config = msgspec.convert({"kind": "http", **fields}, HttpConfig)
    processes = [SharedThrottles(store.limits, store.tokens, 5.0) for _ in range(3)]
    erps = [
        HttpDestination(
            "erp",
            config,
            DestinationDependencies(
                http_client=client, environ={}, throttle=process.destination("erp", config.throttle_config())
            ),
        )
        for process in processes
    ]

    waits: set[str] = set()

    async def send_all(erp: HttpDestination) -> int:
        done = 0
        for _ in range(10):
            while True:
                try:
                    await send(erp)
                except Deferred as deferred:
                    waits.add(deferred.kind)
                    await asyncio.sleep(0.01)
                else:
                    done += 1
                    break
        return done

    assert sum(await asyncio.gather(*map(send_all, erps))) == 30
    assert target.most <= 2
    assert waits <= {"destination_throttled"}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"url": "https://u:p@erp.test"}, "url"),
        ({"url": "ftp://erp.test"}, "url"),
        ({"url": "https://erp.test/?api_key=1"}, "url"),
        ({"url": "https://hooks.slack.com/services/T/B/x"}, "url"),
        ({"url": {"env": "BAD"}}, "url"),
        ({"url": {"env": "NONE"}}, "url"),
        ({"headers": {"Authorization": "Bearer x"}}, "headers.Authorization"),
        ({"headers": {"Idempotency-Key": "x"}}, "headers.Idempotency-Key"),
        ({"headers": {"X": "a\nb"}}, "headers.X"),
        ({"limits": {"burst": 2}}, "limits.burst"),
        ({"retry": {"for": "31d"}}, "retry.for"),
        ({"retry": {"statuses": [409], "ambiguous_statuses": [409]}}, "retry.ambiguous_statuses"),
        ({"circuit_breaker": {"open_seconds": 61}}, "circuit_breaker.open_seconds"),
        ({"tls": {"key_file": "/none"}}, "tls.certificate_file"),
        ({"auth": {"type": "header", "name": "Host", "value": {"env": "S"}}}, "auth.name"),
        ({"idempotency": {"header": "Host"}}, "idempotency.header"),
        ({"idempotency": {"header": "Content-Type"}}, "idempotency.header"),
        (
            {"idempotency": {"header": "authorization"}, "auth": {"type": "bearer", "token": {"env": "S"}}},
            "idempotency.header",
        ),
        (
            {"idempotency": {"header": "X-KEY"}, "auth": {"type": "header", "name": "X-Key", "value": {"env": "S"}}},
            "idempotency.header",
        ),
        ({"proxy": "socks5://p.test"}, "proxy"),
        ({"proxy": f"http://u:{SECRET}@p.test"}, "proxy"),
        ({"proxy": {"env": "SOCKS"}}, "proxy"),
        ({"proxy": {"env": "NONE"}}, "proxy"),
        (
            {"signature": {"scheme": "hmac", "secret": {"env": "S"}, "header": "X", "signed": "{timestamp}"}},
            "signature",
        ),
        ({"signature": {"scheme": "standard_webhooks", "secrets": [{"env": "BAD"}]}}, "signature"),
        (
            {"signature": {"scheme": "http_message_signatures", "secret": {"env": "S"}, "algorithm": "ed25519"}},
            "signature",
        ),
    ],
)
def test_mistake_is_found_at_load(fields: dict[str, Any], path: str) -> None:
    config = msgspec.convert({"kind": "http", "url": "https://erp.test", **fields}, HttpConfig)
    found = list(config.check("destinations.erp", ENVIRON))
    assert any(each.path.startswith(f"destinations.erp.{path}") for each in found), found
    assert not any(SECRET in str(each) for each in found)
