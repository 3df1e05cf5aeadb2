"""No secret of a destination is stored, logged, shown or in an error: secrets of every kind are planted and searched.

The servers repeat in their answers what was sent to them. `VISIBLE` is no secret, is answered as well, and must be
found: it shows that the search works.
"""

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from msgspec import Struct, structs

from service.destinations.registry import CONFIG_TYPE, Destinations, DestinationSetup
from service.errors import WaybillError
from service.exchange_text import format_curl, format_exchange
from service.http_client import HttpClient
from service.management.operations import AdminOperations
from service.settings import Settings
from tests.service.ingress.admin.conftest import CONFIG, installation_of
from tests.service.management.conftest import ANN
from tests.workers.harness import WorkerHarness, open_harness
from tests.workers.mail_server import PASSWORD, running_mail_server
from tests.workers.stored_texts import stored_texts

pytestmark = [pytest.mark.store, pytest.mark.slow]

VISIBLE = "visible-4711"
ACTIONS = {
    "http": f"do: http, path: \"/orders/{{id}}\", headers: {{X-Shown: {VISIBLE}}}, body: {{id: '{{id}}'}}",
    "slack": f"do: slack, text: {VISIBLE}",
    "teams": f"do: teams, text: {VISIBLE}",
    "webhook": f"do: webhook, values: {VISIBLE}",
    "email": f"do: email, to: [ops@example.com], subject: {VISIBLE}, text: x",
}
ENV = {name: {"env": name} for name in ("TOKEN", "ID", "SECRET", "PASSWORD", "PROXY", "URL", "WHSEC", "WHSK", "PEM")}
OAUTH = {"type": "oauth2_client_credentials", "client_id": ENV["ID"], "client_secret": ENV["SECRET"]}
HMAC = {"scheme": "hmac", "secret": ENV["SECRET"], "header": "X-Sig", "signed": "{timestamp}.{body}",
        "timestamp_header": "X-Time"}  # fmt: skip
MESSAGES = {"scheme": "http_message_signatures", "key_id": "k"}
DESTINATIONS: dict[str, dict[str, Any]] = {
    "bearer": {"auth": {"type": "bearer", "token": ENV["TOKEN"]}},
    "header": {"auth": {"type": "header", "name": "X-Api-Key", "value": ENV["TOKEN"]}},
    "basic": {"auth": {"type": "basic", "username": "shop", "password": ENV["PASSWORD"]}},
    "oauth": {"auth": OAUTH | {"token_url": "TARGET/token"}},
    "oauth-rejected": {"auth": OAUTH | {"token_url": "TARGET/rejected"}},
    "fixed-headers": {"headers": {"X-Tenant": ENV["TOKEN"]}},
    "hmac": {"signature": HMAC},
    "standard-webhooks": {"signature": {"scheme": "standard_webhooks", "secrets": [ENV["WHSEC"], ENV["WHSK"]]}},
    "rfc9421-hmac": {"signature": MESSAGES | {"secret": ENV["SECRET"], "algorithm": "hmac-sha256"}},
    "rfc9421-key": {"signature": MESSAGES | {"secret": ENV["PEM"], "algorithm": "ed25519"}},
    "mutual-tls": {"url": "https://localhost:TLS", "tls": {
        "certificate_file": "FOLDER/leaf.pem", "key_file": "FOLDER/leaf.key", "ca_file": "FOLDER/ca.pem"}},
    "proxy": {"proxy": ENV["PROXY"]},
    "secret-url": {"url": ENV["URL"]},
    "slack": {"kind": "slack", "url": ENV["URL"]},
    "teams": {"kind": "teams", "url": ENV["URL"]},
    "webhook": {"kind": "webhook", "secrets": [ENV["WHSEC"], ENV["WHSK"]],
                "auth": {"type": "bearer", "token": ENV["TOKEN"]}},
    "email": {"kind": "email", "host": "localhost", "port": "MAIL", "from": "shop@example.com", "username": "shop",
              "password": {"env": "MAILPASSWORD"}, "tls": {"ca_file": "FOLDER/ca.pem"}},
}  # fmt: skip


class Servers(Struct):
    """Real servers, and what is planted: a name for each text that must not be found."""

    replacements: Mapping[str, Any]
    environ: Mapping[str, str]
    planted: Mapping[str, str]

    def config(self, kind: str) -> dict[str, Any]:
        """Return the configuration of a destination, with the addresses of the servers."""
        defaults = {} if kind == "email" else {"url": "TARGET/base", "allow_private_host": True}
        written = {"kind": "http", "retry": {"statuses": [400]}, **defaults, **DESTINATIONS[kind]}
        encoded = msgspec.json.encode(written).decode()
        for name, value in self.replacements.items():
            encoded = encoded.replace(f'"{name}"', str(value)) if name == "MAIL" else encoded.replace(name, str(value))
        return msgspec.json.decode(encoded)


async def repeat_request(request: web.Request) -> web.Response:
    """Answer first 500, then 422, with the request as text; tokens at /token."""
    alone = request.headers.get("Authorization", "").partition(" ")[2]
    request_text = f"{request.method} {request.url} {dict(request.headers)} {await request.text()}"
    text = f"{VISIBLE} wrong {alone} {request_text}"
    if request.path == "/token":
        return web.json_response({"access_token": "planted-access-token", "expires_in": 3600})
    if request.path == "/rejected":
        return web.Response(status=422, text=text)
    calls: list[str] = request.app[CALLS]
    calls.append(request.path)
    return web.Response(status=500 if len(calls) == 1 else 422, text=text)


