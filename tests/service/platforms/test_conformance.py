"""Conformance: every platform of the registry, over its samples and over the failures of a call.

A new platform needs its samples in `tests/samples/<platform>/`: `account.yaml` as in waybill.yaml, answers of the
platform (`<kind>.json`, `<kind>.<variant>.json`, `list.<kind>.json`), deliveries (`delivery.<name>.json`), the
operations of its documentation (`operations.txt`), and one example of each write action (`writes.yaml`). `places.yaml`
gives values to places that are empty in the samples.
"""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from service.errors import ConfigError, PermanentError, Rejection, TransientError
from service.events import Delivery, RecordRef
from service.http_client import HttpClient
from service.platforms import CallContext, FetchedRecord, Platform
from service.platforms.api.declared_operations import client_methods
from service.platforms.kind import PlatformKind
from service.platforms.registry import PLATFORMS, build_platforms
from service.records import RECORDS
from service.sandbox.faults import Fault
from service.sandbox.platforms import MOCKS
from service.sandbox.server import SandboxHandle
from service.settings import Settings
from tests.platform_accounts import platform_configs, sample_account, sandbox_url

pytestmark = pytest.mark.slow  # each case starts a mock of the platform

SAMPLES = Path(__file__).parents[2] / "samples"
CONTEXT = CallContext("0" * 32, "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "corr-1")
NO_OWN_ID = "po-501"
"""What is asked for where a sample does not state its id."""


class Sample(msgspec.Struct, frozen=True):
    platform: str
    name: str
    text: str

    @property
    def kind(self) -> str:
        return self.name.split(".")[0]

    @property
    def id_key(self) -> str:
        return MOCKS[self.platform].id_keys.get(self.kind, "id") if self.platform in MOCKS else "id"

    @property
    def id(self) -> str:
        return str(self.state(self.data()).get(self.id_key, NO_OWN_ID))

    def data(self) -> dict[str, Any]:
        return json.loads(self.text)

    def state(self, data: dict[str, Any]) -> dict[str, Any]:
        return data.get("result" if self.platform == "custom" else "data", data)


def samples(*prefixes: str) -> list[Any]:
    return [
        pytest.param(Sample(folder.name, path.stem, path.read_text()), id=f"{folder.name}/{path.stem}")
        for folder in sorted(SAMPLES.iterdir())
        if folder.name in PLATFORMS
        for path in sorted(folder.glob("*.json"))
        if path.name.startswith(prefixes)
    ]


DELIVERIES = samples("delivery.")
RECORD_SAMPLES = samples(*RECORDS)
ONE_EACH = list({param.values[0].platform: param for param in RECORD_SAMPLES}.values())

Build = Callable[[str], Platform]
TIMEOUT_SECONDS = 0.5


@pytest.fixture
async def outbound() -> AsyncIterator[HttpClient]:
    async with HttpClient(Settings(fetch_timeout_seconds=60, fetch_bytes_max=100_000)) as client:
        yield client


@pytest.fixture
def build(box: SandboxHandle, outbound: HttpClient) -> Build:
    def make(kind: str) -> Platform:
        configs = platform_configs({"acct": sample_account(kind, sandbox_url(kind, box))})
        return build_platforms(configs, {"TOKEN": box.token, "CLIENT": "waybill"}, outbound)["acct"]

    return make


async def ask(
    build: Build, box: SandboxHandle, sample: Sample, fault: Fault, *, asked: str | None = None
) -> FetchedRecord:
    """Fetch the sample's record while `fault` waits, after the connector has got what it keeps (token, currency)."""
    platform = build(sample.platform)
    await platform.fetch(RecordRef("acct", "customer", "missing-0"), CONTEXT)
    box.sandbox.faults.add(msgspec.structs.replace(fault))
    return await platform.fetch(RecordRef("acct", sample.kind, asked or sample.id), CONTEXT)


def required_samples(kind: PlatformKind) -> list[str]:
    """List the samples that the tests of a platform need, as patterns below its folder."""
    needed = ["account.yaml", "list.*.json"]
    needed += ["operations.txt", "delivery.*.json"] if kind.config.has_envelope else []
    return needed + (["writes.yaml"] if any(method.rule_action for method in client_methods(kind.client)) else [])


@pytest.mark.parametrize("kind", PLATFORMS)
def test_every_platform_has_its_samples(kind: str) -> None:
    folder = SAMPLES / kind
    assert [pattern for pattern in required_samples(PLATFORMS[kind]) if not any(folder.glob(pattern))] == []
    assert any((folder / f"{record}.json").exists() for record in RECORDS)


@pytest.mark.parametrize("kind", PLATFORMS)
async def test_a_missing_secret_raises_config_error_with_its_path(kind: str, box: SandboxHandle) -> None:
    configs = platform_configs({"acct": sample_account(kind, sandbox_url(kind, box))})
    async with HttpClient(Settings()) as outbound:
        with pytest.raises(ConfigError) as raised:
            build_platforms(configs, {}, outbound)
    assert raised.value.path.startswith("platforms.acct.")


TRANSIENT = [
    (Fault(reset=True, times=2), "reset"),
    (Fault(status=408), "platform_unavailable"),
    (Fault(status=425), "platform_unavailable"),
    (Fault(status=429), "platform_rate_limited"),
    (Fault(status=500), "platform_unavailable"),
    (Fault(status=503, body="<html>down</html>", content_type="text/html"), "platform_unavailable"),
    (Fault(status=504, body=""), "platform_unavailable"),
    (Fault(status=200, body="<!DOCTYPE html><p>Maintenance"), "platform_not_json"),
    (Fault(status=200, body='{"data": {"id": "1", "upd'), "platform_truncated_json"),
    (Fault(status=200, body=""), "platform_truncated_json"),
    (Fault(status=204, body=""), "platform_truncated_json"),
    (Fault(status=200, body="[]"), "platform_wrong_envelope"),
    (Fault(status=200, body="null"), "platform_wrong_envelope"),
    (Fault(status=200, body="{}"), "platform_wrong_envelope"),
    (Fault(status=200, body='{"error": "no such thing"}'), "platform_wrong_envelope"),
    (Fault(status=200, body='{"error": "maintenance"}'), "platform_wrong_envelope"),
    (Fault(status=200, body='{"errors": [{"extensions": {"code": "THROTTLED"}}]}'), "platform_rate_limited"),
    (Fault(status=200, body='{"error": {"code": 401, "message": "key"}}'), "config_unauthorized"),
    (Fault(status=200, body='{"data": []}'), "platform_wrong_envelope"),
    (Fault(status=200, body="{id: 1}"), "platform_malformed_json"),
    (Fault(status=200, body='{"a": 1} {"a": 2}'), "platform_malformed_json"),
    (Fault(status=200, body="[" * 5_000), "platform_malformed_json"),
    (Fault(status=302, body=""), "config_redirected"),
    (Fault(status=307, body=""), "config_redirected"),
]
PERMANENT = [
    (Fault(status=200, body="x" * 100_001), "response_too_large"),
    (Fault(status=200, body='{"errors": [{"extensions": {"code": "BAD_USER_INPUT"}}]}'), "platform_rejected"),
    (Fault(status=301, body=""), "config_redirected"),
    (Fault(status=308, body=""), "config_redirected"),
    (Fault(status=400), "platform_rejected"),
    (Fault(status=403), "config_forbidden"),
    (Fault(status=404, body="<html>Not Found</html>", content_type="text/html"), "config_wrong_address"),
    (Fault(status=405), "platform_rejected"),
    (Fault(status=409), "platform_rejected"),
]


@pytest.mark.parametrize("sample", ONE_EACH)
@pytest.mark.parametrize(("fault", "error"), TRANSIENT)
async def test_transient_failures_raise_transient_error(
    build: Build, box: SandboxHandle, sample: Sample, fault: Fault, error: str
) -> None:
    with pytest.raises(TransientError) as raised:
        await ask(build, box, sample, fault)
    assert raised.value.kind == error
    assert raised.value.http_status == fault.status
    assert raised.value.operation == f"{sample.platform}.{sample.kind}.get"


@pytest.mark.parametrize("sample", ONE_EACH)
async def test_slow_response_raises_transient_error(
    build: Build, box: SandboxHandle, outbound: HttpClient, sample: Sample
) -> None:
    platform = build(sample.platform)
    # This call reads the token and the currency, so that the slow call is the fetch itself.
    await platform.fetch(RecordRef("acct", "customer", "missing-0"), CONTEXT)
    box.sandbox.faults.add(Fault(delay_ms=60_000))
    outbound.settings = msgspec.structs.replace(outbound.settings, fetch_timeout_seconds=TIMEOUT_SECONDS)
    with pytest.raises(TransientError) as raised:
        await platform.fetch(RecordRef("acct", sample.kind, sample.id), CONTEXT)
    assert (raised.value.kind, raised.value.operation) == ("timeout", f"{sample.platform}.{sample.kind}.get")


@pytest.mark.parametrize("sample", ONE_EACH)
@pytest.mark.parametrize(("fault", "error"), PERMANENT)
async def test_permanent_failures_raise_permanent_error(
    build: Build, box: SandboxHandle, sample: Sample, fault: Fault, error: str
) -> None:
    with pytest.raises(PermanentError) as raised:
        await ask(build, box, sample, fault)
    assert raised.value.kind == error
    assert raised.value.http_status == fault.status


@pytest.mark.parametrize("sample", ONE_EACH)
async def test_rejected_credentials_are_a_config_error_without_the_secret(
    build: Build, box: SandboxHandle, sample: Sample
) -> None:
    said = json.dumps({"errors": [{"detail": f"Invalid key ({box.token}) of john@example.com"}]})
    with pytest.raises(PermanentError) as raised:
        await ask(build, box, sample, Fault(status=401, body=said, times=2))
    assert raised.value.kind == "config_unauthorized"
    assert box.token not in str(raised.value)
    assert "john" not in str(raised.value)


@pytest.mark.parametrize("sample", ONE_EACH)
async def test_another_record_than_the_requested_one_is_rejected(
    build: Build, box: SandboxHandle, sample: Sample
) -> None:
    data = sample.data()
    sample.state(data)[sample.id_key] = "another"
    with pytest.raises(PermanentError) as raised:
        await ask(build, box, sample, Fault(status=200, body=json.dumps(data)), asked="asked")
    assert raised.value.kind == "platform_wrong_record"


@pytest.mark.parametrize("sample", ONE_EACH)
@pytest.mark.parametrize("status", [404, 410])
async def test_a_gone_record_is_fetched_as_none(build: Build, box: SandboxHandle, sample: Sample, status: int) -> None:
    fetched = await ask(build, box, sample, Fault(status=status, body='{"message": "no such record"}'))
    assert (fetched.record, fetched.raw, fetched.version, fetched.http_status) == (None, {}, None, status)


@pytest.mark.parametrize("sample", ONE_EACH)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honored_in_seconds_and_as_a_date(
    build: Build, box: SandboxHandle, sample: Sample, status: int
) -> None:
    with pytest.raises(TransientError) as raised:
        await ask(build, box, sample, Fault(status=status, retry_after=7))
    assert raised.value.retry_after_seconds == 7
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    with pytest.raises(TransientError) as raised:
        await ask(build, box, sample, Fault(status=status, retry_after=date))
    assert 50 < (raised.value.retry_after_seconds or 0) <= 60


@pytest.mark.parametrize("kind", PLATFORMS)
@pytest.mark.parametrize("record_id", ["", ".", ".."])
async def test_an_id_that_changes_the_path_is_rejected_before_the_call(build: Build, kind: str, record_id: str) -> None:
    with pytest.raises(PermanentError) as raised:
        await build(kind).fetch(RecordRef("acct", "customer", record_id), CONTEXT)
    assert raised.value.kind == "invalid_id"


@pytest.mark.parametrize("kind", PLATFORMS)
async def test_an_unknown_kind_raises_permanent_error(build: Build, kind: str) -> None:
    with pytest.raises(PermanentError) as raised:
        await build(kind).fetch(RecordRef("acct", "invoice", "1"), CONTEXT)
    assert raised.value.kind == "unknown_kind"


@pytest.mark.parametrize("kind", PLATFORMS)
@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b"null", b"1", b"{}", b'{"action": 1}', b'{"event_code": "customer.updated"}', b"\xff"]
)
async def test_a_delivery_without_an_event_is_rejected(build: Build, kind: str, body: bytes) -> None:
    with pytest.raises(Rejection) as raised:
        build(kind).read(Delivery("src", {}, body, 0.0))
    assert raised.value.code in {"unrecognized_event", "malformed_payload"}
    assert raised.value.status in {400, 422}


