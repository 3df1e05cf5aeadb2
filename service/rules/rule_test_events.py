"""The event of an example: as it is written, or as a sender's own delivery tells it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from service.errors import ConfigError
from service.events import ChangeType, Delivery, Fact, RecordRef
from service.records import RECORDS, Record

FILE_BYTES_MAX = 1_048_576


class ExampleEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event of an example; only what rules may ask of it.

    With a `delivery` (JSON) or a `delivery_file`, and the `headers` that tell something, type, change and moment are
    what the envelope of `source` reads in it.
    """

    source: str = "example"
    type: str = "example"
    change: ChangeType = "updated"
    platform: str | None = None
    id: str = "0" * 32
    occurred_at: str | None = None
    delivery: Any = None
    delivery_file: str | None = None
    headers: dict[str, str] = {}


ReadDelivery = Callable[[Delivery, str], Fact]
"""From a delivery, and where the event stands, to the one fact about a record that it tells; knows the sources."""


def read_event(event: ExampleEvent, folder: Path, read_delivery: ReadDelivery, at: str) -> ExampleEvent | Fact:
    """Give the event as it is written, or the fact that its delivery tells; `at` is where the event stands.

    Raises:
        ConfigError: a delivery that cannot be read, or headers without one.
    """
    if event.delivery is None and event.delivery_file is None:
        if event.headers:
            raise ConfigError(f"{at}.headers", "have no meaning without a delivery", "add delivery, or delivery_file")
        return event
    if event.delivery is not None and event.delivery_file is not None:
        raise ConfigError(f"{at}.delivery", "stands beside delivery_file", "leave one of the two out")
    if event.delivery_file is None:
        body = msgspec.json.encode(event.delivery)
    else:
        body = read_sibling_file(folder / event.delivery_file, f"{at}.delivery_file")
    headers = {name.lower(): value for name, value in event.headers.items()}
    return read_delivery(Delivery(event.source, headers, body, 0.0), at)


def event_of_delivery(fact: Fact, event: ExampleEvent, record: Record, kind: str, at: str) -> ExampleEvent:
    """Make the event that a delivery tells, and see that it is about this record, or a hint to some.

    Raises:
        ConfigError: it is about another record.
    """
    about = fact.record or RecordRef("", "", "")
    if about.kind in RECORDS and about.kind != kind:
        raise ConfigError(
            f"{at}.source", f"the delivery is about a {about.kind}, the example about a {kind}", "keep one"
        )
    if about.kind == kind and about.id != record.id:
        fix = "keep the record and the delivery of one event"
        raise ConfigError(f"{at}.source", f"the delivery is about {about.id[:64]!r}, the record is {record.id!r}", fix)
    platform = event.platform or about.platform
    return structs.replace(
        event, type=fact.type, change=fact.change, occurred_at=fact.occurred_at, platform=platform, delivery=None
    )


def read_sibling_file(path: Path, at: str) -> bytes:
    """Read a file that an example names; `at` is where it is named.

    Raises:
        ConfigError: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            body = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(at, f"{path} cannot be read: {error.strerror}", "name a file beside the examples") from None
    if len(body) > FILE_BYTES_MAX:
        raise ConfigError(at, f"{path} is larger than {FILE_BYTES_MAX} bytes", "keep a smaller one")
    return body
