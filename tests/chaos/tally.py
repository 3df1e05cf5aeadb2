"""Counts of sent, acknowledged and processed events. Pure."""

from collections import Counter

from msgspec import Struct

RULE, KEYED, UNSAFE, FALSE = "always", "keyed", "unsafe", "false"


class Row(Struct, frozen=True):
    """One row of the table. `lost` and the counts after it must be 0."""

    fault: str
    sent: int
    acknowledged: int
    processed: int
    dead_letters: int
    lost: int
    unsafe_doubled: int
    out_of_order: int
    second_keys: int
    false_decisions: int
    recovery_seconds: float
    is_in_window: bool = False
    """The fault is within the stated window of the durability. Losses are reported and allowed."""

    @property
    def is_sound(self) -> bool:
        """Whether no event was lost, and no effect was repeated unsafely, out of order, under a second key or false."""
        faults = (self.lost, self.unsafe_doubled, self.out_of_order, self.second_keys, self.false_decisions)
        return self.is_in_window or not any(faults)


class Tally:
    """Counts by event number and by idempotency key."""

    def __init__(self) -> None:
        self.sent = 0
        self.acknowledged: dict[int, str] = {}
        self.effects: Counter[str] = Counter()
        self.keys_of_event: dict[tuple[str, str], set[str]] = {}
        self.states: dict[str, int] = {}
        self.out_of_order: set[str] = set()

    def acknowledge(self, number: int, event_id: str) -> None:
        """Record a 202."""
        self.acknowledged[number] = event_id

    def record_call(self, action: str, key: str) -> None:
        """Record one call of an action at the sink."""
        self.effects[f"{action} {key}"] += 1
        self.keys_of_event.setdefault((action, key.partition(":")[0]), set()).add(key)

    def record_state(self, order: str, state: int, key: str) -> None:
        """Record the state of an order that a PUT left at the sink. The states of an order only grow."""
        if state < self.states.get(order, 0):
            self.out_of_order.add(key.partition(":")[0])
        self.states[order] = state

    def row(self, fault: str, numbers: range, dead: set[str], recovery_seconds: float) -> Row:
        """Count the events of `numbers`; `dead` are the ids of dead letters with unknown effects."""
        acknowledged = {number: self.acknowledged[number] for number in numbers if number in self.acknowledged}
        ids = set(acknowledged.values())
        processed = self._processed(ids)
        return Row(
            fault=fault,
            sent=len(numbers),
            acknowledged=len(acknowledged),
            processed=len(processed),
            dead_letters=len(ids & dead),
            lost=len(ids - processed - dead),
            unsafe_doubled=sum(self._count(UNSAFE, event_id) > 1 for event_id in ids),
            out_of_order=len(ids & self.out_of_order),
            false_decisions=sum(len(self.keys_of_event.get((FALSE, event_id), ())) for event_id in ids),
            second_keys=sum(len(self.keys_of_event.get((KEYED, event_id), ())) > 1 for event_id in ids),
            recovery_seconds=recovery_seconds,
        )

    def lost(self, numbers: range, dead: set[str]) -> dict[int, str]:
        """Return number and id of the lost events of `numbers`."""
        ids = {number: self.acknowledged[number] for number in numbers if number in self.acknowledged}
        known = self._processed(set(ids.values())) | dead
        return {number: event_id for number, event_id in ids.items() if event_id not in known}

    def _processed(self, ids: set[str]) -> set[str]:
        return {event_id for event_id in ids if self._count(KEYED, event_id) and self._count(UNSAFE, event_id)}

    def _count(self, action: str, event_id: str) -> int:
        return self.effects[f"{action} {event_id}:{RULE}:{action}:0"]