@pytest.mark.parametrize("sample", DELIVERIES)
async def test_a_delivery_becomes_facts_of_its_account(build: Build, sample: Sample) -> None:
    facts = build(sample.platform).read(Delivery("src", {}, sample.text.encode(), 0.0))
    assert len(facts) == 1
    assert all(fact.record is None or (fact.record.platform == "acct" and fact.record.id) for fact in facts)


@pytest.mark.parametrize("sample", RECORD_SAMPLES)
async def test_a_sample_becomes_a_record_of_its_kind(build: Build, box: SandboxHandle, sample: Sample) -> None:
    fetched = await ask(build, box, sample, Fault(status=200, body=sample.text))
    assert isinstance(fetched.record, RECORDS[sample.kind])
    assert fetched.record.id == sample.id
    assert fetched.operation == f"{sample.platform}.{sample.kind}.get"
    assert len(fetched.digest) == 64
    assert fetched.duration_ms > 0
    assert fetched.version is None or fetched.version.endswith("Z")
    reordered = json.dumps(sample.data(), sort_keys=True)
    assert (await ask(build, box, sample, Fault(status=200, body=reordered))).digest == fetched.digest


@pytest.mark.parametrize("sample", ONE_EACH)
async def test_unknown_fields_and_values_pass_and_change_the_digest(
    build: Build, box: SandboxHandle, sample: Sample
) -> None:
    data = sample.data()
    before = await ask(build, box, sample, Fault(status=200, body=json.dumps(data)))
    sample.state(data).update({"status": "teleported", "brand_new": {"a": [1.50]}})
    after = await ask(build, box, sample, Fault(status=200, body=json.dumps(data)))
    assert after.raw["brand_new"]["a"][0] == 1.5
    assert str(after.raw["brand_new"]["a"][0]) == "1.5"
    assert after.digest != before.digest


