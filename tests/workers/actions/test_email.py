"""`email` action and destination against a real SMTP server: TLS, credentials, refusals and unknown results."""

import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct, structs

from service.destinations.email import EmailConfig
from service.errors import ConfigError, Deferred, LeaseLost, PermanentError, TransientError
from service.exchange_text import format_curl
from service.http_client import HttpClient
from service.lease import ActionLease, Lease, action_lease
from service.settings import Settings
from service.store import Store
from tests.service.rules.rule_samples import order, subject
from tests.workers.actions.action_runs import Context, destinations, inputs
from tests.workers.mail_server import NOT_TLS, PASSWORD, Mailbox, running_mail_server
from workers.actions.email import Email
from workers.processing.retry_safety import is_not_performed


class Post(Struct):
    """Running server, and a client of it."""

    port: int
    folder: Path
    client: HttpClient
    mailbox: Mailbox

    def context(self, store: Store | None = None, secret: str = PASSWORD, **fields: Any) -> Context:
        config = {
            "kind": "email", "host": "localhost", "port": self.port, "from": "shop@example.com", "username": "shop",
            "password": {"env": "P"}, "tls": {"ca_file": str(self.folder / "ca.pem")}, **fields,
        }  # fmt: skip
        return running(self.client, config, store, secret)


def running(client: HttpClient, config: Any, store: Store | None = None, password: str = PASSWORD) -> Context:
    made = destinations(client, store, {"P": password}, mail=config)
    return Context({"outbound": client, "action_timeout_seconds": 20.0, "destinations": made})


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(Settings()) as opened:
        yield opened


@pytest.fixture
def post(client: HttpClient, tmp_path: Path, free_port: int) -> Iterator[Post]:
    """Run a server that requires STARTTLS and a password."""
    with running_mail_server(tmp_path, free_port) as mailbox:
        yield Post(free_port, tmp_path, client, mailbox)


def rendered(**words: Any) -> dict[str, Any]:
    rule = {
        "destination": "mail",
        "to": ["ops@example.com"],
        "subject": "Order {reference}",
        "text": "{id} is short\n.\nß",
    }
    about = subject(order(reference="PO-1\r\nBcc: evil@example.com"))
    return inputs("email", about, **{**rule, **words})


async def test_message_is_sent_over_starttls_with_one_message_id(post: Post) -> None:
    context = post.context()
    kept = await Email.run(rendered(to=["ops@example.com", "b@example.com"]), context)
    await Email.run(rendered(), context)
    assert kept["smtp_code"] == 250
    (recipients, first), (_, second) = post.mailbox.got
    assert recipients == ["ops@example.com", "b@example.com"]
    assert first["Subject"] == "Order PO-1 Bcc: evil@example.com"
    assert (first["From"], first["To"], first["Bcc"]) == ("shop@example.com", "ops@example.com, b@example.com", None)
    assert first["Message-ID"] == second["Message-ID"]
    assert first.get_content().replace("\r\n", "\n") == "po_1 is short\n.\nß\n"  # type: ignore[attr-defined]
    exchange = context.exchange
    assert (exchange.status, exchange.response_body) == (250, b"queued as 7")
    assert exchange.connection.tls is not None
    assert PASSWORD not in repr(exchange.headers) + repr(exchange.body)
    shown = {"request": {"method": exchange.method, "url": exchange.url}}
    assert list(format_curl(shown)) == [f"# an email by smtp://localhost:{post.port}, which curl does not repeat"]


async def test_message_goes_to_all_recipients_or_to_none(post: Post) -> None:
    context = post.context()
    with pytest.raises(PermanentError, match="mail answered 550: No such user here") as rejected:
        await Email.run(rendered(to=["ops@example.com", "nobody@example.com"]), context)
    assert (rejected.value.kind, post.mailbox.got) == ("target_rejected", [])
    assert context.exchange.status == 550


async def test_message_under_an_expired_lease_is_not_sent(post: Post) -> None:
    token = action_lease.set(ActionLease(Lease(time.monotonic(), seconds=0)))
    try:
        with pytest.raises(LeaseLost):
            await Email.run(rendered(), post.context())
    finally:
        action_lease.reset(token)
    assert post.mailbox.got == []