CALLS = web.AppKey("calls", list[str])


@pytest.fixture
async def servers(tmp_path: Path, free_port: int) -> AsyncIterator[Servers]:
    with running_mail_server(tmp_path, free_port) as mailbox:
        login = _base64(f"\0shop\0{PASSWORD}")
        mailbox.data_answer = f"550 {VISIBLE} wrong: {PASSWORD} {login} {_base64(PASSWORD)}"
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
        tls.load_cert_chain(tmp_path / "leaf.pem", tmp_path / "leaf.key")
        tls.verify_mode = ssl.CERT_REQUIRED
        app = web.Application()
        app[CALLS] = []
        app.router.add_route("*", "/{path:.*}", repeat_request)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await web.TCPSite(runner, "localhost", 0, ssl_context=tls).start()
        plain, secure = (address[1] for address in runner.addresses[:2])
        url = f"http://127.0.0.1:{plain}"
        secrets = {name: f"planted-{name.lower()}-4711" for name in ("TOKEN", "ID", "SECRET", "PASSWORD", "PATH")}
        key = ed25519.Ed25519PrivateKey.generate()
        whsec, whsk = _base64("planted-signing-secret-4711"), b64encode(key.private_bytes_raw()).decode()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        proxy_password = "planted-proxy-4711"
        environ = {
            **secrets, "MAILPASSWORD": PASSWORD, "WHSEC": f"whsec_{whsec}", "WHSK": f"whsk_{whsk}", "PEM": pem,
            "PROXY": url.replace("//", f"//u:{proxy_password}@"), "URL": f"{url}/{secrets['PATH']}?sig=planted-query",
        }  # fmt: skip
        planted = {
            **secrets, "MAILPASSWORD": PASSWORD, "WHSEC": whsec, "WHSK": whsk, "QUERY": "planted-query",
            "PROXY": proxy_password, "access token": "planted-access-token",
            "basic in Base64": _base64(f"shop:{secrets['PASSWORD']}"),
            "proxy in Base64": _base64(f"u:{proxy_password}"),
            "mail in Base64": login,
            "mail password in Base64": _base64(PASSWORD),
            **_lines("PEM", pem), **_lines("key of mutual TLS", (tmp_path / "leaf.key").read_text()),
        }  # fmt: skip
        replaced = {"TARGET": url, "localhost:TLS": f"localhost:{secure}", "FOLDER": tmp_path, "MAIL": free_port}
        yield Servers(replaced, environ, planted)
        await runner.cleanup()


@pytest.mark.parametrize("kind", DESTINATIONS)
async def test_no_planted_secret_is_found(
    make_settings: Callable[..., Settings], servers: Servers, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config = servers.config(kind)
    async with open_harness(make_settings(backoff_base_seconds=0.02)) as harness:
        harness.declare(servers.environ, erp=config)
        action = ACTIONS[config["kind"]]
        await harness.publish(f"[{{id: all, type: purchase_order, actions: [{{id: a, destination: erp, {action}}}]}}]")
        event_id = await harness.send("po-1")
        await harness.run_worker()
        stored = [text async for text in stored_texts(harness.store)]
        shown = await everything_shown(harness, servers, config, event_id)
        logged = str(harness.lines)
    printed = capfd.readouterr()
    for place, texts in (("store", stored), ("log", [logged, printed.out, printed.err]), ("answers", shown)):
        found = {name for name, secret in servers.planted.items() if any(secret in text for text in texts)}
        assert (place, found) == (place, set())
        control = event_id if place == "log" else VISIBLE  # log lines have no texts of targets
        assert (place, any(control in text for text in texts)) == (place, True)


async def everything_shown(
    harness: WorkerHarness, servers: Servers, config: Mapping[str, Any], event_id: str
) -> Sequence[str]:
    """Return the answers of all operations that show the event or the destination, also those for administrators."""
    configs = structs.replace(CONFIG, destinations={"erp": msgspec.convert(config, CONFIG_TYPE)})
    async with HttpClient(harness.settings, {"127.0.0.1"}) as client:
        setup = DestinationSetup(http_client=client, environ=servers.environ)
        made = Destinations(configs.destinations, setup)
        installation = structs.replace(
            installation_of(lambda: harness.store, configs), destinations=lambda: made.by_name
        )
        operations = AdminOperations(installation, structs.replace(ANN, role="admin"))
        views = [await operations.get_event(event_id, raw=raw) for raw in (False, True)]
        found: list[Any] = [*views, *[await operations.explain_event(event_id, raw=raw) for raw in (False, True)]]
        found += [await operations.group_dead_letters(), await operations.list_changes(10)]
        found += [await operations.list_destinations(), await operations.get_destination("erp")]
        for check in (operations.test_destination("erp", "POST", ""), made.by_name["erp"].check()):
            try:
                found.append(await check)
            except WaybillError as error:
                found.append(f"{error!r} {error}")
    exchanges = [entry["exchange"] for view in views for entry in view.history if "exchange" in entry]
    texts = [line for each in exchanges for line in (*format_exchange(each), *format_curl(each))]
    return [*texts, *(msgspec.json.encode(each, enc_hook=str).decode() for each in found)]


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _lines(name: str, pem: str) -> dict[str, str]:
    """Return the lines of a private key without its frame."""
    return {f"{name}, line {number}": line for number, line in enumerate(pem.splitlines()[1:-1])}