@pytest.mark.parametrize("kind", PLATFORMS)
async def test_a_record_resolves_to_itself(build: Build, kind: str) -> None:
    for record_kind in RECORDS:
        ref = RecordRef("acct", record_kind, "1")
        assert await build(kind).resolve(ref, CONTEXT) == (ref,)


def listed(kind: str) -> tuple[str, str]:
    """Return the kind of record and the text of a platform's list with the one record `1`."""
    path = next((SAMPLES / kind).glob("list.*.json"))
    return path.name.split(".")[1], path.read_text()


@pytest.mark.parametrize("kind", PLATFORMS)
async def test_a_listed_kind_can_be_polled(build: Build, box: SandboxHandle, kind: str) -> None:
    record_kind, body = listed(kind)
    platform = build(kind)
    await platform.fetch(RecordRef("acct", "customer", "missing-0"), CONTEXT)
    box.sandbox.faults.add(Fault(status=200, body=body))
    listing = await platform.list_records(record_kind, None, CONTEXT)
    assert [item.id for item in listing.items] == ["1"]
    assert len(listing.items[0].digest) == 64
    with pytest.raises(PermanentError) as raised:
        await platform.list_records("invoice", None, CONTEXT)
    assert raised.value.kind == "unknown_kind"
    if kind == "custom":
        assert "platforms.acct.records.invoice.list names one" in str(raised.value)


