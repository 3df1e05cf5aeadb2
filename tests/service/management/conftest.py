"""Worker harness with two rules, its named store, and dead letters."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from service.log import configure
from service.management.audit_log import Actor
from service.management.operations import AdminOperations
from service.management.stores import NamedStore, name_stores
from service.sandbox.faults import Fault
from service.settings import Settings
from service.store import Shards, Store
from tests.service.ingress.admin.conftest import installation_of
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness

ANN = Actor("ann", "operator", "command", "host-7")
TWO_RULES = SINK_RULE + SINK_RULE.replace("short-receipt", "other").replace("claims", "other")


@pytest.fixture(autouse=True)
def log_as_json() -> None:
    configure("service")


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    async with open_harness(make_settings(backoff_base_seconds=0.02, attempts_max=1, lease_seconds=20)) as opened:
        await opened.publish(TWO_RULES)
        yield opened


@pytest.fixture
def stores(harness: WorkerHarness) -> list[NamedStore]:
    return name_stores([harness.store])


@pytest.fixture
def operations(harness: WorkerHarness) -> AdminOperations:
    return operations_on(harness.store)


def operations_on(store: Store | Shards, actor: Actor = ANN, sources: Mapping[str, Any] = {}) -> AdminOperations:
    return AdminOperations(installation_of(lambda: store, sources=sources), actor)


async def make_dead_letters(harness: WorkerHarness, count: int = 1, record_id: str = "po-1") -> list[str]:
    """Make dead letters: the effect of one rule fails, the effect of the other rule is done."""
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400, times=count))
    ids = [await harness.send(record_id) for _ in range(count)]
    await harness.run_worker()
    return ids
