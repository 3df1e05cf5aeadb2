"""Egress: proxy, certificate authorities, and both address families, each against real servers."""

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.egress import build_proxies
from service.errors import ConfigError, PermanentError, TransientError
from service.exchange import Exchange
from service.http_client import HttpClient
from service.http_url import parse_http_url
from service.settings import Settings, load_settings
from tests.service.http_responses import head, server_of

CERTIFICATE = Path(__file__).parents[1] / "samples" / "tls" / "untrusted.pem"
OK = head("200 OK", "Content-Length: 2") + b"{}"


class Proxy:
    """HTTP proxy that sends every call to `upstream`, and answers CONNECT with `status`."""

    def __init__(self) -> None:
        self.port = self.upstream_port = 0
        self.status = b"200 OK"
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(request)
        if not request.startswith(b"CONNECT ") or self.status != b"200 OK":
            writer.write(OK if not request.startswith(b"CONNECT ") else b"HTTP/1.1 " + self.status + b"\r\n\r\n")
            writer.close()
            return
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
    finally:
        writer.close()


@asynccontextmanager
async def running_proxy() -> AsyncGenerator[Proxy]:
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    yield proxy
    server.close()


@asynccontextmanager
async def running_tls_server() -> AsyncGenerator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def get(client: HttpClient, url: str, *, guarded: bool = False, seconds_max: float = 30) -> tuple[Any, Exchange]:
    exchange = Exchange()
    answer = await client.request(
        "GET", url, headers={}, body=None, seconds_max=seconds_max, bytes_max=99, guarded=guarded, exchange=exchange
    )
    return answer, exchange


def test_the_environment_is_ignored_unless_a_setting_asks_for_it() -> None:
    environ = {"HTTPS_PROXY": "http://p.test:3128", "http_proxy": "q.test:80", "no_proxy": "a.test,.b.test,10.0.0.0/8"}
    target = parse_http_url("https://erp.test/")
    assert build_proxies(Settings(), environ).find(target) is None
    proxies = build_proxies(Settings(outbound_proxy_variables=True, outbound_no_proxy="own.test"), environ)
    assert proxies.find(target) == parse_http_url("http://p.test:3128")
    assert proxies.find(parse_http_url("http://erp.test/")) == parse_http_url("http://q.test:80")
    own = build_proxies(Settings(outbound_proxy_variables=True, outbound_proxy_url="http://own.test:1"), environ)
    assert own.find(target) == own.find(parse_http_url("http://a.test/")) == parse_http_url("http://own.test:1")


@pytest.mark.parametrize(
    ("url", "is_direct"),
    [
        ("https://a.test/", True),
        ("https://A.TEST./", True),
        ("https://sub.a.test/", True),
        ("https://nota.test/", False),
        ("https://c.test/", False),
        ("https://c.test:8443/", True),
        ("https://x.d.test/", True),
        ("https://10.1.2.3/", True),
        ("https://11.1.2.3/", False),
        ("https://[fd00::1]/", True),
        ("https://localhost:8081/", True),
        ("https://127.0.0.1:8081/", True),
        ("https://[::1]/", True),
    ],
)
def test_hosts_of_no_proxy_are_called_directly(url: str, is_direct: bool) -> None:  # noqa: FBT001
    written = "a.test, c.test:8443, *.d.test, 10.0.0.0/8, fd00::/8"
    settings = Settings(outbound_proxy_url="http://p.test:3128", outbound_no_proxy=written)
    assert (build_proxies(settings, {}).find(parse_http_url(url)) is None) == is_direct
    everything = Settings(outbound_proxy_url="http://p.test:3128", outbound_no_proxy="*")
    assert build_proxies(everything, {}).find(parse_http_url(url)) is None


@pytest.mark.parametrize(
    "url", ["socks5://user:s3cret@p.test:1", "https://user:s3cret@p.test", "http://", "http://[s3cret"]
)
async def test_an_unusable_proxy_is_a_config_error_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        HttpClient(Settings(outbound_proxy_url=url))
    assert raised.value.path == "WAYBILL_OUTBOUND_PROXY_URL"
    assert "s3cret" not in str(raised.value)
    with pytest.raises(ConfigError, match="HTTPS_PROXY"):
        build_proxies(Settings(outbound_proxy_variables=True), {"HTTPS_PROXY": url})


def test_the_proxy_can_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    path.write_text("http://user:s3cret@p.test:3128\n")
    settings = load_settings({"WAYBILL_OUTBOUND_PROXY_URL_FILE": str(path), "WAYBILL_OUTBOUND_PROXY_VARIABLES": "true"})
    assert settings.outbound_proxy_url == "http://user:s3cret@p.test:3128"


async def test_a_call_through_a_proxy_reaches_the_target_with_its_certificate_checked() -> None:
    async with running_tls_server() as port, running_proxy() as proxy:
        proxy.upstream_port = port
        settings = Settings(
            outbound_proxy_url=f"http://user:s3cret@127.0.0.1:{proxy.port}", outbound_ca_file=str(CERTIFICATE)
        )
        async with HttpClient(settings) as client:
            with pytest.raises(TransientError) as wrong_name:
                await get(client, "https://erp.invalid/")
            assert wrong_name.value.kind == "tls"
            assert proxy.heads[0].startswith(b"CONNECT erp.invalid:443 HTTP/1.1\r\n")
            token = base64.b64encode(b"user:s3cret")
            assert b"Proxy-Authorization: Basic " + token in proxy.heads[0]
            answer, exchange = await get(client, "http://erp.invalid/a?b=1", guarded=True)
            assert (answer.status, exchange.connection.peer) == (200, f"127.0.0.1:{proxy.port}")
            assert proxy.heads[-1].startswith(b"GET http://erp.invalid/a?b=1 HTTP/1.1\r\n")