LIST_FAULTS = [
    (Fault(status=503, retry_after=2), "platform_unavailable"),
    (Fault(status=200, body="{}"), "platform_wrong_envelope"),
    (Fault(status=200, body='{"data": {"id": "1"}}'), "platform_wrong_envelope"),
    (Fault(status=404, body='{"message": "no such path"}'), "config_wrong_address"),
    (Fault(status=410, body='{"message": "no such path any more"}'), "config_wrong_address"),
]


@pytest.mark.parametrize("kind", PLATFORMS)
@pytest.mark.parametrize(("fault", "error"), LIST_FAULTS)
async def test_a_malformed_list_raises_and_is_never_empty(
    build: Build, box: SandboxHandle, kind: str, fault: Fault, error: str
) -> None:
    platform, (record_kind, _) = build(kind), listed(kind)
    await platform.fetch(RecordRef("acct", "customer", "missing-0"), CONTEXT)
    box.sandbox.faults.add(msgspec.structs.replace(fault))
    with pytest.raises((TransientError, PermanentError)) as raised:
        await platform.list_records(record_kind, None, CONTEXT)
    assert raised.value.kind == error
    assert raised.value.operation == f"{kind}.{record_kind}.list"


WHOLE = [param for param in RECORD_SAMPLES if "." not in param.values[0].name]
"""The samples with every field that the documentation shows."""
COMPOSED = {"currency", "value", "type"}
"""Parts without which the whole is another one: half an amount is none, and an address is chosen by its type."""
JOINED = {"first_name", "last_name", "firstname", "lastname", "updated_at", "lastModifiedAt"}
"""In an address or an item: names become one name, and of many moments the newest counts."""
ELSE = "another-word"

