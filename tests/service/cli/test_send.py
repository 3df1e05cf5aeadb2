"""`waybill send`: its deliveries are accepted for every envelope and signature scheme."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

import pytest

from service.store import Store
from tests.service.cli.conftest import PRIVATE, Run, rows

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
async def test_a_generated_delivery_becomes_an_event_about_its_record(
    *, source: str, event: str, kind: str, run: Run, serve: Serve, store: Store
) -> None:
    url = await serve()
    sent = await run("send", source, "--event", event, "--id", "4711", "--url", url)
    assert sent.exit_code == 0, sent.output
    status, _, response = sent.stdout.partition("  ")
    assert status == "202"
    response_body = json.loads(response)
    assert response_body["status"] == "queued"
    stored = await store.events.get(response_body["event_id"])
    assert stored is not None
    assert (stored["event"]["source"], stored["event"]["record"].kind, stored["event"]["record"].id) == (
        source,
        kind,
        "4711",
    )


async def test_a_private_key_is_given_for_a_source_with_public_keys(run: Run, serve: Serve) -> None:
    url = await serve()
    arguments = ("send", "erp-asymmetric", "--event", "order.paid", "--url", url, "--secret-env", "PRIVATE")
    assert (await run(*arguments, PRIVATE=PRIVATE)).stdout.startswith("202  ")
    assert (await run(*arguments)).exit_code == 1


async def test_the_body_is_read_from_a_file_or_from_standard_input(run: Run, serve: Serve, tmp_path: Path) -> None:
    url = await serve()
    body = b'{"event_code": "customer.updated", "id": "e1", "data": {"id": "7"}}'
    (tmp_path / "body.json").write_bytes(body)
    first = await run("send", "pack-orders", "--file", str(tmp_path / "body.json"), "--url", url)
    again = await run("send", "pack-orders", "--file", "-", "--url", url, stdin=body)
    assert '"queued"' in first.stdout
    assert '"duplicate"' in again.stdout


async def test_many_deliveries_are_sent_at_a_rate_and_counted(run: Run, serve: Serve) -> None:
    url = await serve()
    started = perf_counter()
    arguments = ("--event", "customer.updated", "--count", "80", "--rate", "100", "--url", url)
    sent = await run("send", "pack-orders", *arguments)
    assert perf_counter() - started >= 0.79
    assert sent.stdout.count('"queued"') == 80
    assert "202: 80" in sent.stderr


async def test_responses_and_errors_are_printed_as_json(run: Run, serve: Serve, free_port: int) -> None:
    words = ("send", "pack-orders", "--event", "customer.updated", "-o", "json", "--url")
    (sent,) = rows(await run(*words, await serve()))
    assert (sent["http_status"], sent["body"]["status"], sent["error_kind"]) == (202, "queued", None)
    failed = await run(*words, f"http://127.0.0.1:{free_port}")
    (error,) = rows(failed)
    assert (failed.exit_code, error["http_status"], bool(error["error_kind"] and error["error"])) == (1, None, True)


async def test_a_rejection_and_a_missing_server_end_with_code_1(run: Run, serve: Serve, free_port: int) -> None:
    url = await serve()
    rejected = await run("send", "pack-orders", "--event", "x", "--url", url, HMAC="wrong")
    assert (rejected.exit_code, rejected.stdout[:3]) == (1, "401")
    unreachable = await run("send", "pack-orders", "--event", "x", WAYBILL_PORT=str(free_port))
    assert (unreachable.exit_code, unreachable.stdout.split()[0]) == (1, "connect")
    assert f"http://127.0.0.1:{free_port}, or set --url" in unreachable.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody", "--event", "x"), "no source 'nobody' that accepts deliveries"),
        (("pack-orders", "--file", "/nowhere/body.json"), "cannot read /nowhere/body.json"),
        (("pack-orders", "--event", "x", "--secret-env", "NOT_THERE"), "NOT_THERE is not set"),
        (("pack-orders",), "Give one of --file, --event and --like."),
        (("pack-orders", "--event", "x", "--file", "-"), "Give one of --file, --event and --like."),
        (("--like", "0" * 32, "--event", "x"), "Give one of --file, --event and --like."),
        (("--event", "x"), "Missing argument SOURCE."),
        (("pack-orders", "--event", "x", "--keep-id"), "--keep-id requires --like."),
        (("--like", "0" * 32), f"--like: Event {'0' * 32} not found. Fix: run waybill events list"),
    ],
)
async def test_a_usage_error_sends_nothing(arguments: tuple[str, ...], message: str, run: Run) -> None:
    failed = await run("send", *arguments)
    assert failed.exit_code != 0
    assert message in f"{failed.output}{failed.exception}"


REPEATED = {"pack-orders", "flow-till", "erp-standard", "erp-cloud", "erp-listed"}
"""A source of each envelope: with an event id in the body or in a header, without one, and of a batch."""


@pytest.mark.parametrize(
    ("source", "event", "kind"), [row for row in EVENTS if row[0] in REPEATED and row[2] != "order"]
)
async def test_a_captured_delivery_is_repeated_as_a_new_event_or_as_a_duplicate(
    *, source: str, event: str, kind: str, run: Run, serve: Serve, store: Store
) -> None:
    url = await serve()
    first = await run("send", source, "--event", event, "--id", "4711", "--url", url)
    event_id = json.loads(first.stdout.partition("  ")[2])["event_id"]
    repeated = await run("send", "--like", event_id, "--count", "2", "--url", url)
    assert repeated.exit_code == 0, repeated.output
    answers = [json.loads(line.partition("  ")[2]) for line in repeated.stdout.splitlines()]
    assert [answer["status"] for answer in answers] == ["queued", "queued"]
    assert len({event_id, *(answer["event_id"] for answer in answers)}) == 3
    for answer in answers:
        stored = await store.events.get(answer["event_id"])
        assert stored is not None
        copy = stored["event"]
        assert (copy["source"], copy["type"], copy["record"].kind, copy["record"].id) == (source, event, kind, "4711")
    kept = await run("send", "--like", event_id, "--keep-id", "--url", url)
    status = "queued" if source == "flow-till" else "duplicate"  # its equal deliveries are distinct events
    assert json.loads(kept.stdout.partition("  ")[2])["status"] == status


async def test_a_delivery_of_another_source_is_not_repeated(run: Run, serve: Serve) -> None:
    url = await serve()
    first = await run("send", "pack-orders", "--event", "customer.updated", "--url", url)
    event_id = json.loads(first.stdout.partition("  ")[2])["event_id"]
    other = await run("send", "flow-till", "--like", event_id, "--url", url)
    assert other.exit_code == 2
    assert f"Event {event_id} is from pack-orders." in other.output
