"""Actions for Slack, Teams and subscribers: messages at the sandbox, refusals, and limits."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from service.errors import ConfigError, Deferred, PermanentError, TransientError
from service.events import Delivery
from service.http_client import HttpClient
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle, running_sandbox
from service.secrets import SecretRef
from service.settings import Settings
from service.signatures.standard_webhooks import StandardWebhooks
from service.store import Store
from tests.service.rules.rule_samples import order, subject
from tests.workers.actions.action_runs import NOON, SECRET, Context, destinations, inputs
from workers.actions.http import Http
from workers.actions.slack import TEXT_CHARACTERS_MAX, Slack
from workers.actions.teams import Teams
from workers.actions.webhook import Webhook


@pytest.fixture
async def context() -> AsyncIterator[Context]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(HttpClient(Settings()))
        sandbox = await stack.enter_async_context(running_sandbox())
        yield Context({"outbound": client, "sandbox": sandbox, "action_timeout_seconds": 5.0,
                       "destinations": declare(client, sandbox)})  # fmt: skip


def declare(client: HttpClient, sandbox: SandboxHandle, store: Store | None = None) -> Any:
    base, common = f"{sandbox.url}/_sandbox", {"allow_private_host": True}
    return destinations(
        client,
        store,
        chat={"kind": "slack", "url": f"{base}/slack/T/B", **common},
        team={"kind": "teams", "url": f"{base}/teams/w?api-version=1", **common},
        app={"kind": "webhook", "url": f"{base}/sink/app", "secrets": [{"env": "S"}], **common},
    )


def received(context: Context) -> list[Any]:
    return list(context.resources["sandbox"].sandbox.sink.requests)


# --- Slack ---


async def test_slack_message_has_escaped_values(context: Context) -> None:
    about = subject(order(reference="<!channel> <https://evil.test|A&B>"))
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*{reference}*: {quantity_missing}"}}]
    rule = {"destination": "chat", "text": "*{reference}* &amp; {{x}}", "blocks": blocks}
    kept = await Slack.run(inputs("slack", about, **rule), context)
    assert kept["http_status"] == 200
    (request,) = received(context)
    name = "&lt;!channel&gt; &lt;https://evil.test|A&amp;B&gt;"
    blocks[0]["text"]["text"] = f"*{name}*: 3"  # type: ignore[index]
    assert json.loads(request.body) == {"text": f"*{name}* &amp; {{x}}", "blocks": blocks}


async def test_slack_text_at_and_above_the_limit(context: Context) -> None:
    rendered = inputs("slack", destination="chat", text="{id}")
    await Slack.run(rendered | {"text": "a" * TEXT_CHARACTERS_MAX}, context)
    with pytest.raises(PermanentError, match="40001 characters") as rejected:
        await Slack.run(rendered | {"text": "a" * (TEXT_CHARACTERS_MAX + 1)}, context)
    assert (rejected.value.kind, len(received(context))) == ("message_too_large", 1)


async def test_slack_words_are_in_the_error(context: Context) -> None:
    sandbox: SandboxHandle = context.resources["sandbox"]
    sandbox.sandbox.faults.add(Fault(match="/_sandbox/slack", status=404, body="no_service", content_type="text/plain"))
    with pytest.raises(PermanentError, match="chat answered 404: no_service") as rejected:
        await Slack.run(inputs("slack", destination="chat", text="{id}"), context)
    assert rejected.value.kind == "target_rejected"


@pytest.mark.store
async def test_slack_admits_a_burst_and_then_one_message_a_second(context: Context, store: Store) -> None:
    resources = context.resources
    resources["destinations"] = declare(resources["outbound"], resources["sandbox"], store)
    rendered = inputs("slack", destination="chat", text="{id}")

    async def send_all() -> None:
        for _ in range(50):
            await Slack.run(rendered, context)

    with pytest.raises(Deferred) as deferred:
        await send_all()
    assert deferred.value.kind == "destination_throttled"
    assert len(received(context)) >= 3


# --- Teams ---


async def test_teams_card_shows_values_as_they_are(context: Context) -> None:
    about = subject(order(reference="[a](https://evil.test) *b*"))
    rule = {
        "destination": "team",
        "title": "{id}",
        "text": "{reference}\nis short",
        "facts": {"Missing": "{quantity_missing}"},
    }
    kept = await Teams.run(inputs("teams", about, **rule), context)
    assert kept["http_status"] == 202
    (request,) = received(context)
    assert request.path == "/_sandbox/teams/w?api-version=1"
    (attachment,) = json.loads(request.body)["attachments"]
    lines = [[run["text"] for run in block["inlines"]] for block in attachment["content"]["body"]]
    assert lines == [["po_1"], ["[a](https://evil.test) *b*"], ["is short"], ["Missing: ", "3"]]
    assert {block["type"] for block in attachment["content"]["body"]} == {"RichTextBlock"}


async def test_teams_sends_a_whole_card(context: Context) -> None:
    card = {"type": "AdaptiveCard", "version": "1.4", "body": [{"type": "TextBlock", "text": "Order {id}"}]}
    await Teams.run(inputs("teams", destination="team", card=card), context)
    (request,) = received(context)
    assert json.loads(request.body)["attachments"][0]["content"]["body"] == [
        {"type": "TextBlock", "text": "Order po_1"}
    ]


async def test_teams_card_at_and_above_the_limit(context: Context) -> None:
    rendered = inputs("teams", destination="team", text="x")
    with pytest.raises(PermanentError, match="accepts 28672") as rejected:
        await Teams.run(rendered | {"text": "a" * 28_672}, context)
    assert rejected.value.kind == "message_too_large"
    await Teams.run(rendered | {"text": "a" * 28_200}, context)


# --- subscribers ---


async def test_webhook_sends_the_decision_with_a_signature_that_verifies(context: Context) -> None:
    rule = {"destination": "app", "type": "order.short", "values": {"missing": "{quantity_missing}"}}
    rendered = inputs("webhook", **rule)
    assert SECRET not in repr(rendered)
    await Webhook.run(rendered, context)
    await Webhook.run(rendered, context)
    first, second = received(context)
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert json.loads(first.body) == {
        "type": "order.short",
        "timestamp": "2026-11-21T07:24:40.031000Z",
        "data": {
            "event": {
                "id": context.event.id, "source": "pack-orders", "type": "purchase_order.updated", "change": "updated",
            },
            "record": {"platform": "pack", "kind": "purchase_order", "id": "po_1"},
            "rule": "short", "action": "claim", "values": {"missing": 3},
        },
    }  # fmt: skip
    verify(first)


async def test_numbers_of_a_decision_are_text_if_the_action_declares_text(context: Context) -> None:
    await Webhook.run(
        inputs("webhook", destination="app", values={"missing": "{quantity_missing}"}, json="text"), context
    )
    (request,) = received(context)
    assert json.loads(request.body)["data"]["values"] == {"missing": "3"}


async def test_webhook_forwards_the_delivery_signed_and_without_the_ids_of_its_sender(context: Context) -> None:
    await Webhook.run(inputs("webhook", destination="app", send="delivery"), context)
    (request,) = received(context)
    assert (request.body, request.headers["content-type"]) == ("<a/>", "text/xml")
    assert request.headers["webhook-id"] != "m1"
    verify(request)


def verify(request: Any) -> None:
    verifier = StandardWebhooks(secrets=(SecretRef(env="S"),)).build({"S": SECRET}, "test")
    verifier.verify(Delivery("test", request.headers, request.body.encode(), NOON))


# --- refusals ---


@pytest.mark.parametrize(
    ("do", "words", "path"),
    [
        ("slack", {"text": "{statsu}"}, "text"),
        ("slack", {"text": "a", "blocks": [{"type": "divider"}] * 51}, "blocks"),
        ("slack", {"text": "a", "blocks": [{"text": "{statsu}"}]}, "blocks[0].text"),
        ("teams", {}, "text"),
        ("teams", {"text": "a", "card": {}}, "text"),
        ("teams", {"title": "a", "card": {}}, "card"),
        ("teams", {"text": "a", "facts": {"b": "{statsu}"}}, "facts.b"),
        ("webhook", {"send": "delivery", "values": {}}, "values"),
        ("webhook", {"type": "a b"}, "type"),
        ("webhook", {"values": ["{statsu}"]}, "values[0]"),
        ("webhook", {"destination": "A"}, "destination"),
    ],
)
def test_mistake_is_found_at_load(do: str, words: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as rejected:
        inputs(do, **{"destination": "chat", **words})
    assert rejected.value.path == f"rules[0].actions[0].{path}"


async def test_destination_of_another_kind_or_of_no_kind_is_an_error(context: Context) -> None:
    with pytest.raises(PermanentError, match="chat is a destination of kind slack; use `do: slack`"):
        await Http.run(inputs("http", destination="chat"), context)
    with pytest.raises(PermanentError, match="kind teams"):
        await Slack.run(inputs("slack", destination="team", text="a"), context)
    with pytest.raises(TransientError, match="no destination 'none'"):
        await Slack.run(inputs("slack", destination="none", text="a"), context)


async def test_probes_post_messages_that_are_accepted(context: Context) -> None:
    probes = {name: await each.probe("GET", "") for name, each in context.resources["destinations"].by_name.items()}
    assert {name: probe.status for name, probe in probes.items()} == {"chat": 200, "team": 202, "app": 200}
    assert "Test message of Waybill." in probes["chat"].request.body
    assert "waybill.test" in probes["app"].request.body
    verify(received(context)[-1])