Steps = tuple[str | int, ...]


def leaves(node: Any, at: Steps = ()) -> list[Steps]:
    """The places of all that is neither object nor list, but of items of a list."""
    if isinstance(node, dict):
        fields = cast("dict[str, Any]", node)
        return [found for name, value in fields.items() for found in leaves(value, (*at, name))]
    if isinstance(node, list):
        items = cast("list[Any]", node)
        return [
            found
            for number, item in enumerate(items)
            if isinstance(item, dict)
            for found in leaves(item, (*at, number))
        ]
    return [at]


def changed(data: Any, steps: Steps, value: object) -> Any:
    """A copy with another value at a place; UNSET leaves the place out."""
    copy = json.loads(json.dumps(data))
    node = copy
    for step in steps[:-1]:
        node = node[step]
    node[steps[-1]] = value
    if value is msgspec.UNSET:
        del node[steps[-1]]
    return copy


def is_below(steps: Steps) -> bool:
    return any(isinstance(step, int) or step.endswith("_address") for step in steps[:-1])


@pytest.mark.parametrize("sample", WHOLE)
async def test_raw_keeps_every_field_and_absent_null_and_empty_differ(
    build: Build, box: SandboxHandle, sample: Sample
) -> None:
    platform, data = build(sample.platform), sample.data()
    if sample.platform != "custom":  # lets it get what it keeps
        await platform.fetch(RecordRef("acct", "customer", "missing-0"), CONTEXT)

    async def read(shown: Any) -> FetchedRecord:
        box.sandbox.faults.add(Fault(status=200, body=json.dumps(shown)))
        return await platform.fetch(RecordRef("acct", sample.kind, sample.id), CONTEXT)

    whole = await read(data)
    state = sample.state(json.loads(sample.text, parse_float=Decimal))
    assert whole.raw == state
    texts = 0
    for steps in leaves(data):
        if steps[-1] == sample.id_key and len(steps) <= 2:
            continue
        absent, null, empty = [await read(changed(data, steps, value)) for value in (msgspec.UNSET, None, "")]
        assert len({found.digest for found in (absent, null, empty)}) == 3, steps
        if steps[-1] in COMPOSED or (steps[-1] in JOINED and is_below(steps)):
            continue
        if absent.record != whole.record:
            assert null.record != absent.record, steps
        if ELSE in repr((await read(changed(data, steps, ELSE))).record):
            texts += 1
            records = (absent.record, null.record, empty.record)
            assert all(one != other for one, other in combinations(records, 2)), steps
    assert texts >= 3, "what is said here is said of something"
