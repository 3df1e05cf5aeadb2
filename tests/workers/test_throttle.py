"""Throttle in a worker: limits and open circuits defer events and effects without counting attempts."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from service.actions import Action, ActionContext
from service.errors import Deferred, TransientError
from service.http_client import HttpClient
from service.platforms.base import Platform
from service.platforms.kind import ConnectorDependencies
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud
from service.sandbox.faults import Fault
from service.secrets import SecretRef
from service.settings import Settings
from service.throttles.throttles import SharedThrottles
from tests.waiting import until
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness, shorten_circuits
from workers.actions.log import Log

pytestmark = pytest.mark.store

LOG_RULE = """
- id: log
  type: purchase_order
  when: {field: id, op: exists}
  actions:
    - {id: one, do: log, message: "{id}"}
"""


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    """Harness with a throttled platform and at most two attempts."""
    settings = make_settings(attempts_max=2, backoff_base_seconds=0.01, wake_timeout_seconds=0.05)
    async with open_harness(settings) as opened, HttpClient(settings) as outbound:
        config = PackCloudConfig(
            organization_id="o", token=SecretRef(env="T"), base_url=opened.sandbox.base_url("pack_cloud")
        )
        throttle = SharedThrottles(opened.store.limits, opened.store.tokens, 1).account("pack", config)
        dependencies = ConnectorDependencies(outbound, {"T": opened.sandbox.token}, throttle)
        cast("dict[str, Platform]", opened.dependencies.platforms)["pack"] = PackCloud("pack", config, dependencies)
        yield opened


@pytest.mark.slow
async def test_rate_limited_platform_gets_no_requests_until_retry_after_and_no_attempt_counts(
    harness: WorkerHarness,
) -> None:
    await harness.publish(SINK_RULE)
    for status in (429, 503):
        harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=status, retry_after=1))
    ids = [await harness.send(f"po-{n}") for n in range(3)]
    began = time.monotonic()
    await harness.run_worker()
    assert time.monotonic() - began > 2
    statuses = [line["http_status"] for line in harness.log_lines("record.fetched")]
    assert sorted(statuses) == [200, 200, 200, 429, 503]
    for event_id in ids:
        stored = await harness.stored_event(event_id)
        assert (stored["state"], stored["attempts"]) == ("ended", "1")
    waits = [line for line in harness.log_lines("attempt.finished") if line["outcome"] == "deferred"]
    assert {line["error_kind"] for line in waits} <= {
        "circuit_open",
        "platform_rate_limited",
        "platform_unavailable",
    }
    assert {line["operation"] for line in harness.log_lines("record.fetched")} == {"pack_cloud.purchase_order.get"}


async def is_open(harness: WorkerHarness) -> bool:
    return bool((await harness.store.limits.open_circuits()).get("pack"))


@pytest.mark.slow
async def test_events_wait_for_new_credentials_in_a_file(
    harness: WorkerHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_circuits(monkeypatch)
    file = tmp_path / "token"
    file.write_text("old")
    async with HttpClient(harness.settings) as outbound:
        config = PackCloudConfig(
            organization_id="o", token=SecretRef(file=str(file)), base_url=harness.sandbox.base_url("pack_cloud")
        )
        throttle = SharedThrottles(harness.store.limits, harness.store.tokens, 1).account("pack", config)
        connector = PackCloud("pack", config, ConnectorDependencies(outbound, {}, throttle))
        cast("dict[str, Platform]", harness.dependencies.platforms)["pack"] = connector
        await harness.publish(SINK_RULE)
        ids = [await harness.send(f"po-{number}") for number in range(20)]
        running = asyncio.create_task(harness.run_worker())
        await until(lambda: is_open(harness))
        file.write_text(harness.sandbox.token)
        await running
    stored = [await harness.stored_event(event_id) for event_id in ids]
    assert {(each["state"], each["attempts"]) for each in stored} == {("ended", "1")}
    opened = harness.log_lines("platform.circuit_opened")
    assert {line["error_kind"] for line in opened} == {"credentials_rejected"}


async def test_deferred_event_becomes_a_dead_letter_at_its_maximum_age(
    make_settings: Callable[..., Settings],
) -> None:
    async with open_harness(make_settings(event_age_seconds_max=0.3)) as harness:

        class OpenCircuit(PackCloud):
            async def fetch(self, ref: Any, context: Any) -> Any:
                _ = ref, context
                raise Deferred("circuit_open", "the circuit is open", 0.2)

        async with HttpClient(harness.settings) as outbound:
            platforms = cast("dict[str, Platform]", harness.dependencies.platforms)
            config = PackCloudConfig(organization_id="o", token=SecretRef(env="T"))
            platforms["pack"] = OpenCircuit("pack", config, ConnectorDependencies(outbound, {"T": "t"}))
            await harness.publish(SINK_RULE)
            event_id = await harness.send()
            await harness.run_worker()
        stored = await harness.stored_event(event_id)
        assert (stored["state"], stored["error_kind"]) == ("dead", "circuit_open")


class DeferredTwice(Log, frozen=True, kw_only=True, tag="log"):
    """Action that is deferred twice before it is done."""

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        _ = inputs
        calls.append(context.idempotency_key)
        if len(calls) < 3:
            raise Deferred("account_throttled", "the limit is reached", 0.05)
        return {"http_status": 204}


class DeferredTwiceThenFailing(DeferredTwice, frozen=True, kw_only=True, tag="log"):
    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        answer = await DeferredTwice.run(inputs, context)
        raise TransientError("target_unavailable", f"failed after: {answer}", http_status=500)


calls: list[str] = []


@pytest.mark.parametrize(
    ("action", "state", "attempts"), [(DeferredTwice, "ended", "1"), (DeferredTwiceThenFailing, "dead", "2")]
)
async def test_deferred_effect_runs_again_without_counting_an_attempt(
    harness: WorkerHarness, action: type[Action], state: str, attempts: str
) -> None:
    calls.clear()
    cast("dict[str, type[Action]]", harness.dependencies.effects.actions)["log"] = action
    await harness.publish(LOG_RULE)
    event_id = await harness.send()
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["attempts"]) == (state, attempts)
    assert len(set(calls)) == 1
    assert [line["outcome"] for line in harness.log_lines("attempt.finished")][:2] == ["deferred", "deferred"]
    assert len(harness.log_lines("record.fetched")) == 1
