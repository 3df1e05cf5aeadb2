"""Targets of actions in the sandbox: one for each kind of destination, and one for operations of custom accounts."""

from typing import Any

import aiosmtplib
import msgspec
import pytest

from service.destinations.registry import CONFIG_TYPE, DESTINATION_KINDS, Destinations, DestinationSetup
from service.errors import PermanentError
from service.http_client import HttpClient
from service.platforms.registry import build_platforms
from service.sandbox.mail import MESSAGE_BYTES_MAX, running_mail_server
from service.sandbox.server import SandboxHandle
from service.sandbox.sink import Sink
from service.sandbox.subscriber import SECRET
from tests.platform_accounts import platform_configs
from tests.workers.actions.action_runs import Context, inputs
from workers.actions import ACTIONS

ACTION_OF = {str(action.__struct_config__.tag): action for action in ACTIONS}
WORDS: dict[str, dict[str, Any]] = {
    "http": {"body": {"order": "{id}"}},
    "slack": {"text": "Order {id}"},
    "teams": {"text": "Order {id}"},
    "email": {"to": ["ops@example.com", "b@example.com"], "subject": "Order {id}", "text": "Order {id} ß"},
    "webhook": {"values": {"order": "{id}"}},
}


def declare(kind: str, box: SandboxHandle, mail_url: str, outbound: HttpClient, secret: str = SECRET) -> Destinations:
    """Declare the destination `erp`: the target of a kind."""
    config: dict[str, Any] = {
        "url": f"{box.url}/_sandbox/{'sink' if kind == 'http' else kind}/erp", "allow_private_host": True,
    }  # fmt: skip
    if kind == "email":
        port = int(mail_url.rpartition(":")[2])
        config = {"host": "127.0.0.1", "port": port, "security": "none", "from": "shop@example.com"}
    if kind == "webhook":
        config["secrets"] = [{"env": "S"}]
    types = {"erp": msgspec.convert({"kind": kind, **config}, CONFIG_TYPE)}
    return Destinations(types, DestinationSetup(http_client=outbound, environ={"S": secret}))


@pytest.mark.parametrize("kind", DESTINATION_KINDS)
async def test_action_of_each_kind_reaches_its_target(kind: str, box: SandboxHandle, outbound: HttpClient) -> None:
    sink = box.sandbox.sink
    async with running_mail_server(sink) as mail_url:
        made = declare(kind, box, mail_url, outbound)
        context = Context({"action_timeout_seconds": 5.0, "destinations": made})
        await ACTION_OF[kind].run(inputs(kind, destination="erp", **WORDS[kind]), context)
        assert (await made.by_name["erp"].probe("POST", "")).error is None
    received = sink.requests[0]
    assert "po_1" in received.body
    if kind == "email":
        assert (received.method, received.path) == ("SMTP", "/ops@example.com,b@example.com")
        assert (received.headers["subject"], "ß" in received.body) == ("Order po_1", True)


async def test_subscriber_rejects_another_secret(box: SandboxHandle, outbound: HttpClient) -> None:
    made = declare("webhook", box, "", outbound, "whsec_" + "d3Jvbmct" * 4)
    context = Context({"action_timeout_seconds": 5.0, "destinations": made})
    with pytest.raises(PermanentError, match="erp answered 401") as rejected:
        await ACTION_OF["webhook"].run(inputs("webhook", destination="erp"), context)
    assert (rejected.value.kind, len(box.sandbox.sink.requests)) == ("target_rejected", 0)


@pytest.mark.parametrize(("token", "values"), [("sandbox-token", {"order": "7"}), ("another", {"order": "7"})])
async def test_custom_platform_takes_writes_with_the_token(
    box: SandboxHandle, outbound: HttpClient, token: str, values: dict[str, str]
) -> None:
    raw: dict[str, Any] = {
        "kind": "custom", "base_url": f"{box.url}/_sandbox/platform", "auth": {"type": "bearer", "token": {"env": "T"}},
        "records": {"customer": {"path": "/customers/{id}"}},
        "operations": {"order.hold": {"method": "POST", "path": "/orders/{order}", "repeat": "keyed", "body": {}}},
    }  # fmt: skip
    shop: Any = build_platforms(platform_configs({"shop": raw}), {"T": token}, outbound)["shop"]
    if token == "another":
        with pytest.raises(PermanentError) as rejected:
            await shop.client.write("order.hold", values)
        assert rejected.value.kind == "config_unauthorized"
    else:
        assert (await shop.client.write("order.hold", values)).id == "7"
    assert len(box.sandbox.sink.requests) == (token == "sandbox-token")


@pytest.mark.parametrize("extra", [0, 1])
async def test_message_at_and_above_the_limit(extra: int) -> None:
    sink, line = Sink(), b"a" * 62 + b"\r\n"
    content = line * (MESSAGE_BYTES_MAX // len(line) - 1) + b"a" * extra + line
    async with (
        running_mail_server(sink) as url,
        aiosmtplib.SMTP(hostname="127.0.0.1", port=int(url.rpartition(":")[2])) as client,
    ):
        await client.ehlo()
        await client.mail("a@example.com")
        await client.rcpt("b@example.com")
        if extra:
            with pytest.raises(aiosmtplib.SMTPDataError):
                await client.data(content)
        else:
            await client.data(content)
    assert sink.count == 1 - extra
