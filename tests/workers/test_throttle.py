"""A worker that keeps to a platform's limits and pauses: nothing is lost by waiting, and no attempt is used up."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import pytest

from service.actions import Action, ActionContext
from service.errors import Deferred, TransientError
from service.http_client import HttpClient
from service.platforms.api.shared_throttle import SharedThrottles
from service.platforms.base import Platform
from service.platforms.kind import ConnectorDependencies
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud
from service.sandbox.faults import Fault
from service.secrets import SecretRef
from service.settings import Settings
from tests.workers.harness import SINK_RULE, House, open_house
from workers.actions.log import Log

pytestmark = pytest.mark.store

LOG_RULE = """
- id: say
  type: purchase_order
  when: {field: id, op: exists}
  actions:
    - {id: one, do: log, message: "{id}"}
"""


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    """A house whose platform has a gate, with attempts for one failure only."""
    settings = make_settings(attempts_max=2, backoff_base_seconds=0.01, wake_timeout_seconds=0.05)
    async with open_house(settings) as opened, HttpClient(settings) as outbound:
        config = PackCloudConfig(
            organization_id="o", token=SecretRef(env="T"), base_url=opened.sandbox.base_url("pack_cloud")
        )
        throttle = SharedThrottles(opened.store.limits, opened.store.tokens, 1).throttle("pack", config)
        dependencies = ConnectorDependencies(outbound, {"T": opened.sandbox.token}, throttle)
        cast("dict[str, Platform]", opened.tools.platforms)["pack"] = PackCloud("pack", config, dependencies)
        yield opened


@pytest.mark.parametrize("status", [429, 503])
async def test_a_platform_that_says_not_now_is_left_in_peace_and_costs_no_attempt(house: House, status: int) -> None:
    await house.publish(SINK_RULE)
    house.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=status, retry_after=1))
    house.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=status, retry_after=1))
    ids = [await house.send(f"po-{n}") for n in range(3)]
    began = time.monotonic()
    await house.work()
    assert time.monotonic() - began > 1
    asked = [line["http_status"] for line in house.said("record.fetched")]
    assert sorted(asked) == [200, 200, 200, status, status]
    for event_id in ids:
        story = await house.story(event_id)
        assert (story["state"], story["attempts"]) == ("ended", "1")
    waits = [line for line in house.said("attempt.finished") if line["outcome"] == "deferred"]
    assert {line["error_kind"] for line in waits} <= {
        "circuit_open",
        "platform_rate_limited",
        "platform_unavailable",
    }
    assert {line["operation"] for line in house.said("record.fetched")} == {"pack_cloud.purchase_order.get"}


async def test_an_event_that_waits_beyond_its_age_becomes_a_dead_letter_with_the_last_reason(
    make_settings: Callable[..., Settings],
) -> None:
    async with open_house(make_settings(event_age_seconds_max=0.3)) as house:

        class Resting(PackCloud):
            async def fetch(self, ref: Any, context: Any) -> Any:
                _ = ref, context
                raise Deferred("circuit_open", "pack rests", 0.2)

        async with HttpClient(house.settings) as outbound:
            platforms = cast("dict[str, Platform]", house.tools.platforms)
            config = PackCloudConfig(organization_id="o", token=SecretRef(env="T"))
            platforms["pack"] = Resting("pack", config, ConnectorDependencies(outbound, {"T": "t"}))
            await house.publish(SINK_RULE)
            event_id = await house.send()
            await house.work()
        story = await house.story(event_id)
        assert (story["state"], story["error_kind"]) == ("dead", "circuit_open")


class Hesitant(Log, frozen=True, kw_only=True, tag="log"):
    """Is held twice, then done."""

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        _ = inputs
        calls.append(context.idempotency_key)
        if len(calls) < 3:
            raise Deferred("account_throttled", "as much as it allows", 0.05)
        return {"http_status": 204}


class HesitantAndBroken(Hesitant, frozen=True, kw_only=True, tag="log"):
    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        answer = await Hesitant.run(inputs, context)
        raise TransientError("target_unavailable", f"after all: {answer}", http_status=500)


calls: list[str] = []


@pytest.mark.parametrize(("action", "state", "attempts"), [(Hesitant, "ended", "1"), (HesitantAndBroken, "dead", "2")])
async def test_an_effect_that_is_held_is_begun_again_without_using_up_an_attempt(
    house: House, action: type[Action], state: str, attempts: str
) -> None:
    calls.clear()
    cast("dict[str, type[Action]]", house.tools.effects.actions)["log"] = action
    await house.publish(LOG_RULE)
    event_id = await house.send()
    await house.work()
    story = await house.story(event_id)
    assert (story["state"], story["attempts"]) == (state, attempts)
    assert len(set(calls)) == 1
    assert [line["outcome"] for line in house.said("attempt.finished")][:2] == ["deferred", "deferred"]
    assert len(house.said("record.fetched")) == 1
