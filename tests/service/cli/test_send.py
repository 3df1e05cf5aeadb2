"""`waybill send`: what it makes and signs is taken in, for every envelope and scheme."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

import pytest

from service.store import Store
from tests.service.cli.conftest import PRIVATE, Run

Serve = Callable[..., Awaitable[str]]

EVENTS = [
    ("pack-orders", "purchase_order.updated", "purchase_order"),
    ("pack-orders", "order.created", "order"),
    ("flow-till", "CUSTOMER_UPDATE", "customer"),
    ("flow-till", "PURCHASE_RECEIVED", "purchase_order"),
    ("ofn-shop", "payment.completed", "order"),
    ("engage-desk", "Appointment.update", "appointment"),
    ("engage-desk", "Callback Request.create", "callback_request"),
    ("erp-standard", "customer.updated", "customer"),
    ("erp-cloud", "customer.updated", "customer"),
    ("erp-custom", "purchase_order.updated", "purchase_order"),
    ("erp-custom", "order.updated", "purchase_order"),
    ("erp-listed", "customer.updated", "customer"),
]


@pytest.mark.parametrize(("source", "event", "kind"), EVENTS)
async def test_a_delivery_made_from_a_template_becomes_an_event_of_its_record(
    *, source: str, event: str, kind: str, run: Run, serve: Serve, store: Store
) -> None:
    url = await serve()
    sent = await run("send", source, "--event", event, "--id", "4711", "--url", url)
    assert sent.exit_code == 0, sent.output
    status, _, answer = sent.stdout.partition("  ")
    assert status == "202"
    told = json.loads(answer)
    assert told["status"] == "queued"
    kept = await store.events.get(told["event_id"])
    assert kept is not None
    assert (kept["event"]["source"], kept["event"]["record"].kind, kept["event"]["record"].id) == (source, kind, "4711")


async def test_a_private_key_is_named_where_the_source_has_only_public_ones(run: Run, serve: Serve) -> None:
    url = await serve()
    arguments = ("send", "erp-asymmetric", "--event", "order.paid", "--url", url, "--secret-env", "PRIVATE")
    assert (await run(*arguments, PRIVATE=PRIVATE)).stdout.startswith("202  ")
    assert (await run(*arguments)).exit_code == 1


async def test_a_body_comes_from_a_file_or_from_standard_input(run: Run, serve: Serve, tmp_path: Path) -> None:
    url = await serve()
    body = b'{"event_code": "customer.updated", "id": "e1", "data": {"id": "7"}}'
    (tmp_path / "body.json").write_bytes(body)
    first = await run("send", "pack-orders", "--file", str(tmp_path / "body.json"), "--url", url)
    again = await run("send", "pack-orders", "--file", "-", "--url", url, stdin=body)
    assert '"queued"' in first.stdout
    assert '"duplicate"' in again.stdout


async def test_many_are_sent_at_a_rate_and_counted(run: Run, serve: Serve) -> None:
    url = await serve()
    began = perf_counter()
    arguments = ("--event", "customer.updated", "--count", "80", "--rate", "100", "--url", url)
    sent = await run("send", "pack-orders", *arguments)
    assert perf_counter() - began >= 0.79
    assert sent.stdout.count('"queued"') == 80
    assert "202: 80" in sent.stderr


async def test_a_refusal_and_a_silence_are_told_and_end_with_code_1(run: Run, serve: Serve, free_port: int) -> None:
    url = await serve()
    refused = await run("send", "pack-orders", "--event", "x", "--url", url, HMAC="wrong")
    assert (refused.exit_code, refused.stdout[:3]) == (1, "401")
    silent = await run("send", "pack-orders", "--event", "x", WAYBILL_PORT=str(free_port))
    assert (silent.exit_code, silent.stdout.split()[0]) == (1, "connect")
    assert f"http://127.0.0.1:{free_port}?" in silent.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nobody", "--event", "x"), "has this name"),
        (("pack-orders", "--file", "/nowhere/body.json"), "cannot read /nowhere/body.json"),
        (("pack-orders", "--event", "x", "--secret-env", "NOT_THERE"), "NOT_THERE is not set"),
        (("pack-orders",), "--file, or make one by --event"),
        (("pack-orders", "--event", "x", "--file", "-"), "--file, or make one by --event"),
    ],
)
async def test_a_mistake_on_the_command_line_sends_nothing(arguments: tuple[str, ...], told: str, run: Run) -> None:
    failed = await run("send", *arguments)
    assert failed.exit_code != 0
    assert told in f"{failed.output}{failed.exception}"
