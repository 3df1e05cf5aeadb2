"""Damaged and foreign values under every key of a job: one event fails, the worker and all other events go on."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest

from service.sandbox.faults import Fault
from service.settings import Settings
from service.store.management.replay import Replay, plan_replay
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness, shorten_circuits
from tests.workers.test_sweep import sweep

pytestmark = [pytest.mark.store, pytest.mark.slow]

RECORD = "pack:purchase_order:po-1"
LANE = f"wb:lane:{RECORD}"
STATE = f"wb:record:{RECORD}"
OTHERS = 5

RUBBISH = {
    "text": b"v2\nrubbish",
    "empty": b"",
    "zeros": bytes(40),
    "not UTF-8": b"\xff\xfe\n\xff\n\xff\n\xff",
    "compressed": b"\x01\xff\xff\xff\x00",
    "nested": b"\x91" * 20_000,
    "JSON": b'{"version": 2}\n',
}
TYPES: dict[str, tuple[str, ...]] = {"list": ("RPUSH", "x"), "set": ("SADD", "x"), "hash": ("HSET", "state", "decided")}
FORMS: dict[str, Sequence[tuple[str | bytes, ...]]] = {
    **{name: [("SET", "KEY", value)] for name, value in RUBBISH.items()},
    **{name: [("DEL", "KEY"), (command, "KEY", *rest)] for name, (command, *rest) in TYPES.items()},
}


@pytest.fixture
async def harness(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WorkerHarness]:
    shorten_circuits(monkeypatch)
    async with open_harness(make_settings(backoff_base_seconds=0.01, wake_timeout_seconds=0.05)) as opened:
        await opened.publish(SINK_RULE)
        yield opened


async def damage(harness: WorkerHarness, key: str, commands: Sequence[tuple[str | bytes, ...]]) -> None:
    for command in commands:
        await harness.store.client.command(*[key if part == "KEY" else part for part in command])


async def run_with_others(harness: WorkerHarness) -> None:
    """Run a worker on the damaged event and on events of other records, which must all match."""
    others = [await harness.send(f"po-{number}") for number in range(2, 2 + OTHERS)]
    await harness.run_worker()
    await sweep(harness)
    await harness.run_worker()
    assert [(await harness.stored_event(other))["outcome"] for other in others] == ["matched"] * OTHERS
    assert harness.log_lines("store.unavailable") == []
    assert harness.log_lines("attempt.crashed") == []


async def decided_event(harness: WorkerHarness) -> str:
    """Ingest an event whose decision is stored and whose effect waits for its next attempt."""
    event_id = await harness.send()
    await harness.run_worker()
    plan = plan_replay(await harness.stored_event(event_id), rerun_done=True)
    assert isinstance(plan, Replay)
    await harness.store.replays.replay([plan])
    return event_id


async def end_of(harness: WorkerHarness, event_id: str) -> tuple[str, str]:
    """Return the error kind or outcome of an event, and the error text of its last attempt."""
    stored = await harness.stored_event(event_id)
    return stored["error_kind"] or stored["outcome"], stored["history"][-1].get("error") or ""


@pytest.mark.parametrize("form", FORMS)
async def test_damaged_last_state_makes_its_event_a_dead_letter(harness: WorkerHarness, form: str) -> None:
    event_id = await harness.send()
    await damage(harness, STATE, FORMS[form])
    await run_with_others(harness)
    kind, error = await end_of(harness, event_id)
    assert (kind, STATE in error) == ("undecodable", True)


async def test_damaged_fields_of_a_last_state_make_its_event_a_dead_letter(harness: WorkerHarness) -> None:
    event_id = await harness.send()
    for fields in (b"\xc1", b"\x91" * 20_000, b"\x81\xa1\xff\x01"):
        await harness.store.client.command("SET", STATE, b"d\n1\nupdated\n" + fields)
        await run_with_others(harness)
        assert (await end_of(harness, event_id))[0] == "undecodable"
        event_id = await harness.send()


async def test_lane_goes_on_after_the_damaged_last_state_is_deleted(harness: WorkerHarness) -> None:
    first = await harness.send()
    await damage(harness, STATE, FORMS["text"])
    await harness.run_worker()
    await harness.store.client.command("DEL", STATE)
    second = await harness.send()
    await harness.run_worker()
    assert [(await end_of(harness, event_id))[0] for event_id in (first, second)] == ["undecodable", "matched"]


@pytest.mark.parametrize("form", FORMS)
async def test_damaged_delivery_makes_its_event_a_dead_letter_and_the_lane_goes_on(
    harness: WorkerHarness, form: str
) -> None:
    damaged, following = await harness.send(), await harness.send()
    await damage(harness, f"wb:delivery:{damaged}", FORMS[form])
    await run_with_others(harness)
    kind, error = await end_of(harness, damaged)
    assert (kind, f"wb:delivery:{damaged}" in error) == ("undecodable", True)
    assert (await end_of(harness, following))[0] == "matched"


@pytest.mark.parametrize("form", [form for form in FORMS if form != "hash"])
async def test_event_hash_of_another_type_makes_its_event_a_dead_letter_and_the_lane_goes_on(
    harness: WorkerHarness, form: str
) -> None:
    damaged, following = await harness.send(), await harness.send()
    await damage(harness, f"wb:event:{damaged}", FORMS[form])
    await run_with_others(harness)
    kind, error = await end_of(harness, damaged)
    assert (kind, f"wb:event:{damaged}" in error) == ("undecodable", True)
    assert (await end_of(harness, following))[0] == "matched"


@pytest.mark.parametrize("value", ["rubbish", b"\xff", "nan", "inf", "-1", "1e400"])
@pytest.mark.parametrize("name", ["state", "attempts", "worker_crashes", "generation"])
async def test_damaged_field_of_an_event_makes_it_a_dead_letter_and_the_lane_goes_on(
    harness: WorkerHarness, name: str, value: str | bytes
) -> None:
    damaged, following = await harness.send(), await harness.send()
    await harness.store.client.command("HSET", f"wb:event:{damaged}", name, value)
    await run_with_others(harness)
    kind, error = await end_of(harness, damaged)
    assert (kind, f"wb:event:{damaged}" in error, name in error) == ("undecodable", True, True)
    assert (await end_of(harness, following))[0] == "matched"


@pytest.mark.parametrize("ledger", ["", "pp", "q", b"\xff", "d" * 1_000])
async def test_damaged_ledger_makes_its_event_a_dead_letter(harness: WorkerHarness, ledger: str | bytes) -> None:
    event_id = await decided_event(harness)
    effects_run = len(harness.idempotency_keys())
    await harness.store.client.command("HSET", f"wb:event:{event_id}", "ledger", ledger)
    await run_with_others(harness)
    kind, error = await end_of(harness, event_id)
    assert (kind, "ledger" in error) == ("undecodable", True)
    assert len(harness.idempotency_keys()) == effects_run + OTHERS


@pytest.mark.parametrize("form", FORMS)
async def test_damaged_list_of_an_effect_is_built_again(harness: WorkerHarness, form: str) -> None:
    order = f"wb:order:{RECORD}:short-receipt/claim"
    await damage(harness, order, FORMS[form])
    event_id = await harness.send()
    assert (await harness.stored_event(event_id))["state"] == "queued"
    await run_with_others(harness)
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink", status=503))
    waiting = [await harness.send(), await harness.send()]
    await harness.run_until_idle(harness.worker())
    await damage(harness, order, FORMS[form])
    await run_with_others(harness)
    assert [(await end_of(harness, each))[0] for each in (event_id, *waiting)] == ["matched"] * 3


@pytest.mark.parametrize("form", FORMS)
async def test_damaged_history_makes_its_event_a_dead_letter(harness: WorkerHarness, form: str) -> None:
    event_id = await decided_event(harness)
    await damage(harness, f"wb:history:{event_id}", FORMS[form])
    await run_with_others(harness)
    kind, error = await end_of(harness, event_id)
    assert (kind, f"wb:history:{event_id}" in error) == ("undecodable", True)


@pytest.mark.parametrize(
    "entry", [b'{"entry":"decided"', b'{"entry":"decided","at_ms":' + b"[" * 20_000, b'{"entry":"decided","x":"\xff"}']
)
async def test_damaged_decision_makes_its_event_a_dead_letter(harness: WorkerHarness, entry: bytes) -> None:
    event_id = await decided_event(harness)
    await harness.store.client.command("SET", f"wb:history:{event_id}", entry + b"\n")
    await run_with_others(harness)
    assert (await end_of(harness, event_id))[0] == "undecodable"


async def test_foreign_entries_of_a_lane_are_skipped(harness: WorkerHarness) -> None:
    event_id = await harness.send()
    for entry in (b"rubbish", b"\xff\xfe", b""):
        await harness.store.client.command("LPUSH", LANE, entry)
    await harness.store.client.command("ZADD", "wb:open", 1, b"\xff\xfe")
    await run_with_others(harness)
    assert (await end_of(harness, event_id))[0] == "matched"


@pytest.mark.parametrize("form", [form for form in FORMS if form != "list"])
async def test_lane_of_another_type_is_built_again(harness: WorkerHarness, form: str) -> None:
    event_id = await harness.send()
    await damage(harness, LANE, FORMS[form])
    await run_with_others(harness)
    assert (await end_of(harness, event_id))[0] == "matched"


@pytest.mark.parametrize("score", ["inf", "-inf", "1e300", "-1e300"])
async def test_event_with_an_impossible_time_of_receipt_is_processed(harness: WorkerHarness, score: str) -> None:
    event_id = await harness.send()
    await harness.store.client.command("ZADD", "wb:open", score, event_id)
    await run_with_others(harness)
    assert (await end_of(harness, event_id))[0] == "matched"


@pytest.mark.parametrize("score", ["-inf", "-1e300"])
async def test_job_with_an_impossible_time_is_due(harness: WorkerHarness, score: str) -> None:
    event_id = await harness.send()
    await harness.store.client.command("ZADD", harness.settings.queue, score, LANE)
    await run_with_others(harness)
    assert (await end_of(harness, event_id))[0] == "matched"


@pytest.mark.parametrize("score", ["inf", "1e300"])
async def test_job_that_is_never_due_does_not_stop_a_claim(harness: WorkerHarness, score: str) -> None:
    await harness.send()
    await harness.store.client.command("ZADD", harness.settings.queue, score, LANE)
    claimed = await harness.store.leases("w1").claim(1)
    assert (claimed.jobs, claimed.due_ms) == ([], None)


@pytest.mark.parametrize("form", FORMS)
async def test_damaged_lock_delays_its_event_only(harness: WorkerHarness, form: str) -> None:
    event_id = await harness.send()
    await damage(harness, f"arq:in-progress:{LANE}", FORMS[form])
    await sweep(harness)
    await harness.store.client.command("ZADD", harness.settings.queue, 0, LANE)
    await run_with_others(harness)
    assert (await end_of(harness, event_id))[0] == "matched"


@pytest.mark.parametrize("form", FORMS)
async def test_damaged_job_of_a_lane_does_not_block_its_event(harness: WorkerHarness, form: str) -> None:
    event_id = await harness.send()
    await damage(harness, f"arq:job:{LANE}", FORMS[form])
    await run_with_others(harness)
    assert (await end_of(harness, event_id))[0] == "matched"


PAYLOAD: dict[str, Any] = {"f": "x", "a": [], "k": {}, "t": None, "et": 1}
JOBS: dict[str, bytes] = {
    "float": msgspec.msgpack.encode(1.5),
    "text as time": msgspec.msgpack.encode(PAYLOAD | {"et": "now"}),
    "time after the year 9999": msgspec.msgpack.encode(PAYLOAD | {"et": 2**62}),
    "number as arguments": msgspec.msgpack.encode(PAYLOAD | {"a": 1}),
    "list as named arguments": msgspec.msgpack.encode(PAYLOAD | {"k": [1]}),
    "text as attempt": msgspec.msgpack.encode(PAYLOAD | {"t": "one"}),
    "nested arguments": b"\x81\xa1a" + b"\x91" * 20_000,
}


@pytest.mark.parametrize("form", [*FORMS, *JOBS])
async def test_damaged_plain_job_becomes_a_dead_job(harness: WorkerHarness, form: str) -> None:
    commands = FORMS.get(form) or [("SET", "KEY", JOBS[form])]
    await damage(harness, "arq:job:plain", commands)
    await damage(harness, "arq:retry:plain", FORMS.get(form, FORMS["text"]))
    await harness.store.client.command("ZADD", harness.settings.queue, 1, "plain")
    await run_with_others(harness)
    assert await harness.store.client.command("XLEN", "wb:dead_jobs") == 1


@pytest.mark.parametrize("job", [b"\xff\xfe", b"wb:lane:\xff", b"wb:effects:\xff"])
async def test_job_with_an_id_that_is_not_text_does_not_stop_the_worker(harness: WorkerHarness, job: bytes) -> None:
    await harness.store.client.command("ZADD", harness.settings.queue, 1, job)
    if job.startswith(b"wb:lane:"):
        await harness.store.client.command("RPUSH", job, "f" * 32)
    await harness.store.client.command("ZADD", "wb:open", 1, "f" * 32)
    await run_with_others(harness)
    assert await harness.store.client.command("ZCARD", harness.settings.queue) == 0


@pytest.mark.parametrize("form", FORMS)
async def test_damaged_receipt_of_a_claim_does_not_stop_the_worker(harness: WorkerHarness, form: str) -> None:
    await damage(harness, "wb:receipt:w1", FORMS[form])
    await run_with_others(harness)
