"""Conformance to the documentation: the connectors against a fake of each platform, written from the pages alone.

`documented/` has one table for each platform. Every row, error, enumeration and nullable field of a table is a test.
"""

import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec import UNSET

from service.bodies.pointers import parse_pointer, resolve_pointer
from service.config.platforms import BuiltInPlatformConfig
from service.errors import PermanentError, TransientError
from service.events import RecordRef
from service.http_client import HttpClient
from service.platforms import CallContext, Platform
from service.platforms.api.pointer_map import missing_fields
from service.platforms.registry import PLATFORMS, READS, WRITES, build_platforms
from service.settings import Settings
from tests.platform_accounts import platform_configs
from tests.service.platforms.documented.table import TOKEN, Documentation, Failure, Fake, Row, serve

DOCUMENTS: dict[str, Documentation] = {
    kind: import_module(f"tests.service.platforms.documented.{kind}").DOCUMENT for kind in PLATFORMS if kind != "custom"
}
ROWS = [pytest.param(kind, row, id=f"{kind}-{row.operation}") for kind, each in DOCUMENTS.items() for row in each.rows]
_encode = msgspec.json.Encoder(decimal_format="number").encode
CONTEXT = CallContext("e" * 32, "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "corr-1")


class Connected(NamedTuple):
    """A connector and the fake that it calls."""

    platform: Platform
    fake: Fake
    documentation: Documentation


Connect = Callable[[str], Awaitable[Connected]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def start(kind: str) -> Connected:
            documentation = DOCUMENTS[kind]
            fake = await stack.enter_async_context(serve(documentation))
            outbound = await stack.enter_async_context(HttpClient(Settings()))
            text = json.dumps({"kind": kind, "base_url": "{url}" + documentation.base_path, **documentation.account})
            configs = platform_configs({"acct": json.loads(text.replace("{url}", fake.url))})
            platform = build_platforms(configs, {"TOKEN": TOKEN, "CLIENT": "waybill"}, outbound)["acct"]
            return Connected(platform, fake, documentation)

        yield start


async def call(connected: Connected, row: Row) -> Any:
    kind = connected.documentation.kind
    if row.operation in READS[kind]:
        return await READS[kind][row.operation].run(connected.platform, row.arguments, CONTEXT)
    body = None if row.body is None else msgspec.json.encode(row.body)
    return await WRITES[kind][row.operation].run(connected.platform, row.arguments, body, CONTEXT)


def plain(value: Any) -> Any:
    """Return decoded JSON with floats, as the tables have them."""
    return json.loads(_encode(value))


def inner(documentation: Documentation, answer: Any) -> Any:
    return answer["data"] if documentation.wrapped and answer and "data" in answer else answer


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_operation_has_a_row(kind: str) -> None:
    rows = [row.operation for row in DOCUMENTS[kind].rows]
    assert sorted(rows) == sorted({*READS[kind], *WRITES[kind]}), "one row for each operation, and no other"
    config: Any = PLATFORMS[kind].config
    assert DOCUMENTS[kind].records.keys() == config.places.keys()


@pytest.mark.parametrize(("kind", "row"), ROWS)
async def test_an_operation_sends_the_documented_request_and_reads_the_answer(
    connect: Connect, kind: str, row: Row
) -> None:
    connected = await connect(kind)
    result = await call(connected, row)
    assert connected.fake.undocumented == []
    assert connected.fake.requested == [row.operation]
    if row.operation in WRITES[kind]:
        expected = inner(connected.documentation, row.answer)
        assert (result.http_status, plain(result.data)) == (row.status, plain(expected))
    elif row.items is None:
        assert plain(result) == plain(inner(connected.documentation, row.answer))
    else:
        assert plain(result["items"]) == plain(row.answer[row.items])
        assert result["next"] == row.next


class Expected(NamedTuple):
    """An error of an operation: the exception's type and kind, for a read and for a write."""

    status: int
    read: tuple[type[Exception], str]
    write: tuple[type[Exception], str]


REJECTED = (PermanentError, "platform_rejected")
UNAVAILABLE = (TransientError, "platform_unavailable")
ERRORS = [
    Expected(400, REJECTED, REJECTED),
    Expected(401, (PermanentError, "config_unauthorized"), (PermanentError, "config_unauthorized")),
    Expected(403, (PermanentError, "config_forbidden"), (PermanentError, "config_forbidden")),
    Expected(409, REJECTED, REJECTED),
    Expected(422, REJECTED, REJECTED),
    Expected(429, (TransientError, "platform_rate_limited"), (TransientError, "platform_rate_limited")),
    Expected(500, UNAVAILABLE, UNAVAILABLE),
    Expected(504, UNAVAILABLE, UNAVAILABLE),
]


@pytest.mark.parametrize(("kind", "row"), ROWS)
async def test_an_operation_reports_every_documented_error(connect: Connect, kind: str, row: Row) -> None:
    connected = await connect(kind)
    reads = row.operation in READS[kind]
    for expected in ERRORS:
        body = connected.documentation.error("the documented reason")
        headers = {"Retry-After": "7"} if expected.status == 429 else {}
        connected.fake.failures[row.operation] = Failure(expected.status, body, headers)
        error, name = expected.read if reads else expected.write
        if reads and expected.status == 422 and connected.documentation.transient_422:
            error, name = UNAVAILABLE
        with pytest.raises(error) as raised:
            await call(connected, row)
        failed: Any = raised.value
        assert (failed.kind, failed.http_status, failed.operation) == (name, expected.status, f"{kind}.{row.operation}")
        assert "the documented reason" in str(failed)
        assert expected.status != 429 or failed.retry_after_seconds == 7
    assert connected.fake.undocumented == []


@pytest.mark.parametrize(("kind", "row"), ROWS)
async def test_a_missing_object_is_no_error_of_a_read_or_a_deletion(connect: Connect, kind: str, row: Row) -> None:
    connected = await connect(kind)
    connected.fake.failures[row.operation] = Failure(404, connected.documentation.error("no such object"))
    if row.operation in READS[kind] and row.items is None:
        assert await call(connected, row) is None
    elif row.method == "DELETE":
        assert (await call(connected, row)).http_status == 404, "gone already is as good"
    else:
        with pytest.raises(PermanentError) as raised:
            await call(connected, row)
        assert raised.value.kind == ("config_wrong_address" if row.items else row.missing)


RECORDS = [pytest.param(kind, name, id=f"{kind}-{name}") for kind, each in DOCUMENTS.items() for name in each.records]


async def fetch(connected: Connected, kind: str, changes: dict[str, Any]) -> Any:
    """Fetch a record whose documented answer has other values at some pointers; UNSET removes a member."""
    documented = connected.documentation.records[kind]
    answer = copy.deepcopy(connected.documentation.row(documented.operation).answer)
    for pointer, value in changes.items():
        *above, last = parse_pointer(pointer)
        holder: Any = resolve_pointer(inner(connected.documentation, answer), tuple(above))
        if value is UNSET:
            holder.pop(last, None)
        else:
            holder[last] = value
    connected.fake.answers[documented.operation] = answer
    fetched = await connected.platform.fetch(RecordRef("acct", kind, documented.id), CONTEXT)
    assert plain(fetched.raw) == plain(inner(connected.documentation, answer))
    assert connected.fake.undocumented == []
    return fetched.record


@pytest.mark.parametrize(("kind", "record_kind"), RECORDS)
async def test_every_nullable_field_may_be_null_or_absent(connect: Connect, kind: str, record_kind: str) -> None:
    connected = await connect(kind)
    config: Any = PLATFORMS[kind].config
    assert issubclass(config, BuiltInPlatformConfig)
    whole = await fetch(connected, record_kind, {})
    assert missing_fields(config.places[record_kind], whole) == []
    for pointer in connected.documentation.records[record_kind].nullable:
        null = await fetch(connected, record_kind, {pointer: None})
        assert missing_fields(config.places[record_kind], null) == [], pointer
        absent = await fetch(connected, record_kind, {pointer: UNSET})
        assert null.id == absent.id == whole.id
        field = next((name for name, at in config.places[record_kind].items() if at == pointer), None)
        if field is not None and "." not in field:
            assert (getattr(null, field), getattr(absent, field)) == (None, UNSET)


ENUMS = [
    pytest.param(kind, enum, id=f"{kind}-{enum.kind}{enum.pointer}")
    for kind, each in DOCUMENTS.items()
    for enum in each.enums
]


@pytest.mark.parametrize(("kind", "enum"), ENUMS)
async def test_every_documented_value_and_a_new_one_reach_the_rules(connect: Connect, kind: str, enum: Any) -> None:
    connected = await connect(kind)
    for value in (*enum.values, "added_later"):
        record = await fetch(connected, enum.kind, {enum.pointer: value})
        assert enum.field is None or getattr(record, enum.field) == value
    config: Any = PLATFORMS[kind].config
    steps = "".join("[]" if step.isdigit() else f".{step}" for step in parse_pointer(enum.pointer))
    documented = config.enums[enum.kind]
    assert enum.field is None or documented[enum.field] == documented[f"raw{steps}"]
    assert set(documented[f"raw{steps}"]) == set(enum.values)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_enumeration_that_rules_are_checked_against_is_documented(kind: str) -> None:
    config: Any = PLATFORMS[kind].config
    known = {(enum.kind, values) for enum in DOCUMENTS[kind].enums for values in [frozenset(enum.values)]}
    assert all((name, frozenset(values)) in known for name, table in config.enums.items() for values in table.values())
