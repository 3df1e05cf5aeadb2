"""Conditions of an installation that an operator should act on. Pure."""

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from service.management.circuits import CircuitView
from service.plurals import count_noun
from service.store import QueueStats

OLD_AGE_SECONDS = 300
"""Age of the oldest pending event from which it is reported."""

MEMORY_PERCENT = 70
"""Share of the store's maxmemory from which it is reported. From WAYBILL_STORE_MEMORY_PERCENT_MAX, ingest stops."""


class HealthCondition(Struct, frozen=True):
    """Condition to act on. `code` is stable, `text` is for people, `target` is the account of the condition, if any."""

    code: str
    severity: Literal["error", "warning", "info"]
    text: str
    target: str | None = None


def find_conditions(
    queue: QueueStats, circuits: Sequence[CircuitView], workers_lost: int, quarantined: int, *, is_published: bool
) -> Iterator[HealthCondition]:
    """Yield the conditions, the most serious first."""
    if not queue.workers:
        waiting = f"{count_noun(queue.pending, 'event')} pending" if queue.pending else "no event can be processed"
        yield HealthCondition("no_worker", "error", f"No worker runs: {waiting}.")
    if queue.memory_percent >= MEMORY_PERCENT:
        yield HealthCondition("store_memory", "error", f"The memory of the store is {queue.memory_percent} % full.")
    if queue.damaged_keys:
        keys = count_noun(queue.damaged_keys, "key")
        text = f"Another program damaged {keys} of the store. Events go on; for the fix run: waybill doctor"
        yield HealthCondition("damaged_keys", "error", text)
    if queue.dead_letters:
        yield HealthCondition("dead_letters", "warning", f"{count_noun(queue.dead_letters, 'dead letter')} to replay.")
    yield from _circuit_conditions(circuits)
    if workers_lost and queue.workers:
        yield HealthCondition("workers_lost", "warning", f"{count_noun(workers_lost, 'worker')} without a heartbeat.")
    if queue.oldest_age_ms > OLD_AGE_SECONDS * 1000:
        age = count_noun(queue.oldest_age_ms // 60_000, "minute")
        yield HealthCondition("old_events", "warning", f"The oldest pending event is {age} old.")
    if not is_published:
        yield HealthCondition("no_rulebook", "warning", "No rulebook is active. Publish one: waybill rules apply.")
    if quarantined:
        yield HealthCondition(
            "quarantine", "info", f"{count_noun(quarantined, 'delivery', 'deliveries')} in quarantine."
        )


def _circuit_conditions(circuits: Sequence[CircuitView]) -> Iterator[HealthCondition]:
    for circuit in circuits:
        parked = f", {count_noun(circuit.parked_jobs, 'job')} parked" if circuit.parked_jobs else ""
        if circuit.circuit == "paused":
            yield HealthCondition("account_paused", "warning", f"{circuit.account} is paused{parked}.", circuit.account)
        elif circuit.circuit == "open":
            text = f"The circuit of {circuit.account} is open for {circuit.open_seconds or 0:.0f} s{parked}."
            yield HealthCondition("circuit_open", "warning", text, circuit.account)
