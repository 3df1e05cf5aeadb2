"""What was sent, acknowledged and done, kept apart from every process that is broken. Pure counting."""

from collections import Counter

from msgspec import Struct

RULE, KEYED, UNSAFE = "always", "keyed", "unsafe"


class Row(Struct, frozen=True):
    """One line of the table; the last three counts have to be 0."""

    fault: str
    sent: int
    acknowledged: int
    processed: int
    dead_letters: int
    lost: int
    unsafe_doubled: int
    second_keys: int
    recovery_seconds: float
    is_in_window: bool = False
    """The fault falls into the window that the durability in force states, and what is lost there is only told."""

    @property
    def is_sound(self) -> bool:
        """Nothing acknowledged was lost, nothing unsafe done twice, nothing keyed under two keys."""
        return self.is_in_window or self.lost == self.unsafe_doubled == self.second_keys == 0


class Tally:
    """Counts by event number and by idempotency key."""

    def __init__(self) -> None:
        self.sent = 0
        self.acknowledged: dict[int, str] = {}
        self.effects: Counter[str] = Counter()
        self.keys_of_event: dict[tuple[str, str], set[str]] = {}

    def acknowledge(self, number: int, event_id: str) -> None:
        """Note a 202."""
        self.acknowledged[number] = event_id

    def act(self, action: str, key: str) -> None:
        """Note one call of an action at the sink."""
        self.effects[f"{action} {key}"] += 1
        self.keys_of_event.setdefault((action, key.partition(":")[0]), set()).add(key)

    def row(self, fault: str, numbers: range, dead: set[str], recovery_seconds: float) -> Row:
        """Count the events of `numbers`; `dead` are the ids of all dead letters."""
        taken = {number: self.acknowledged[number] for number in numbers if number in self.acknowledged}
        ids = set(taken.values())
        done = {event_id for event_id in ids if self._count(KEYED, event_id) and self._count(UNSAFE, event_id)}
        return Row(
            fault=fault,
            sent=len(numbers),
            acknowledged=len(taken),
            processed=len(done),
            dead_letters=len(ids & dead),
            lost=len(ids - done - dead),
            unsafe_doubled=sum(self._count(UNSAFE, event_id) > 1 for event_id in ids),
            second_keys=sum(len(self.keys_of_event.get((KEYED, event_id), ())) > 1 for event_id in ids),
            recovery_seconds=recovery_seconds,
        )

    def _count(self, action: str, event_id: str) -> int:
        return self.effects[f"{action} {event_id}:{RULE}:{action}:0"]