@pytest.mark.parametrize(
    ("answer", "kind"), [("452 disk full", "target_unavailable"), ("", "reset"), (NOT_TLS, "reset")]
)
async def test_result_of_a_message_is_known_only_by_an_answer(post: Post, answer: str, kind: str) -> None:
    post.mailbox.data_answer = answer
    with pytest.raises(TransientError) as failed:
        await Email.run(rendered(), post.context())
    assert (failed.value.kind, is_not_performed(failed.value)) == (kind, answer[:1].isdigit())


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"tls": None}, "tls", "check its certificate"),
        ({"security": "none", "tls": None, "username": None, "password": None}, "target_rejected", "answered 530"),
        ({"port": 1}, "connect", "cannot connect to mail at smtp://localhost:1"),
    ],
)
async def test_message_that_was_not_sent_can_be_sent_again(post: Post, fields: Any, kind: str, words: str) -> None:
    with pytest.raises((TransientError, PermanentError), match=words) as failed:
        await Email.run(rendered(), post.context(**fields))
    assert failed.value.kind == kind
    assert not failed.value.is_sent
    assert post.mailbox.got == []


async def test_host_name_is_resolved_by_the_limited_resolver_and_its_addresses_are_raced(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections to the first address hang: its queue is full."""
    lookups: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr("service.name_resolver.NameResolver.__init__.__defaults__", (lookup,))
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.2", post.port))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - the method has no name for it
            waiting.connect_ex(("127.0.0.2", post.port))
        async with HttpClient(Settings()) as client:
            context = structs.replace(post, client=client).context(timeouts={"connect_seconds": 4})
            assert (await Email.run(rendered(), context))["smtp_code"] == 250
    assert lookups == ["localhost"]
    assert context.exchange.connection.peer == f"127.0.0.1:{post.port}"


async def test_host_name_without_an_address_is_a_connect_error(post: Post) -> None:
    with pytest.raises(TransientError, match="cannot connect to mail at smtp://nowhere") as failed:
        await Email.run(rendered(), post.context(host="nowhere.invalid"))
    assert (failed.value.kind, failed.value.is_sent) == ("connect", False)


@pytest.mark.store
async def test_rejected_password_opens_the_circuit_and_is_in_no_error(post: Post, store: Store) -> None:
    context = post.context(store, "wrong-password-4711")
    with pytest.raises(Deferred, match="535") as deferred:
        await Email.run(rendered(), context)
    assert deferred.value.kind == "credentials_rejected"
    assert "wrong-password-4711" not in str(deferred.value)


async def test_probe_logs_in_and_sends_nothing(post: Post) -> None:
    context = post.context()
    probe = await context.resources["destinations"].by_name["mail"].probe("GET", "")
    assert (probe.status, probe.error, post.mailbox.got) == (250, None, [])
    wrong = post.context(secret="wrong-password-4711")
    failed = await wrong.resources["destinations"].by_name["mail"].probe("GET", "")
    assert failed.error.startswith("config_unauthorized: mail answered 535")


@pytest.mark.parametrize(
    ("to", "kind"),
    [("a b@example.com", "invalid_recipient"), ("", "invalid_recipient"),
     ("a@example.com,b@example.com", "invalid_recipient"),
     ("x@other.com", "recipient_not_permitted"), ("other@example.org", "recipient_not_permitted")],
)  # fmt: skip
async def test_recipient_is_checked_before_a_connection_is_opened(client: HttpClient, to: str, kind: str) -> None:
    config = {"kind": "email", "host": "localhost", "port": 1, "from": "shop@example.com",
              "recipients": ["@example.com", "ops@example.org"]}  # fmt: skip
    with pytest.raises(PermanentError) as rejected:
        await Email.run(rendered() | {"to": [to]}, running(client, config))
    assert rejected.value.kind == kind
    assert not to or to not in str(rejected.value)


@pytest.mark.parametrize(
    ("fields", "path"),
    [({"password": {"env": "P"}}, "username"), ({"username": "a"}, "password"),
     ({"security": "none", "tls": {}}, "tls"), ({"tls": {"ca_file": "/none"}}, "tls.ca_file"),
     ({"username": "a", "password": {"env": "NONE"}}, "password")],
)  # fmt: skip
def test_mistake_in_waybill_yaml_is_found(fields: dict[str, Any], path: str) -> None:
    config = msgspec.convert({"kind": "email", "host": "h", "from": "a@b.c", **fields}, EmailConfig)
    found = list(config.check("destinations.mail", {"P": "p"}))
    assert [each.path for each in found] == [f"destinations.mail.{path}"]


@pytest.mark.parametrize(
    ("words", "path"),
    [({"to": []}, "to"), ({"to": ["a"] * 21}, "to"), ({"subject": "{statsu}"}, "subject"),
     ({"text": "{statsu}"}, "text"), ({"to": ["{statsu}"]}, "to[0]")],
)  # fmt: skip
def test_mistake_in_a_rule_is_found(words: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as rejected:
        rendered(**words)
    assert rejected.value.path == f"rules[0].actions[0].{path}"
