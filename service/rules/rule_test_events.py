"""The event of a rule test: as written in the test, or parsed from a delivery of a sender."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from service.errors import ConfigError
from service.events import EVENT_VERSION, ChangeType, Delivery, Event, Fact, RecordRef

FILE_BYTES_MAX = 1_048_576


class RuleTestEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event of a rule test, with the fields that rules may use.

    With a `delivery` (JSON) or a `delivery_file`, and optional `headers`, the envelope of `source` determines the event
    type, the change type and the time.
    """

    source: str = "example"
    type: str = "example"
    change: ChangeType = "updated"
    platform: str | None = None
    id: str = "0" * 32
    sender_id: str | None = None
    occurred_at: str | None = None
    delivery: Any = None
    delivery_file: str | None = None
    headers: dict[str, str] = {}


class ParsedFact(Struct, frozen=True):
    """The only fact about a record in a delivery, with the bytes, the sender's id and the headers of its event.

    `is_hint`: the platform resolves the record to others.
    """

    fact: Fact
    body: bytes
    sender_id: str | None
    headers: Mapping[str, str]
    is_hint: bool


ParseDelivery = Callable[[Delivery, str], ParsedFact]
"""Parses a delivery. The second argument is the path of the event, for errors."""


def read_delivery(event: RuleTestEvent, folder: Path, parse_delivery: ParseDelivery, at: str) -> ParsedFact | None:
    """Return the fact of the delivery of an event; None without a delivery. `at` is the path of the event, for errors.

    Raises:
        ConfigError: the delivery cannot be read, or there are headers without a delivery.
    """
    if event.delivery is None and event.delivery_file is None:
        if event.headers:
            raise ConfigError(f"{at}.headers", "require a delivery", "add delivery, or delivery_file")
        return None
    if event.delivery is not None and event.delivery_file is not None:
        raise ConfigError(f"{at}.delivery", "cannot be combined with delivery_file", "remove one of the two")
    if event.delivery_file is None:
        body = msgspec.json.encode(event.delivery)
    else:
        body = read_sibling_file(folder / event.delivery_file, f"{at}.delivery_file")
    return parse_delivery(Delivery(event.source, _lower(event.headers), body, 0.0), at)


def build_event(given: RuleTestEvent, parsed: ParsedFact | None, ref: RecordRef, at: str) -> Event:
    """Build the event of a rule test about the record `ref`, as written or of its delivery.

    Raises:
        ConfigError: the delivery is about another record, and is no hint.
    """
    if parsed is None:
        return Event(
            EVENT_VERSION, given.id, given.source, given.type, given.change, ref, given.occurred_at, {}, None, b"",
            sender_id=given.sender_id,
        )  # fmt: skip
    fact, subject = parsed.fact, parsed.fact.record or RecordRef("", "", "")
    _check_subject(parsed, subject, ref, at)
    record = RecordRef(given.platform or subject.platform, ref.kind, ref.id)
    return Event(
        EVENT_VERSION, given.id, given.source, fact.type, fact.change, record, fact.occurred_at, dict(parsed.headers),
        None, parsed.body, sender_id=parsed.sender_id,
    )  # fmt: skip


def _check_subject(parsed: ParsedFact, subject: RecordRef, ref: RecordRef, at: str) -> None:
    kind = ref.kind
    if not parsed.is_hint and subject.kind != kind:
        fix = "use a record and a delivery of the same kind"
        raise ConfigError(f"{at}.source", f"the delivery is about a {subject.kind}, the test about a {kind}", fix)
    if subject.kind == kind and subject.id and subject.id != ref.id:
        fix = "use the record and the delivery of the same event"
        raise ConfigError(f"{at}.source", f"the delivery is about {subject.id[:64]!r}, the record is {ref.id!r}", fix)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def read_sibling_file(path: Path, at: str) -> bytes:
    """Read a file that a rule test refers to. `at` is the path of the reference, for errors.

    Raises:
        ConfigError: the file cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            body = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        fix = "write a path relative to the folder of the rule tests"
        raise ConfigError(at, f"{path} cannot be read: {error.strerror}", fix) from None
    if len(body) > FILE_BYTES_MAX:
        raise ConfigError(at, f"{path} is larger than {FILE_BYTES_MAX} bytes", "use a smaller file")
    return body
