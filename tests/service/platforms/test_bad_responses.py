"""Bad answers: each read that processing makes (records, lists for polls, hints) meets each of them, on every platform.

Every error names the operation, whose fault it is, and, where there was an answer, its status; none of them is taken
for a record, an empty list or a hint that leads nowhere.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from msgspec import Struct

from service.errors import PermanentError, TransientError
from service.events import RecordRef
from service.http_client import HttpClient
from service.platforms import CallContext, Platform
from service.platforms.registry import PLATFORMS, build_platforms
from service.records import RECORDS
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle
from service.settings import Settings
from tests.platform_accounts import platform_configs, sample_account, sandbox_url
from tests.service.platforms.test_conformance import RECORD_SAMPLES, Sample, listed

pytestmark = pytest.mark.slow

CERTIFICATE = Path(__file__).parents[2] / "samples" / "tls" / "untrusted.pem"
CONTEXT = CallContext("0" * 32)
TEN_MEGABYTES = Settings().fetch_bytes_max


class Question(Struct, frozen=True):
    """One read: what is asked of the connector, the operation that it becomes, and how its answer says who it is."""

    kind: str
    name: str
    ask: Callable[[Platform], Awaitable[Any]]
    operation: str
    another: str = ""
    """An answer that is well but about another record; empty where the question names none."""


def fetch(kind: str, record: str, another: str) -> Question:
    ref = RecordRef("acct", record, "asked")
    return Question(kind, f"fetch-{record}", lambda platform: platform.fetch(ref, CONTEXT), f"{record}.get", another)


def listing(kind: str, record: str) -> Question:
    return Question(
        kind, f"list-{record}", lambda platform: platform.list_records(record, None, CONTEXT), f"{record}.list"
    )


def hint(kind: str, record: str, another: str) -> Question:
    ref = RecordRef("acct", record, "asked")
    return Question(kind, f"hint-{record}", lambda platform: platform.resolve(ref, CONTEXT), f"{record}.get", another)


def another(sample: Sample) -> str:
    """Return the sample's text with another id."""
    data = sample.data()
    sample.state(data)[sample.id_key] = "another"
    return msgspec.json.encode(data).decode()


FETCHED = [param.values[0] for param in RECORD_SAMPLES if param.values[0].name in RECORDS]
QUESTIONS = [
    *(fetch(sample.platform, sample.kind, another(sample)) for sample in FETCHED),
    *(listing(kind, listed(kind)[0]) for kind in PLATFORMS),
    listing("flow_retail", "purchase_order"),
    hint("pack_cloud", "order", '{"id": "another", "customer_id": "c-1"}'),
    hint("pexip_engage", "appointment", '{"data": {"id": "another", "appointmentParticipants": []}}'),
    hint("pexip_engage", "callback_request", '{"data": {"id": "another", "customer": {"id": "1"}}}'),
    hint("open_food_network", "order", '{"id": 1, "number": "another", "customer_id": 1}'),
]
HINTS = [question for question in QUESTIONS if question.name.startswith("hint-")]
NAMED = [question for question in QUESTIONS if question.another]

BAD = [
    ("a web page", Fault(status=200, body="<!DOCTYPE html><p>Maintenance"), TransientError, "platform_not_json"),
    ("half an answer", Fault(status=200, body='{"data": {"id": "ask'), TransientError, "platform_truncated_json"),
    ("no JSON", Fault(status=200, body="{id: 1}"), TransientError, "platform_malformed_json"),
    ("no envelope", Fault(status=200, body='{"answer": 42}'), TransientError, "platform_wrong_envelope"),
    ("nothing", Fault(status=200, body=""), TransientError, "platform_truncated_json"),
    ("null", Fault(status=200, body="null"), TransientError, "platform_wrong_envelope"),
    ("too much", Fault(status=200, body="x" * (TEN_MEGABYTES + 1)), PermanentError, "response_too_large"),
    ("a slow drip", Fault(drip_ms=100), TransientError, "timeout"),
    ("no answer", Fault(delay_ms=2_000), TransientError, "timeout"),
    ("a broken connection", Fault(reset=True, times=2), TransientError, "reset"),
    ("not now", Fault(status=429, retry_after=3), TransientError, "platform_rate_limited"),
    ("a crash", Fault(status=500), TransientError, "platform_unavailable"),
    ("a wrong key", Fault(status=401, times=2), PermanentError, "config_unauthorized"),
    ("no rights", Fault(status=403), PermanentError, "config_forbidden"),
    ("another place", Fault(status=301, body=""), PermanentError, "config_redirected"),
    ("no such address", Fault(status=404, body="<html>nginx"), PermanentError, "config_wrong_address"),
    ("a refusal", Fault(status=400), PermanentError, "platform_rejected"),
]


