"""Overview: sums over stores, activity of the newest events, and conditions to act on."""

import time

import pytest
from msgspec import structs

from service.config import SourceConfig
from service.events import new_event_id, received_at_ms
from service.management.circuits import CircuitView
from service.management.conditions import OLD_AGE_SECONDS, find_conditions
from service.management.event_filter import format_timestamp
from service.management.operations import AdminOperations
from service.management.overview import HOURS, SAMPLED_EVENTS_MAX
from service.store import IngestRequest, QueueStats, Store
from tests.service.ingress.admin.conftest import installation_of
from tests.service.management.conftest import ANN, operations_on
from tests.service.store.builders import make_event

pytestmark = pytest.mark.store

QUIET = QueueStats(**(dict.fromkeys(QueueStats.__struct_fields__, 0) | {"workers": 1}))
HOUR_MS = 3_600_000


async def test_events_are_counted_by_the_hour_of_their_end(store: Store) -> None:
    # The counts exclude the current millisecond, and the next hour may begin during the test.
    newest = int(time.time() * 1000) - 1
    for number, (hours, index) in enumerate(((0, "ended"), (0, "dead"), (1, "ended"), (22, "ended"), (25, "ended"))):
        await store.client.command("ZADD", f"wb:{index}", newest - hours * HOUR_MS, f"{number:032x}")
    overview = await operations_on(store).get_overview()
    counts = {hour.at: (hour.ended, hour.dead) for hour in overview.hours if hour.ended or hour.dead}
    begins = [format_timestamp((newest // HOUR_MS - hours) * HOUR_MS) for hours in (22, 1, 0)]
    assert (len(overview.hours), counts) == (HOURS, dict(zip(begins, ((1, 0), (1, 0), (1, 1)), strict=True)))
    assert (overview.ended_per_minute, overview.queue.dead_letters) == (2.0, 1)


async def test_arrivals_per_minute_are_those_of_the_newest_events(store: Store) -> None:
    now = int(time.time() * 1000)
    pairs = [(now - number, new_event_id((now - number) / 1000)) for number in range(SAMPLED_EVENTS_MAX + 1)]
    await store.client.command("ZADD", "wb:ended", *(item for pair in pairs for item in pair))
    # More arrived within the limit's 0.6 seconds than are read.
    assert (await operations_on(store).get_overview()).received_per_minute > SAMPLED_EVENTS_MAX


async def test_arrivals_of_configured_sources_are_counted_exactly(store: Store) -> None:
    number = SAMPLED_EVENTS_MAX + 50
    events = [make_event(str(each), source="busy") for each in range(number)]
    events += [make_event("1", source="quiet"), make_event("1", source="removed")]
    for first in range(0, len(events), 100):
        await store.ingest_all([IngestRequest(event, event.id, 60_000) for event in events[first : first + 100]])
    await store.flush_arrivals()
    installation = installation_of(lambda: store)
    config = structs.replace(installation.config(), sources=dict.fromkeys(("busy", "quiet", "new"), SourceConfig()))
    operations = AdminOperations(structs.replace(installation, config=lambda: config), ANN)
    overview = await operations.get_overview()
    assert [(each.source, sum(each.hours)) for each in overview.sources] == [("busy", number), ("quiet", 1), ("new", 0)]
    assert [each.last_at is None for each in overview.sources] == [False, False, True]
    assert await operations.list_activity() == overview.sources


def test_ids_contain_the_time_of_receipt() -> None:
    assert received_at_ms(new_event_id(1_700_000_000.123)) == 1_700_000_000_123
    assert [received_at_ms(other) for other in ("", "x" * 32, "f" * 32, "z" * 12 + "7" + "0" * 3 + "8" + "0" * 15)] == [
        None
    ] * 4


def test_conditions_name_the_most_serious_first() -> None:
    def codes(circuits: list[CircuitView], workers_lost: int = 0, quarantined: int = 0, **changes: int) -> list[str]:
        queue = structs.replace(QUIET, **changes)
        return [each.code for each in find_conditions(queue, circuits, workers_lost, quarantined, is_published=True)]

    circuit = CircuitView(
        account="pack", kind="pack_cloud", circuit="open", open_seconds=5.0, parked_jobs=2, parked_age_seconds=1.0
    )
    assert codes([structs.replace(circuit, circuit="closed")]) == []
    assert codes([circuit], workers=0, dead_letters=3, quarantined=1) == [
        "no_worker", "dead_letters", "circuit_open", "quarantine",
    ]  # fmt: skip
    assert codes([structs.replace(circuit, circuit="paused")], 1, memory_percent=70) == [
        "store_memory", "account_paused", "workers_lost",
    ]  # fmt: skip
    assert codes([], damaged_keys=1, dead_letters=1) == ["damaged_keys", "dead_letters"]
    assert codes([], oldest_age_ms=OLD_AGE_SECONDS * 1000) == []
    assert codes([], oldest_age_ms=OLD_AGE_SECONDS * 1000 + 1) == ["old_events"]
    assert [each.code for each in find_conditions(QUIET, [], 0, 0, is_published=False)] == ["no_rulebook"]