async def test_errors_of_the_proxy_are_not_answers_of_the_target() -> None:
    async with running_proxy() as proxy:
        settings = Settings(outbound_proxy_url=f"http://u:s3cret@127.0.0.1:{proxy.port}")
        async with HttpClient(settings) as client:
            for status in (b"407 Proxy Authentication Required", b"403 Forbidden", b"502 Bad Gateway"):
                proxy.status = status
                with pytest.raises(TransientError) as raised:
                    await get(client, "https://erp.invalid/")
                assert (raised.value.kind, raised.value.http_status) == ("connect", None)
                assert (
                    f"status {status[:3].decode()} to CONNECT erp.invalid from the proxy 127.0.0.1:{proxy.port}"
                    in str(raised.value)
                )
                assert "s3cret" not in str(raised.value)
    async with HttpClient(Settings(outbound_proxy_url=f"http://127.0.0.1:{proxy.port}")) as client:
        with pytest.raises(TransientError, match=r"cannot connect to the proxy 127\.0\.0\.1") as rejected:
            await get(client, "https://erp.invalid/")
        assert rejected.value.kind == "connect"


async def test_a_guarded_call_through_a_proxy_blocks_private_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        address = "10.0.0.1" if host == "inside.test" else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr("service.name_resolver.NameResolver.__init__.__defaults__", (lookup,))
    async with running_proxy() as proxy:
        settings = Settings(outbound_proxy_url=f"http://proxy.test:{proxy.port}")
        async with HttpClient(settings) as client:
            for url in ("http://inside.test/", "http://10.0.0.1/", "http://[fd00::1]/"):
                with pytest.raises(PermanentError) as raised:
                    await get(client, url, guarded=True)
                assert raised.value.kind == "address_blocked"
            assert proxy.heads == []
            assert (await get(client, "http://inside.test/"))[0].status == 200


async def test_connection_goes_to_the_checked_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name server answers with an allowed address first, and with a private one later (DNS rebinding)."""
    lookups: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        lookups.append(host)
        address = "127.0.0.1" if len(lookups) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr("service.name_resolver.NameResolver.__init__.__defaults__", (lookup,))
    async with server_of(OK) as (url, _):
        port = url.rpartition(":")[2]
        async with HttpClient(Settings(), {"127.0.0.1"}) as client:
            _, exchange = await get(client, f"http://rebind.test:{port}/", guarded=True)
        assert (exchange.connection.peer, lookups) == (f"127.0.0.1:{port}", ["rebind.test"])
        async with HttpClient(Settings(), {"127.0.0.1"}) as client:
            with pytest.raises(PermanentError) as blocked:
                await get(client, f"http://rebind.test:{port}/", guarded=True)
        assert blocked.value.kind == "address_blocked"


async def test_a_certificate_authority_of_the_setting_is_trusted_and_its_facts_are_kept() -> None:
    async with running_tls_server() as port:
        async with HttpClient(Settings()) as client:
            with pytest.raises(TransientError) as raised:
                await get(client, f"https://localhost:{port}/")
            assert raised.value.kind == "tls"
        async with HttpClient(Settings(outbound_ca_file=str(CERTIFICATE))) as client:
            answer, exchange = await get(client, f"https://localhost:{port}/")
    tls = exchange.connection.tls
    assert answer.status == 200
    assert tls is not None
    assert (tls.version, tls.subject, tls.expires_at) == ("TLSv1.3", "CN=localhost", "2126-10-28T00:20:06Z")
    assert tls.cipher.startswith("TLS_")
    assert exchange.connection.peer.endswith(f":{port}")


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_unusable_file_of_authorities_is_a_config_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError) as raised:
        HttpClient(Settings(outbound_ca_file=str(path)))
    assert raised.value.path == "WAYBILL_OUTBOUND_CA_FILE"


async def test_an_address_that_does_not_answer_does_not_delay_the_other_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name has two addresses, and connections to the first one hang: its queue is full."""
    lookups: list[str] = []
    family, first = (socket.AF_INET6, "::1") if socket.has_dualstack_ipv6() else (socket.AF_INET, "127.0.0.2")
    async with server_of(OK) as (url, _):
        port = int(url.rpartition(":")[2])

        def lookup(host: str, asked: int, **_: Any) -> list[Any]:
            lookups.append(host)
            return [
                (family, socket.SOCK_STREAM, 6, "", (first, asked)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", asked)),
            ]

        monkeypatch.setattr("service.name_resolver.NameResolver.__init__.__defaults__", (lookup,))
        with socket.socket(family) as full:
            full.bind((first, port))
            full.listen(0)
            waiting = [socket.socket(family) for _ in range(4)]
            for each in waiting:
                each.settimeout(0)
                each.connect_ex((first, port))
            async with HttpClient(Settings(), {"both.test"}) as client:
                # Without the race the first address uses up the time to connect, which is 4 s here.
                answer, exchange = await get(client, f"http://both.test:{port}/", guarded=True, seconds_max=4)
            for each in waiting:
                each.close()
    assert (answer.status, exchange.connection.peer) == (200, f"127.0.0.1:{port}")
    assert lookups == ["both.test"]