def label(question: Question) -> str:
    return f"{question.kind}-{question.name}"


Make = Callable[[str], Platform]


@pytest.fixture
async def outbound(request: pytest.FixtureRequest) -> AsyncIterator[HttpClient]:
    """Wait briefly where nothing comes, and as long as a busy machine may need where something does."""
    nothing_comes = any(name in str(request.node.name) for name in ("a slow drip", "no answer"))
    async with HttpClient(Settings(fetch_timeout_seconds=0.25 if nothing_comes else 60)) as client:
        yield client


@pytest.fixture
def make(box: SandboxHandle, outbound: HttpClient) -> Make:
    return lambda kind: build(kind, box, outbound)


def build(kind: str, box: SandboxHandle, outbound: HttpClient, **changed: str) -> Platform:
    raw = {"acct": sample_account(kind, sandbox_url(kind, box)) | changed}
    configs = platform_configs(raw)
    return build_platforms(configs, {"TOKEN": box.token, "CLIENT": "waybill"}, outbound)["acct"]


async def warm(platform: Platform, box: SandboxHandle) -> None:
    """Let a connector get what it keeps, so that a fault meets the question and not the token or the currency."""
    box.sandbox.faults.add(Fault(match="/erp", status=404))
    for retry in (True, True, False):
        try:
            await platform.fetch(RecordRef("acct", "customer", "missing-0"), CONTEXT)
            break
        except TransientError:  # the brief wait, on a busy machine
            if not retry:
                raise
    box.sandbox.faults.clear()


@pytest.mark.parametrize("question", QUESTIONS, ids=label)
@pytest.mark.parametrize(("fault", "error", "kind"), [item[1:] for item in BAD], ids=[item[0] for item in BAD])
async def test_a_bad_answer_has_the_expected_error_code(  # noqa: PLR0917 - fixtures and the matrix
    make: Make, box: SandboxHandle, question: Question, fault: Fault, error: type[Exception], kind: str
) -> None:
    platform = make(question.kind)
    await warm(platform, box)
    if fault.drip_ms:
        box.sandbox.faults.add(Fault(status=200, body='{"data": []}', drip_ms=fault.drip_ms))
    else:
        box.sandbox.faults.add(msgspec.structs.replace(fault))
    with pytest.raises(error) as raised:
        await question.ask(platform)
    error_raised: Any = raised.value
    assert error_raised.kind == kind
    assert error_raised.operation == f"{question.kind}.{question.operation}"
    assert error_raised.http_status == (200 if fault.drip_ms else fault.status)
    assert box.token not in str(error_raised)


@pytest.mark.parametrize("question", NAMED, ids=label)
async def test_an_answer_about_another_record_is_rejected(make: Make, box: SandboxHandle, question: Question) -> None:
    platform = make(question.kind)
    await warm(platform, box)
    box.sandbox.faults.add(Fault(status=200, body=question.another))
    with pytest.raises(PermanentError) as raised:
        await question.ask(platform)
    assert (raised.value.kind, raised.value.http_status) == ("platform_wrong_record", 200)
    assert raised.value.operation == f"{question.kind}.{question.operation}"


def test_only_lists_name_no_record() -> None:
    assert all(bool(question.another) != question.name.startswith("list-") for question in QUESTIONS)


@pytest.fixture
async def untrusted() -> AsyncIterator[str]:
    """A server whose certificate nobody vouches for; nothing it is asked ever arrives."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("question", QUESTIONS, ids=label)
async def test_an_untrusted_certificate_is_reported(
    box: SandboxHandle, outbound: HttpClient, untrusted: str, question: Question
) -> None:
    platform = build(question.kind, box, outbound, base_url=untrusted)
    with pytest.raises(TransientError) as raised:
        await question.ask(platform)
    assert (raised.value.kind, raised.value.http_status) == ("tls", None)
    asked = {f"{question.kind}.{question.operation}", "flow_retail.tenant.get"}
    assert raised.value.operation in asked
    assert "127.0.0.1" in str(raised.value)


@pytest.mark.parametrize("question", HINTS, ids=label)
@pytest.mark.parametrize("status", [404, 410])
async def test_a_gone_hint_resolves_to_nothing(make: Make, box: SandboxHandle, question: Question, status: int) -> None:
    platform = make(question.kind)
    await warm(platform, box)
    box.sandbox.faults.add(Fault(status=status, body='{"message": "no such thing"}'))
    assert await question.ask(platform) == ()
